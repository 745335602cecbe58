internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHTTP
internal import Synchronization

/// Holds the token: logs in, renews the lease when two thirds of it are over, logs in again when it is lost.
final class TokenKeeper: Sendable {
    private let server: TransitServer
    private let gate = SerialGate()
    private let state = Mutex(State())

    private struct State {
        var token: String?
        var number = 0
        var renewal: Double?
        var end: Double?
    }

    private typealias Outcome = Result<(token: String, number: Int), TransitError>

    init(_ server: TransitServer) { self.server = server }

    /// A token for a call now, with a number to give to ``lost(_:)`` where it is not accepted.
    func token(_ deadline: Deadline) async throws(TransitError) -> (token: String, number: Int) {
        if let held = fresh() { return held }
        let outcome = await gate.alone { () -> Outcome in
            if let held = self.fresh() { return .success(held) }
            return await self.renewOrLogIn(deadline)
        }
        guard let outcome else { throw TransitError(.providerUnavailable, "the login did not come in time") }
        return try outcome.get()
    }

    /// When the lease of the token ends that is held; nil where none is, or where it does not.
    var end: Timestamp? {
        // A server may say what it likes.
        state.withLock { $0.token == nil ? nil : $0.end }.flatMap { seconds in
            abs(seconds) < 1e11 ? Timestamp(milliseconds: Int64(seconds * 1000)) : nil
        }
    }

    /// Forgets a token that was not accepted; another login, or the file as it is now, may bring a better one.
    func lost(_ number: Int) {
        state.withLock { if $0.number == number { $0.token = nil } }
    }

    private func fresh() -> (token: String, number: Int)? {
        let now = server.surroundings.now()
        return state.withLock { state in
            guard let token = state.token, now < state.renewal ?? .infinity else { return nil }
            return (token, state.number)
        }
    }

    private func renewOrLogIn(_ deadline: Deadline) async -> Outcome {
        let (old, number, end) = state.withLock { ($0.token, $0.number, $0.end) }
        let now = server.surroundings.now()
        if let old, now < end ?? .infinity {
            // A lease that cannot be renewed any more ends; then there is a new login.
            if let auth = try? await ask("renew its token", "auth/token/renew-self", [:], token: old, deadline) {
                let isShort = auth.seconds > 0 && auth.seconds < 10
                if !isShort { return .success(keep(auth)) }
            } else if case .token = server.settings.login {
                state.withLock { $0.renewal = now + 30 }
                return .success((old, number))
            }
        }
        do throws(TransitError) { return .success(keep(try await logIn(deadline))) } catch { return .failure(error) }
    }

    private func logIn(_ deadline: Deadline) async throws(TransitError) -> TransitAuth {
        switch server.settings.login {
        case .token(let file):
            let token = try secret(file, "token")
            // A token that never ends, and one of which nothing can be asked, have no lease.
            let lease = try? await server.call(
                "look its token up", "GET", "auth/token/lookup-self", token: token, deadline
            ) { data in (try? JSONDecoder().decode(TransitEnvelope<TransitLease>.self, from: data))?.data }
            return TransitAuth(token: token, seconds: lease?.seconds ?? 0)
        case .appRole(let mount, let roleID, let file):
            let fields = ["role_id": roleID, "secret_id": try secret(file, "secret id")]
            do throws(TransitServer.Failure) {
                return try await ask("log in", "auth/\(mount)/login", fields, token: nil, deadline)
            } catch {
                switch error {
                case .denied(let text): throw Self.refused(text)
                case .other(let inner) where inner.status.map(Self.refusals.contains) == true:
                    throw Self.refused(inner.message)
                // Whatever stands there and is no login, or answers what cannot be read, has revoked nothing.
                case .other(let inner):
                    let why = inner.status == 404 ? "there is none" : inner.message
                    throw TransitError(
                        .providerUnavailable, "cannot log in at auth/\(mount): \(why)", hint: inner.hint)
                }
            }
        }
    }

    /// With these a server says that it does not accept a login; 404 and 405 come from where no login is.
    private static let refusals = [400, 401, 403]

    private static func refused(_ why: String) -> TransitError {
        TransitError(
            .providerDenied, "the server does not accept the AppRole: \(why)",
            hint: "Check role_id, and whether the secret id has ended; write a new one to its file.")
    }

    private func ask(
        _ what: String, _ path: String, _ fields: [String: String], token: String?, _ deadline: Deadline
    ) async throws(TransitServer.Failure) -> TransitAuth {
        try await server.call(what, "POST", path, fields, token: token, deadline) { data in
            (try? JSONDecoder().decode(TransitEnvelope<[String: String]>.self, from: data))?.auth
        }
    }

    private func secret(_ file: String, _ what: String) throws(TransitError) -> String {
        guard let bytes = server.surroundings.read(file) else {
            throw TransitError(.callerUsage, "cannot read the \(what) from \(quoted(file))")
        }
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard !text.isEmpty, text.utf8.count <= 8192, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw TransitError(.callerUsage, "\(quoted(file)) holds no \(what)")
        }
        return text
    }

    private func keep(_ auth: TransitAuth) -> (token: String, number: Int) {
        let now = server.surroundings.now()
        return state.withLock { state in
            state.token = auth.token
            state.number += 1
            state.end = auth.seconds > 0 ? now + auth.seconds : nil
            state.renewal = auth.seconds > 0 ? now + auth.seconds * 2 / 3 : nil
            return (auth.token, state.number)
        }
    }
}
