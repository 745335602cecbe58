package import Frames
internal import KeyModel

/// The one table of everything that can be called.
package struct API: Sendable {
    /// The entries, by name.
    package let entries: [Entry]
    private let byName: [String: Entry]

    /// Makes a table.
    ///
    /// - Throws: ``ControlError`` with `callerUsage` where two entries have one name.
    package init(_ entries: [Entry]) throws(ControlError) {
        self.entries = entries.sorted { $0.name < $1.name }
        var byName: [String: Entry] = [:]
        for entry in entries where byName.updateValue(entry, forKey: entry.name) != nil {
            throw ControlError(.callerUsage, "two entries are called \"\(entry.name)\"")
        }
        self.byName = byName
    }

    /// The namespaces, in order.
    package var namespaces: [String] { Set(entries.map(\.namespace)).sorted() }

    /// The entry of this name.
    ///
    /// - Throws: ``ControlError`` with `callerNotFound` and exit code 64, whose hint names the nearest one.
    package func entry(_ name: String) throws(ControlError) -> Entry {
        if let entry = byName[name] { return entry }
        let siblings = entries.filter { $0.namespace == name }.map(\.name)
        let hint =
            nearest(to: name, among: entries.map(\.name)).map { "Did you mean \"\($0)\"?" }
            ?? (siblings.isEmpty ? nil : "There are \(siblings.joined(separator: ", ")).")
        throw ControlError(
            codeName: ControlError.Code.callerNotFound.rawValue, "there is no \(quoted(name)) to call",
            hint: hint ?? "help() lists what there is.", status: ControlError.Code.callerUsage.status)
    }

    /// All entries as `help()` shows them.
    package var description: FrameValue { .array(entries.map(\.description)) }

    /// The entries in which all words of a text occur.
    package func matches(_ text: String) -> [Entry] {
        let words = text.lowercased().split(separator: " ")
        return entries.filter { entry in
            let all = "\(entry.name) \(entry.summary) \(entry.details)".lowercased()
            return words.allSatisfy { all.contains($0) }
        }
    }
}
