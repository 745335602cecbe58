internal import ControlStore
internal import Glibc
internal import KeyModel

/// The text of a configuration as it was read, once.
struct SourceFile {
    /// The most bytes of a configuration.
    static let limit = 1 << 20

    /// The path, absolute.
    let path: String
    /// The bytes.
    let bytes: [UInt8]

    /// Reads a regular file.
    ///
    /// - Throws: ``ScriptingError`` with `callerFileUnreadable`.
    init(path given: String, refusesOpenToAll: Bool = false) throws(ScriptingError) {
        path = Self.absolute(given)
        // Not blocking, so that a pipe in the file's place does not hold us up.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw Self.unreadable(path, String(cString: strerror(errno))) }
        defer { _ = close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Self.unreadable(path, "it is no regular file")
        }
        guard !refusesOpenToAll || status.st_mode & S_IWOTH == 0 else {
            throw Self.unreadable(path, "everybody may write to it")
        }
        bytes = try Self.read(descriptor, path)
    }

    /// The last part of the path.
    var name: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// The folder it stands in, without a slash at its end.
    var folder: String { String(path.dropLast(name.count + 1)) }

    /// The texts of a folder whose names end with `.lua`, in the order of their names; none where there is no such folder.
    ///
    /// - Throws: ``ScriptingError`` with `callerFileUnreadable`, also for a text that everybody may write, and for too many.
    static func library(in folder: String) throws(ScriptingError) -> ScriptLibrary {
        guard let directory = opendir(folder) else {
            guard errno == ENOENT else { throw unreadable(folder, String(cString: strerror(errno))) }
            return ScriptLibrary()
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".lua"), !name.hasPrefix(".") { names.append(name) }
        }
        guard names.count <= mostTexts else {
            throw unreadable(folder, "it holds \(names.count) texts, and \(mostTexts) are the most")
        }
        var texts: [ScriptLibrary.Text] = []
        for name in names.sorted() {
            guard name.utf8.count <= 80, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw unreadable("\(folder)/\(name)", "its name is longer than 80 bytes or not plain ASCII")
            }
            let file = try SourceFile(path: "\(folder)/\(name)", refusesOpenToAll: true)
            texts.append(ScriptLibrary.Text(name: "scripts/\(name)", bytes: file.bytes))
        }
        return ScriptLibrary(texts: texts)
    }

    private static let mostTexts = 200

    /// SHA-256 of the bytes, in hexadecimal.
    var hash: String { ContentHash.sha256(bytes) }

    /// A path below a folder, or as it is where it is absolute; single dots and doubled slashes are dropped.
    ///
    /// Double dots stay, since what they mean depends on symbolic links.
    static func path(_ path: String, in folder: String) -> String {
        let whole = path.hasPrefix("/") ? path : "\(folder)/\(path)"
        return "/" + whole.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return self.path(path, in: "") }
        defer { free(current) }
        return self.path(path, in: String(cString: current))
    }

    private static func read(_ descriptor: Int32, _ path: String) throws(ScriptingError) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(path, String(cString: strerror(errno))) }
            if count == 0 { return bytes }
            bytes += piece[..<count]
        }
        throw unreadable(path, "it is larger than 1 MiB")
    }

    private static func unreadable(_ path: String, _ why: String) -> ScriptingError {
        ScriptingError(.callerFileUnreadable, "cannot read the configuration \(quoted(path)): \(why)")
    }
}
