internal import Foundation
internal import KeyModel
package import PluginKit
internal import Synchronization

/// Reads and writes descriptors that callers handed over, each on a thread of its own: whoever hands over a pipe that nobody
/// reads or writes keeps nobody but themselves waiting.
package final class CallerFiles: Sendable {
    private let patience: Duration
    private let busy = Mutex(0)

    /// The most that are worked on at once; a thread that is stuck for good counts.
    static let most = 32
    /// The most bytes of a secret.
    private static let secretLimit = 65_536

    /// Makes what works on descriptors.
    ///
    /// - Parameter patience: How long a descriptor may not be ready.
    package init(patience: Duration = .seconds(300)) { self.patience = patience }

    /// Reads a secret of at most 64 KiB into locked memory.
    ///
    /// - Throws: ``ControlError`` with `callerFile`, `callerLimitExceeded` where nothing came in time, `callerInterrupted` or
    ///   `callerBusy`.
    package func readSecret(_ descriptor: Int32, _ scope: CallScope) async throws(ControlError) -> SecretBytes {
        let kept = KeptSecret()
        try await perform(on: descriptor, scope) { file in
            kept.put(try file.readSecret(limit: Self.secretLimit))
        }
        guard let secret = kept.take() else { throw ControlError(codeName: "callerFile", "nothing was read") }
        return secret
    }

    /// Writes a secret and the end of its line, and makes it durable where that means something.
    ///
    /// - Throws: As ``readSecret(_:_:)``.
    package func write(
        _ secret: consuming SecretBytes, to descriptor: Int32, _ scope: CallScope
    ) async throws(ControlError) {
        let kept = KeptSecret()
        kept.put(secret)
        try await perform(on: descriptor, scope) { file in
            guard let secret = kept.take() else { return }
            try secret.withExposedBytes { try file.write($0) }
            try [UInt8(ascii: "\n")].withUnsafeBytes { try file.write($0) }
            try file.makeDurable()
        }
    }

    /// Writes bytes.
    ///
    /// - Throws: As ``readSecret(_:_:)``.
    package func write(_ bytes: [UInt8], to descriptor: Int32, _ scope: CallScope) async throws(ControlError) {
        try await perform(on: descriptor, scope) { file in
            try bytes.withUnsafeBytes { try file.write($0) }
        }
    }

    /// Refuses what may keep whoever writes to it waiting: a pipe, a terminal.
    ///
    /// - Throws: ``ControlError`` with `callerFile`.
    static func requireRegular(_ descriptor: Int32) throws(ControlError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ControlError(codeName: "callerFile", "the caller's file is no regular file", hint: "Name a new file.")
        }
    }

    /// Does something with a descriptor on a thread of its own; the caller waits no longer than for its scope's end, even where
    /// the thread is held by the kernel.
    private func perform(
        on descriptor: Int32, _ scope: CallScope, _ body: @escaping @Sendable (PatientFile) throws -> Void
    ) async throws(ControlError) {
        let isAdmitted = busy.withLock { busy in
            guard busy < Self.most else { return false }
            busy += 1
            return true
        }
        guard isAdmitted else {
            throw ControlError(
                .callerBusy, "\(Self.most) callers' files are being read or written already",
                hint: "Wait for one of them to end, then call again.")
        }
        let own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard own >= 0 else {
            busy.withLock { $0 -= 1 }
            throw ControlError(
                codeName: "callerFile", "cannot use the caller's file: \(String(cString: strerror(errno)))")
        }
        let file = PatientFile(descriptor: own, scope: scope, patience: patience)
        let result: Result<Void, ControlError> = await withCheckedContinuation { continuation in
            let answer = FirstAnswer(continuation)
            scope.onCancel { answer.give(.failure(PatientFile.interrupted)) }
            Thread.detachNewThread { [self] in
                // A reader who has gone is an error of the call, not the end of the process.
                var pipe = sigset_t()
                sigemptyset(&pipe)
                sigaddset(&pipe, SIGPIPE)
                pthread_sigmask(SIG_BLOCK, &pipe, nil)
                answer.give(Result { try body(file) }.mapError(ControlError.init(wrapping:)))
                close(own)
                busy.withLock { $0 -= 1 }
            }
        }
        try result.get()
    }
}

/// Hands on the first answer of several.
private final class FirstAnswer: Sendable {
    private let waiting: Mutex<CheckedContinuation<Result<Void, ControlError>, Never>?>

    init(_ continuation: CheckedContinuation<Result<Void, ControlError>, Never>) { waiting = Mutex(continuation) }

    func give(_ answer: Result<Void, ControlError>) {
        waiting.withLock { waiting in
            defer { waiting = nil }
            return waiting
        }?.resume(returning: answer)
    }
}

/// A secret on its way between threads.
private final class KeptSecret: Sendable {
    private let secret = Mutex<SecretBytes?>(nil)

    func put(_ given: consuming SecretBytes) {
        var given: SecretBytes? = consume given
        secret.withLock { $0 = given.take() }
    }

    func take() -> SecretBytes? { secret.withLock { $0.take() } }
}

/// A descriptor that is waited for, a bounded time and not beyond the end of its scope.
private struct PatientFile: Sendable {
    let descriptor: Int32
    let scope: CallScope
    let patience: Duration

    /// What a pipe takes without waiting once it is ready.
    private static let atOnce = 4096

    static let interrupted = ControlError(
        .callerInterrupted, "the caller's file was not read or written to its end")

    func readSecret(limit: Int) throws(ControlError) -> SecretBytes {
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: limit + 1, alignment: 1)
        defer {
            if let base = chunk.baseAddress { explicit_bzero(base, chunk.count) }
            chunk.deallocate()
        }
        var count = 0
        while count < chunk.count {
            try wait(for: Int32(POLLIN))
            let got = Foundation.read(descriptor, chunk.baseAddress.map { $0 + count }, chunk.count - count)
            if got < 0, errno == EINTR || errno == EAGAIN { continue }
            guard got >= 0 else { throw failed("read") }
            if got == 0 { break }
            count += got
        }
        guard count <= limit else {
            throw ControlError(codeName: "callerFile", "the keys are larger than \(limit) bytes")
        }
        return SecretBytes(copying: UnsafeRawBufferPointer(rebasing: chunk[..<count]))
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ControlError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            try wait(for: Int32(POLLOUT))
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.atOnce))
            let written = Foundation.write(descriptor, part.baseAddress, part.count)
            if written < 0, errno == EINTR || errno == EAGAIN { continue }
            guard written > 0 else { throw failed("write") }
            rest = rest.dropFirst(written)
        }
    }

    func makeDurable() throws(ControlError) {
        // A pipe or a terminal has nothing to be made durable.
        if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS { throw failed("write") }
    }

    /// Waits until something can be read or written, or never will be again.
    private func wait(for event: Int32) throws(ControlError) {
        let end = ContinuousClock.now + patience
        while true {
            guard !scope.isCancelled else { throw Self.interrupted }
            var waited = pollfd(fd: descriptor, events: Int16(event), revents: 0)
            if poll(&waited, 1, 50) > 0 { return }
            guard .now < end else {
                throw ControlError(
                    .callerLimitExceeded,
                    "the caller's file was not ready to be \(event == Int32(POLLIN) ? "read" : "written") for "
                        + patience.durationText)
            }
        }
    }

    private func failed(_ what: String) -> ControlError {
        ControlError(codeName: "callerFile", "cannot \(what) the caller's file: \(String(cString: strerror(errno)))")
    }
}
