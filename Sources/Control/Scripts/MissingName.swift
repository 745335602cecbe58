internal import Foundation
internal import KeyModel

/// A name that a script used though nothing is called so.
struct MissingName {
    private let name: String
    /// What stood before its dot, in the script; empty where nothing did.
    private let space: String

    /// Reads Lua's own message; nil where it complains of something else.
    init?(_ message: String, in script: String) {
        guard message.contains("a nil value (") else { return nil }
        let kinds = ["(global '", "(field '", "(method '"]
        guard let kind = kinds.first(where: message.contains), let start = message.range(of: kind)?.upperBound,
            let end = message[start...].firstIndex(of: "'")
        else { return nil }
        let name = String(message[start..<end])
        self.name = name
        guard kind != kinds[0], let use = script.range(of: ".\(name)") else {
            space = ""
            return
        }
        let before = script[..<use.lowerBound].reversed().prefix { $0.isLetter || $0.isNumber || $0 == "_" }
        space = String(before.reversed())
    }

    /// The nearest thing there is.
    func hint(in api: API) -> String? {
        let all = api.entries.map(\.name)
        let whole = space.isEmpty ? name : "\(space).\(name)"
        if let same = all.first(where: { $0.hasSuffix(".\(name)") }), space.isEmpty { return "Did you mean \(same)?" }
        let near = nearest(to: whole, among: space.isEmpty ? all + api.namespaces : all)
        let sibling = space.isEmpty ? nil : all.first { $0.hasPrefix("\(space).") }
        if let near { return "Did you mean \(near)?" }
        return sibling == nil ? nil : "Type \(space) alone to see what there is."
    }
}
