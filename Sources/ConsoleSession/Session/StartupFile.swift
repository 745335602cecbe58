internal import Control
internal import Foundation
internal import Terminal

/// The Lua that a person's consoles begin with: `~/.keyturnrc.lua`.
struct StartupFile: Sendable {
    private static let limit = 1 << 20

    /// Reads the file.
    ///
    /// - Returns: Its script; nil where there is no file.
    /// - Throws: ``ControlError`` with `callerUsage` where others could have written it, or it cannot be read.
    static func read(environment: [String: String]) throws -> Script? {
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        let path = home + "/.keyturnrc.lua"
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw refused(path, String(cString: strerror(errno)), "Check the file, or start with -X.")
        }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw refused(path, "it is no regular file", "Remove it, or start with -X.")
        }
        guard facts.st_uid == geteuid() || facts.st_uid == 0, facts.st_mode & 0o022 == 0 else {
            throw refused(path, "others can write it", "Own it and take their right: chmod go-w \(path)")
        }
        guard facts.st_size <= limit else { throw refused(path, "it is larger than 1 MiB", "Start with -X.") }
        let data = FileHandle(fileDescriptor: descriptor).readData(ofLength: limit)
        return Script(
            String(decoding: data, as: UTF8.self), name: "~/.keyturnrc.lua", isInteractive: false)
    }

    private static func refused(_ path: String, _ reason: String, _ hint: String) -> ControlError {
        ControlError(.callerUsage, "\(path.escapedForTerminal) is not run: \(reason)", hint: hint)
    }
}
