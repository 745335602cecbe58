package import ProviderHTTP

/// The profiles of AWS's own two files.
package struct AWSProfiles: Sendable {
    private var sections: [String: [String: String]] = [:]

    /// Reads `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/config` and `~/.aws/credentials`.
    ///
    /// What stands in the second wins where both name a profile.
    package init(_ surroundings: Surroundings) {
        let home = surroundings.variable("HOME") ?? ""
        let config = surroundings.variable("AWS_CONFIG_FILE") ?? home + "/.aws/config"
        let shared = surroundings.variable("AWS_SHARED_CREDENTIALS_FILE") ?? home + "/.aws/credentials"
        for (name, values) in Self.parse(surroundings.read(config) ?? []) {
            let isPlain = name == "default" || name.hasPrefix("services ") || name.hasPrefix("profile ")
            guard isPlain else { continue }
            let key = name.hasPrefix("profile ") ? String(name.dropFirst(8)).trimmed : name
            sections[key, default: [:]].merge(values) { $1 }
        }
        for (name, values) in Self.parse(surroundings.read(shared) ?? []) {
            sections[name, default: [:]].merge(values) { $1 }
        }
    }

    /// A profile's settings; nil where there is no such profile.
    package subscript(name: String) -> [String: String]? { sections[name] }

    /// The address that a profile gives for a service, or for all of them.
    package func endpoint(of service: String, in profile: String) -> String? {
        guard let settings = sections[profile] else { return nil }
        let own = settings["services"].flatMap { sections["services \($0)"]?["\(service).endpoint_url"] }
        return own ?? settings["endpoint_url"]
    }

    /// Sections with their settings; a setting below an indented block is named `block.setting`.
    private static func parse(_ bytes: [UInt8]) -> [(String, [String: String])] {
        var result: [(String, [String: String])] = []
        var block = ""
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let text = String(line).trimmed
            if text.isEmpty || text.hasPrefix("#") || text.hasPrefix(";") { continue }
            if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
                result.append((String(text[text.index(after: text.startIndex)..<end]).trimmed, [:]))
                block = ""
                continue
            }
            guard !result.isEmpty, let equals = text.firstIndex(of: "=") else { continue }
            let name = String(text[..<equals]).trimmed
            let value = String(text[text.index(after: equals)...]).trimmed
            let isIndented = line.first?.isWhitespace == true
            if isIndented, !block.isEmpty {
                result[result.count - 1].1["\(block).\(name)"] = value
            } else {
                block = value.isEmpty ? name : ""
                result[result.count - 1].1[name] = value
            }
        }
        return result
    }
}

extension String {
    fileprivate var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
