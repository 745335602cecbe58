internal import Foundation
internal import LibCrypto

/// Moves bytes from one descriptor to the next, counted, hashed and paced; never more than a buffer in memory.
struct Stream {
    /// What went through.
    struct Facts: Hashable, Sendable {
        var bytes: Int64 = 0
        /// In hexadecimal.
        var sha256 = ""
    }

    /// Where bytes come from, and who is to blame where none come.
    var source: Descriptor
    var producer: RunningProgram?
    /// Where they go; nil throws them away.
    var target: Descriptor?
    /// What messages call the target.
    var targetName = "the backup"
    /// How long the source may be silent, and the target not take anything.
    var patience: Duration
    /// The most bytes a second.
    var bytesPerSecond: Int64?
    /// Raised to stop.
    var isCancelled: Flag
    /// Told each piece.
    var look: ((UnsafeRawBufferPointer) -> Void)?

    private static let bufferSize = 1 << 20

    /// Moves everything.
    ///
    /// - Throws: ``BackupError``, or `CancellationError`.
    func run() throws -> Facts {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferSize, alignment: 4096)
        let hash = Hash()
        defer { buffer.deallocate() }
        var facts = Facts()
        let start = ContinuousClock.now
        // A pipe whose reader stands still must not hold us up; of a file nothing changes.
        if let target { _ = fcntl(target.number, F_SETFL, fcntl(target.number, F_GETFL) | O_NONBLOCK) }
        while true {
            let count = try fill(buffer)
            guard count > 0 else { break }
            let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            hash.absorb(piece)
            look?(piece)
            try write(piece)
            facts.bytes += Int64(count)
            try pace(facts.bytes, since: start)
        }
        facts.sha256 = hash.finish()
        return facts
    }

    /// Reads what comes next, as much as fits; 0 at the end.
    ///
    /// - Throws: As ``run()``.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let deadline = ContinuousClock.now + patience
        while true {
            if isCancelled.isSet { throw CancellationError() }
            var entry = pollfd(fd: source.number, events: Int16(POLLIN), revents: 0)
            let ready = poll(&entry, 1, 200)
            if ready == 0 {
                guard ContinuousClock.now < deadline else {
                    producer?.end()
                    throw producer?.timedOut(patience)
                        ?? BackupError(.providerTimedOut, "the backup gave no more bytes for \(patience)")
                }
                continue
            }
            let count = read(source.number, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count >= 0 else { throw BackupError.system("read", "a backup") }
            return count
        }
    }

    private func write(_ piece: UnsafeRawBufferPointer) throws {
        guard let target else { return }
        var rest = piece[...]
        var deadline = ContinuousClock.now + patience
        while !rest.isEmpty {
            if isCancelled.isSet { throw CancellationError() }
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Foundation.write(target.number, part.baseAddress, part.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EPIPE { throw ReaderGone() }
            if count < 0, errno == EAGAIN {
                guard ContinuousClock.now < deadline else {
                    throw BackupError(
                        .providerTimedOut,
                        "\(targetName) took no more bytes for \(patience.components.seconds) s",
                        hint: "\"timeout\" in backup { … } says how long a program may stand still.")
                }
                var entry = pollfd(fd: target.number, events: Int16(POLLOUT), revents: 0)
                poll(&entry, 1, 200)
                continue
            }
            guard count > 0 else { throw BackupError.system("write", targetName) }
            rest = rest.dropFirst(count)
            deadline = ContinuousClock.now + patience
        }
    }

    private func pace(_ bytes: Int64, since start: ContinuousClock.Instant) throws {
        guard let bytesPerSecond, bytesPerSecond > 0 else { return }
        let due = start + .seconds(Double(bytes) / Double(bytesPerSecond))
        while ContinuousClock.now < due {
            if isCancelled.isSet { throw CancellationError() }
            let left = due - ContinuousClock.now
            poll(nil, 0, Int32(clamping: min(200, max(1, left.components.seconds * 1000 + 1))))
        }
    }
}

/// Whoever was to read has stopped, whether it had enough or gave up: its exit status tells.
struct ReaderGone: Error {}

/// SHA-256 over a stream.
final class Hash {
    private let state = UnsafeMutableRawPointer.allocate(byteCount: Digest.sha256.stateSize, alignment: 16)

    init() { Digest.sha256.begin(state) }

    deinit { state.deallocate() }

    func absorb(_ bytes: UnsafeRawBufferPointer) { Digest.sha256.absorb(bytes, into: state) }

    /// The digest in hexadecimal; the hash is used up.
    func finish() -> String {
        var digest = [UInt8](repeating: 0, count: Digest.sha256.size)
        digest.withUnsafeMutableBytes { room in
            if let base = room.baseAddress { Digest.sha256.finish(state, into: base) }
        }
        return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
