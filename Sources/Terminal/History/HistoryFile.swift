internal import Foundation

/// The file that inputs are kept in: one line each, only ever appended to, for its owner alone.
///
/// An input is one write at the end of the file, so that several consoles can share it. Its line is the time in seconds, a tab and the
/// text with `\n`, `\r`, `\t` and `\\` for what would break lines. A line that broke off stays alone: the next input begins a new one.
package final class HistoryFile {
    /// The file.
    package let path: String
    /// What a person should know of the file, once; nil where all is well.
    package private(set) var note: String?
    private var descriptor: Int32 = -1
    private var isReadOnly = false

    /// How much of the end is read.
    private static let readLimit = 1 << 20
    /// A larger file is worth a word.
    private static let large = 16 << 20
    /// Longer inputs are not kept.
    package static let entryLimit = 64 << 10

    /// Opens the file or makes it, with its folder; where that cannot be, ``note`` says why and nothing is kept.
    package init(path: String) {
        self.path = path
        note = prepare()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The file of an instance: under `XDG_STATE_HOME`, else `~/.local/state`; nil where there is no home.
    package static func path(instance: String, environment: [String: String]) -> String? {
        let home = environment["HOME"].flatMap { $0.hasPrefix("/") ? $0 + "/.local/state" : nil }
        guard let state = environment["XDG_STATE_HOME"].flatMap({ $0.hasPrefix("/") ? $0 : nil }) ?? home else {
            return nil
        }
        // FNV-1a: two instances whose folders have one name keep apart.
        let hash = instance.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        let name = URL(filePath: instance).lastPathComponent.filter { $0.isASCII && ($0.isOfWord || $0 == "-") }
        return "\(state)/keyturn/history-\(name.prefix(40))-\(String(hash, radix: 16))"
    }

    /// The inputs at the end of the file, the latest last.
    package func read() -> [String] {
        var facts = stat()
        guard descriptor >= 0, fstat(descriptor, &facts) == 0 else { return [] }
        let start = max(0, Int(facts.st_size) - Self.readLimit)
        var bytes = [UInt8](repeating: 0, count: Int(facts.st_size) - start)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, off_t(start)) }
        guard count > 0 else { return [] }
        var lines = bytes[..<count].split(separator: 0x0A, omittingEmptySubsequences: false)
        // The first line of a part of a file has lost its beginning; what follows the last line feed is still being written.
        if start > 0 { lines.removeFirst() }
        return lines.dropLast().compactMap { Self.entry(String(decoding: $0, as: UTF8.self)) }
    }

    /// Appends an input; the first failure is noted, and nothing is kept from then on.
    ///
    /// - Parameters:
    ///   - entry: The input.
    ///   - time: The time, in seconds since 1970.
    /// - Returns: What a person should know, at the first failure.
    package func append(_ entry: String, time: Int64) -> String? {
        guard descriptor >= 0, !isReadOnly, entry.utf8.count <= Self.entryLimit else { return nil }
        let lead = endsInLine ? "" : "\n"
        let bytes = Array("\(lead)\(time)\t\(Self.line(entry))\n".utf8)
        let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written != bytes.count else { return nil }
        return fail(written < 0 ? String(cString: strerror(errno)) : "no room is left")
    }

    private var endsInLine: Bool {
        var facts = stat()
        var last: UInt8 = 0x0A
        guard fstat(descriptor, &facts) == 0, facts.st_size > 0 else { return true }
        return pread(descriptor, &last, 1, facts.st_size - 1) != 1 || last == 0x0A
    }

    private func prepare() -> String? {
        let folder = URL(filePath: path).deletingLastPathComponent()
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o700]
        do {
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: attributes)
        } catch {
            return fail("its folder cannot be made")
        }
        let flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        descriptor = open(path, flags, 0o600)
        guard descriptor >= 0 else { return openedForReading(after: errno) }
        return examine()
    }

    /// A file that may only be read still gives its inputs.
    private func openedForReading(after error: Int32) -> String? {
        let reason = error == ELOOP ? "it is a symbolic link" : String(cString: strerror(error))
        let reading = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard reading >= 0 else { return fail(reason) }
        descriptor = reading
        if let note = examine(), descriptor < 0 { return note }
        isReadOnly = true
        return describe(reason)
    }

    private func examine() -> String? {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { return fail(String(cString: strerror(errno))) }
        guard facts.st_mode & S_IFMT == S_IFREG else { return fail("it is no regular file") }
        guard facts.st_uid == geteuid() else { return fail("it belongs to another user") }
        if facts.st_mode & 0o077 != 0, fchmod(descriptor, 0o600) != 0 { return fail("others can read it") }
        guard facts.st_size > Self.large else { return nil }
        return "the history in \(path.escapedForTerminal) has \(facts.st_size >> 20) MiB, of which the end is read; "
            + "remove it to begin anew"
    }

    private func fail(_ reason: String) -> String {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        return describe(reason)
    }

    private func describe(_ reason: String) -> String {
        "inputs are not kept in \(path.escapedForTerminal): \(reason)"
    }

    private static func line(_ entry: String) -> String {
        var line = ""
        for scalar in entry.unicodeScalars {
            switch scalar {
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case "\\": line += "\\\\"
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    /// The input of a line; nil where the line is none.
    private static func entry(_ line: String) -> String? {
        let parts = line.split(separator: "\t", maxSplits: 1)
        guard parts.count == 2, Int64(parts[0]) != nil else { return nil }
        var entry = ""
        var isEscaped = false
        for scalar in parts[1].unicodeScalars {
            guard isEscaped || scalar == "\\" else {
                entry.unicodeScalars.append(scalar)
                continue
            }
            if isEscaped {
                let meant: [Unicode.Scalar: Unicode.Scalar] = ["n": "\n", "r": "\r", "t": "\t"]
                entry.unicodeScalars.append(meant[scalar] ?? scalar)
            }
            isEscaped.toggle()
        }
        return entry
    }
}
