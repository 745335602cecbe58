internal import Foundation

/// A process such that another one with the same number is told apart: boot, number, start.
struct ProcessIdentity: Hashable, CustomStringConvertible {
    /// `boot:pid:start`.
    let description: String

    /// This process.
    static let current = ProcessIdentity(of: getpid())

    private init(of pid: Int32) {
        let boot = Self.contents("/proc/sys/kernel/random/boot_id")?.prefix(8) ?? "-"
        description = "\(boot):\(pid):\(Self.start(of: pid) ?? "-")"
    }

    /// Whether the process that a text names still lives on this machine.
    static func lives(_ text: String) -> Bool {
        let parts = text.split(separator: ":")
        guard parts.count == 3, let pid = Int32(parts[1]) else { return false }
        return ProcessIdentity(of: pid).description == text && start(of: pid) != nil
    }

    /// When a process started, in ticks since boot; nil where there is none.
    private static func start(of pid: Int32) -> String? {
        // The name in brackets may hold anything, blanks and brackets too.
        guard let text = contents("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? String(fields[19]) : nil
    }

    private static func contents(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
