internal import Foundation
internal import KeyModel

/// What a provider's settings say, checked.
package struct TransitSettings: Sendable {
    /// How the provider says who it is.
    package enum Login: Sendable {
        /// By a token in a file.
        case token(file: String)
        /// By a role's id and a secret id in a file, at a mount of the method `approle`.
        case appRole(mount: String, roleID: String, secretFile: String)
    }

    /// The server: `https://vault.example:8200`, without a slash at its end.
    package let address: String
    /// Where the engine is mounted.
    package let mount: String
    /// The key's name.
    package let key: String
    /// The namespace; nil for none.
    package let namespace: String?
    /// How the provider says who it is.
    package let login: Login
    /// A file of certificates that are trusted instead of the system's.
    package let authorities: String?

    /// The settings that are understood: name, meaning, whether it must be there.
    package static let names: [(name: String, summary: String, isRequired: Bool)] = [
        ("address", "the server: https://HOST:PORT; http only on this machine", true),
        ("key", "the key's name", true),
        ("mount", "where the engine is mounted; transit where nothing is said", false),
        ("namespace", "the namespace that the engine is in", false),
        ("token_file", "a file that holds a token", false),
        ("role_id", "the id of an AppRole, instead of a token", false),
        ("secret_id_file", "a file that holds the AppRole's secret id", false),
        ("approle_mount", "where AppRole is mounted; approle where nothing is said", false),
        ("ca_file", "certificates that are trusted instead of the system's", false),
    ]

    /// The key's name as the provider gives it, without a version.
    package var keyName: String { [namespace, mount, key].compactMap { $0 }.joined(separator: "/") }

    /// Checks settings.
    ///
    /// - Throws: ``TransitError`` with `callerUsage`.
    package init(_ settings: [String: String]) throws(TransitError) {
        address = try Self.address(settings["address"] ?? "")
        mount = try Self.path(settings["mount"] ?? "transit", "mount")
        key = try Self.path(settings["key"] ?? "", "key")
        guard !key.contains("/") else { throw TransitError(.callerUsage, "key has a slash in it") }
        namespace = if let text = settings["namespace"], !text.isEmpty { try Self.path(text, "namespace") } else { nil }
        authorities = settings["ca_file"]
        switch (settings["token_file"], settings["role_id"], settings["secret_id_file"]) {
        case (let file?, nil, nil): login = .token(file: file)
        case (nil, let role?, let file?):
            login = .appRole(
                mount: try Self.path(settings["approle_mount"] ?? "approle", "approle_mount"), roleID: role,
                secretFile: file)
        default:
            throw TransitError(
                .callerUsage, "neither token_file nor role_id with secret_id_file is given, or both are",
                hint: "Give one way to log in.")
        }
    }

    private static func address(_ text: String) throws(TransitError) -> String {
        guard let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty, parts.user == nil,
            parts.query == nil, ["", "/"].contains(parts.path), ["http", "https"].contains(parts.scheme)
        else { throw TransitError(.callerUsage, "address is \(quoted(text)), not https://HOST[:PORT]") }
        guard parts.scheme == "https" || ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host) else {
            throw TransitError(
                .callerUsage, "address is \(quoted(text)): without TLS it would show keys to the network",
                hint: "Use https; http is for this machine's own addresses alone.")
        }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    private static func path(_ text: String, _ name: String) throws(TransitError) -> String {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isPath = parts.allSatisfy { part in
            part.wholeMatch(of: /[A-Za-z0-9_.\-]{1,200}/) != nil && part != "." && part != ".."
        }
        guard isPath, text.utf8.count <= 400 else {
            throw TransitError(
                .callerUsage, "\(name) is \(quoted(text)), which has other characters than letters, digits and _.-")
        }
        return text
    }
}
