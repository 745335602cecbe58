internal import CProcess
internal import Foundation
internal import KeyModel

/// An open file, closed when the last holder lets go or earlier by ``close()``.
final class Descriptor: Sendable {
    let number: Int32
    private let isOpen = Flag(true)

    /// Takes over a descriptor.
    init(owning number: Int32) { self.number = number }

    /// Opens a path; never kept open across `exec`, never through a symbolic link at its end.
    convenience init(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(BackupError) {
        let number = open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode)
        guard number >= 0 else { throw .system(flags & O_CREAT == 0 ? "open" : "make", path) }
        self.init(owning: number)
    }

    deinit { close() }

    /// Closes it now.
    func close() { if isOpen.lower() { Foundation.close(number) } }

    /// A pipe whose ends are closed across `exec`.
    static func pipe() throws(BackupError) -> (reading: Descriptor, writing: Descriptor) {
        var ends: [Int32] = [-1, -1]
        guard kt_process_pipe(&ends) == 0 else { throw .system("make", "a pipe") }
        // A megabyte where the system allows it, so that a program seldom waits for the next one.
        for end in ends { _ = fcntl(end, 1031, 1 << 20) }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }

    /// A file in memory that never has a name, so that nothing is left of it when its holders end, however they do.
    static func nameless() throws(BackupError) -> Descriptor {
        let number = kt_memory_file("keyturn")
        guard number >= 0 else { throw .system("make", "a file in memory") }
        let file = Descriptor(owning: number)
        guard fchmod(number, 0o600) == 0 else { throw .system("make", "a file in memory") }
        return file
    }

    /// The same open file once more.
    func duplicate() throws(BackupError) -> Descriptor {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .system("open", "a file once more") }
        return Descriptor(owning: copy)
    }

    /// The number of bytes of the file.
    func size() throws(BackupError) -> Int64 {
        var facts = stat()
        guard fstat(number, &facts) == 0 else { throw .system("look at", "a file") }
        return Int64(facts.st_size)
    }
}

extension BackupError {
    /// An error for what `errno` says.
    static func system(_ verb: String, _ path: String, number: Int32 = errno) -> BackupError {
        let name = path.hasPrefix("/") ? quoted(path) : path
        let reason = String(cString: strerror(number)).lowercased()
        if number == ENOSPC || number == EDQUOT {
            return BackupError(
                .storeFull, "cannot \(verb) \(name): \(reason)",
                hint: "Make room, or name another folder; what was begun is removed.")
        }
        return BackupError(.storeUnavailable, "cannot \(verb) \(name): \(reason)")
    }
}
