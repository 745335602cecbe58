internal import CProcess
internal import Dispatch
internal import Foundation
internal import KeyModel
package import PluginKit
internal import Synchronization

/// Secrets on descriptors that this process was started with, such as the PIN of `keyturn serve 3</run/pin`.
///
/// Each is read once, when it is first needed, into locked memory: a pipe gives its bytes once, and a plugin may have to be
/// started more often.
package final class InheritedSecrets: Sendable {
    private typealias Reading = Task<Result<HeldSecret, ProviderError>, Never>

    private let descriptors: Set<Int32>
    private let patience: Duration
    private let state = Mutex(State())

    private struct State {
        var readings: [Int32: Reading] = [:]
        var isOver = false
    }

    /// The descriptors that can hold a secret.
    package static let numbers: ClosedRange<Int32> = 3...1023
    /// The most bytes of a secret.
    package static let maximumCount = 4096

    /// Knows of descriptors, which it owns.
    ///
    /// - Parameters:
    ///   - descriptors: Those that may be read.
    ///   - patience: The time that one has to come to its end.
    package init(on descriptors: Set<Int32> = [], patience: Duration = .seconds(10)) {
        self.descriptors = descriptors
        self.patience = patience
    }

    /// Takes stock of what the process was started with, and keeps that from every program that it starts itself; to be called
    /// before anything is opened.
    package static func takingStock() -> InheritedSecrets {
        let inherited = numbers.filter { number in
            let flags = fcntl(number, F_GETFD)
            guard flags >= 0, flags & FD_CLOEXEC == 0 else { return false }
            return fcntl(number, F_SETFD, flags | FD_CLOEXEC) == 0
        }
        return InheritedSecrets(on: Set(inherited))
    }

    /// Erases every secret; none can be had any more.
    package func forget() {
        state.withLock { state in
            state.readings = [:]
            state.isOver = true
        }
    }

    /// Whether the process was started with a descriptor.
    func contains(_ number: Int32) -> Bool { descriptors.contains(number) }

    /// The secret on a descriptor, which is read at the first call.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where it is empty, too long, or has no end.
    func secret(on number: Int32) async throws(ProviderError) -> HeldSecret {
        let reading = state.withLock { state -> Reading? in
            if let known = state.readings[number] { return known }
            guard !state.isOver else { return nil }
            let reading = Task.detached { [patience] in await Self.read(number, within: patience) }
            state.readings[number] = reading
            return reading
        }
        guard let reading else {
            throw ProviderError(.providerUnavailable, "the secret on descriptor \(number) was given up")
        }
        return try await reading.value.get()
    }

    /// Reads on a thread that may block.
    private static func read(_ number: Int32, within patience: Duration) async -> Result<HeldSecret, ProviderError> {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(returning: Result { () throws(ProviderError) in try readNow(number, patience) })
            }
        }
    }

    private static func readNow(_ number: Int32, _ patience: Duration) throws(ProviderError) -> HeldSecret {
        let deadline = ContinuousClock.now + patience
        var count = 0
        var hasEnded = false
        let room = SecretBytes(count: maximumCount + 1) { room in
            while count < room.count, !hasEnded, ContinuousClock.now < deadline {
                var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
                guard poll(&entry, 1, 100) > 0 else { continue }
                let got = Foundation.read(number, room.baseAddress?.advanced(by: count), room.count - count)
                if got < 0, errno == EINTR || errno == EAGAIN { continue }
                hasEnded = got <= 0
                count += max(0, got)
            }
        }
        close(number)
        guard count <= maximumCount else { throw refuse(number, "it holds more than \(maximumCount) bytes") }
        guard hasEnded else { throw refuse(number, "it did not end within \(patience.components.seconds) s") }
        guard count > 0 else { throw refuse(number, "it holds nothing") }
        return HeldSecret(room.withExposedBytes { SecretBytes(copying: $0.prefix(count)) })
    }

    private static func refuse(_ number: Int32, _ why: String) -> ProviderError {
        ProviderError(
            .providerMisconfigured, "cannot take the secret from descriptor \(number): \(why)",
            hint:
                "Start Keyturn anew with the secret on it and nothing else, as in \"keyturn serve \(number)</run/pin\"."
        )
    }
}

/// A secret in locked memory, for each process of a plugin anew.
final class HeldSecret: Sendable {
    private let bytes: SecretBytes

    init(_ bytes: consuming SecretBytes) { self.bytes = bytes }

    /// A pipe that gives the secret once and then ends; the caller closes it.
    func pipe() throws(ProviderError) -> Int32 {
        var ends: [Int32] = [-1, -1]
        guard kt_process_pipe(&ends) == 0 else { throw Self.failure(errno) }
        defer { close(ends[1]) }
        let (written, number) = bytes.withExposedBytes { (write(ends[1], $0.baseAddress, $0.count), errno) }
        guard written == bytes.count else {
            close(ends[0])
            throw Self.failure(number)
        }
        return ends[0]
    }

    private static func failure(_ number: Int32) -> ProviderError {
        ProviderError(.providerUnavailable, "cannot hand a secret to a plugin: \(SystemText.text(number))")
    }
}

/// Where the secret of one provider comes from.
package struct SecretSource: Sendable {
    private let number: Int32
    private let secrets: InheritedSecrets

    /// Names a descriptor.
    ///
    /// - Parameters:
    ///   - text: Its number, as it was written.
    ///   - secrets: What this process was started with.
    /// - Throws: `ProviderError` with `providerMisconfigured` where it is no such number, or was not given.
    package init(_ text: String, in secrets: InheritedSecrets) throws(ProviderError) {
        let numbers = InheritedSecrets.numbers
        guard let number = Int32(text), numbers.contains(number) else {
            throw ProviderError(
                .providerMisconfigured, "\(quoted(text)) is no descriptor that a secret can be taken from",
                hint: "It is a number from \(numbers.lowerBound) to \(numbers.upperBound), as in secret_fd = 3.")
        }
        guard secrets.contains(number) else {
            throw ProviderError(
                .providerMisconfigured, "Keyturn was started without a descriptor \(number) to take the secret from",
                hint: "Start it with the secret on it, as in \"keyturn serve \(number)</run/pin\".")
        }
        self.number = number
        self.secrets = secrets
    }

    /// The secret.
    ///
    /// - Throws: `ProviderError`, see ``InheritedSecrets``.
    func held() async throws(ProviderError) -> HeldSecret { try await secrets.secret(on: number) }
}
