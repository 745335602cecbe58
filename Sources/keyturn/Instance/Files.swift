internal import Foundation
internal import KeyModel
internal import PluginKit

/// A file, or standard input, from which a bounded number of bytes is read.
struct InputFile {
    private let path: String

    /// Names a file; `-` is standard input.
    init(_ path: String) { self.path = path }

    /// Opens it for somebody else to read and close.
    ///
    /// - Throws: ``CommandError`` with `callerFile`.
    func open() throws -> Int32 {
        let descriptor = path == "-" ? dup(STDIN_FILENO) : Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failed("open") }
        return descriptor
    }

    /// Reads at most `limit` bytes; more is an error.
    ///
    /// - Throws: ``CommandError`` with `callerFile`.
    func read(limit: Int) throws -> Bytes {
        let descriptor = try open()
        defer { close(descriptor) }
        var bytes: Bytes = []
        var chunk = Bytes(repeating: 0, count: 65_536)
        defer { chunk.withUnsafeMutableBytes { Self.erase($0) } }
        while true {
            let got = chunk.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress, $0.count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw failed("read") }
            if got == 0 { return bytes }
            guard bytes.count + got <= limit else {
                throw CommandError(.callerFile, "\(name) is larger than \(limit) bytes")
            }
            bytes += chunk[..<got]
        }
    }

    private static func erase(_ buffer: UnsafeMutableRawBufferPointer) {
        if let base = buffer.baseAddress { explicit_bzero(base, buffer.count) }
    }

    private var name: String { path == "-" ? "standard input" : quoted(path) }

    private func failed(_ what: String) -> CommandError {
        CommandError(.callerFile, "cannot \(what) \(name): \(String(cString: strerror(errno)))")
    }
}

/// A new file of mode 0600, or standard output.
struct OutputFile {
    private let path: String?

    /// Names a file that is not there yet; nil is standard output.
    init(_ path: String?) { self.path = path }

    /// Writes bytes as they are.
    ///
    /// - Throws: ``CommandError`` with `callerFile`.
    func write(_ bytes: Bytes) throws {
        let descriptor = try make()
        defer { close(descriptor) }
        guard bytes.withUnsafeBytes({ Self.writeAll($0, to: descriptor) }) else { throw failed("write") }
        try sync(descriptor)
    }

    private func make() throws -> Int32 {
        let descriptor =
            path.map { open($0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) } ?? dup(STDOUT_FILENO)
        guard descriptor >= 0 else { throw failed("make") }
        return descriptor
    }

    private func sync(_ descriptor: Int32) throws {
        if path != nil, fsync(descriptor) != 0 { throw failed("write") }
    }

    private static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let written = Foundation.write(descriptor, part.baseAddress, part.count)
            guard written > 0 else { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }

    private func failed(_ what: String) -> CommandError {
        CommandError(
            .callerFile,
            "cannot \(what) \(path.map { quoted($0) } ?? "standard output"): \(String(cString: strerror(errno)))")
    }
}

/// A new file of mode 0600, or standard output, that is handed to whoever writes it.
struct HandedFile {
    private let path: String?
    private let descriptor: Int32

    /// Makes the file, which must not be there yet; nil is standard output.
    ///
    /// - Throws: ``CommandError`` with `callerFile`.
    init(_ path: String?) throws {
        self.path = path
        descriptor =
            path.map { open($0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) } ?? dup(STDOUT_FILENO)
        guard descriptor >= 0 else {
            let name = path.map { quoted($0) } ?? "standard output"
            throw CommandError(.callerFile, "cannot make \(name): \(String(cString: strerror(errno)))")
        }
    }

    /// The descriptor; whoever gets it closes it.
    func handOver() throws -> Int32 { descriptor }

    /// Removes the file again, since what was to stand there does not.
    func remove() {
        if let path { unlink(path) }
    }
}
