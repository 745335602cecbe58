#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// An open file that is closed with its scope.
struct FileDescriptor: ~Copyable {
    let rawValue: Int32

    /// Takes over a descriptor.
    init(owning rawValue: Int32) { self.rawValue = rawValue }

    /// Opens a path; never kept open across `exec`, never a symbolic link, never waiting for the far end of a pipe.
    init(opening path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) {
        rawValue = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode)
        guard rawValue >= 0 else { throw SystemError.last }
    }

    deinit { close(rawValue) }

    /// Writes everything.
    borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Glibc.write(rawValue, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError.last }
            rest = rest.dropFirst(count)
        }
    }

    /// Reads until the buffer is full or the end is reached; returns how many bytes there were.
    borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = Glibc.read(rawValue, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError.last }
            guard count > 0 else { return filled }
            filled += count
        }
        return filled
    }

    /// Waits until the file's bytes are on the disk.
    borrowing func synchronize() throws(SystemError) {
        guard fsync(rawValue) == 0 else { throw SystemError.last }
    }

    /// The file's kind, mode, owner and size.
    borrowing func status() throws(SystemError) -> stat {
        var status = stat()
        guard fstat(rawValue, &status) == 0 else { throw SystemError.last }
        return status
    }
}

/// What the system answered to a call that failed.
struct SystemError: Error, Hashable {
    let number: Int32

    static var last: SystemError { SystemError(number: errno) }

    /// In the system's words, in lower case.
    var reason: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(number, &buffer, buffer.count) == 0 else { return "system error \(number)" }
        return buffer.withUnsafeBufferPointer { text in
            text.baseAddress.map { String(cString: $0).lowercased() } ?? ""
        }
    }
}
