internal import CToken
internal import Dispatch
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Synchronization

/// Some sessions with a token, each used by one call at a time; the module's calls block, so they have threads of their own.
final class SessionPool: Sendable {
    let settings: TokenSettings

    private let module: Module
    private let queue = DispatchQueue(label: "pkcs11", attributes: .concurrent)
    private let free: DispatchSemaphore
    private let state = Mutex(State())
    /// Held while the PIN is tried: a token counts wrong ones, so that a second must not be under way.
    private let login = Mutex(())

    private struct State {
        var idle: [UInt] = []
        /// Why the PIN is not tried again: a token locks itself after a few wrong ones.
        var refusal: ProviderError?
        /// Sessions that were opened before the token was lost are not used again.
        var generation = 0
    }

    /// The loaded module.
    final class Module: Sendable {
        // Safety: the module was initialised for use by several threads; the pointer never changes.
        nonisolated(unsafe) let pointer: OpaquePointer

        init(_ path: String) throws(ProviderError) {
            var loaded: OpaquePointer?
            let result = kt_module_load(path, &loaded)
            guard result == kt_result(KT_OK), let loaded else {
                throw TokenError.error(result, "use the module \(quoted(path))")
            }
            pointer = loaded
        }
    }

    /// Loads the module; the token is not touched before the first call.
    init(_ settings: TokenSettings) throws(ProviderError) {
        self.settings = settings
        module = try Module(settings.module)
        free = DispatchSemaphore(value: settings.sessions)
    }

    /// Does work with a session, on a thread that may block; once more with a new one where the token had lost its sessions.
    func withSession<Value: Sendable>(
        _ what: String, _ body: @escaping @Sendable (OpaquePointer, UInt) -> Result<Value, TokenFailure>
    ) async throws(ProviderError) -> Value {
        let result: Result<Value, ProviderError> = await withCheckedContinuation { continuation in
            queue.async { [self] in
                free.wait()
                defer { free.signal() }
                continuation.resume(returning: attempt(what, body))
            }
        }
        return try result.get()
    }

    private func attempt<Value>(
        _ what: String, _ body: (OpaquePointer, UInt) -> Result<Value, TokenFailure>
    ) -> Result<Value, ProviderError> {
        for isLast in [false, true] {
            do throws(ProviderError) {
                let (session, generation) = try take()
                let result = body(module.pointer, session)
                switch result {
                case .success(let value):
                    giveBack(session, generation)
                    return .success(value)
                case .failure(.token(let code)) where TokenError.isLost(code) && !isLast:
                    forgetSessions(generation)
                    kt_session_close(module.pointer, session)
                case .failure(let failure):
                    giveBack(session, generation)
                    return .failure(failure.error(what))
                }
            } catch {
                return .failure(error)
            }
        }
        return .failure(ProviderError(.providerUnavailable, "cannot \(what): the token cannot be reached"))
    }

    /// A session that is logged in.
    private func take() throws(ProviderError) -> (UInt, Int) {
        let (idle, refusal, generation) = state.withLock { ($0.idle.popLast(), $0.refusal, $0.generation) }
        if let refusal { throw refusal }
        if let idle { return (idle, generation) }
        var slot: UInt = 0
        try check(kt_module_slot(module.pointer, settings.token, &slot), "find the token \(quoted(settings.token))")
        var session: UInt = 0
        try check(kt_session_open(module.pointer, slot, &session), "open a session")
        do throws(ProviderError) {
            try logIn(session)
        } catch {
            kt_session_close(module.pointer, session)
            throw error
        }
        return (session, generation)
    }

    /// Tries the PIN, one session at a time; where the token has refused it, it is not tried again.
    private func logIn(_ session: UInt) throws(ProviderError) {
        try login.withLock { _ throws(ProviderError) in
            if let refusal = state.withLock({ $0.refusal }) { throw refusal }
            let pin = try settings.pin()
            let result = pin.withExposedBytes { bytes in
                kt_session_login(module.pointer, session, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
            }
            guard result != kt_result(KT_OK) else { return }
            let error = TokenError.error(result, "log in to the token \(quoted(settings.token))")
            if error.code != .providerUnavailable { state.withLock { $0.refusal = error } }
            throw error
        }
    }

    private func giveBack(_ session: UInt, _ generation: Int) {
        let isCurrent = state.withLock { state in
            guard state.generation == generation else { return false }
            state.idle.append(session)
            return true
        }
        if !isCurrent { kt_session_close(module.pointer, session) }
    }

    private func forgetSessions(_ generation: Int) {
        state.withLock { state in
            guard state.generation == generation else { return }
            state.generation += 1
            state.idle = []
        }
    }

    private func check(_ result: kt_result, _ what: String) throws(ProviderError) {
        guard result == kt_result(KT_OK) else { throw TokenError.error(result, what) }
    }
}

/// Why work with a session failed.
enum TokenFailure: Error {
    /// The token said so.
    case token(kt_result)
    /// We said so.
    case own(ProviderError)

    func error(_ what: String) -> ProviderError {
        switch self {
        case .token(let result): TokenError.error(result, what)
        case .own(let error): error
        }
    }
}
