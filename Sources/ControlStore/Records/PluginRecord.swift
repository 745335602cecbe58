package import KeyModel

/// A plugin in the catalogue.
package struct PluginRecord: Hashable, Sendable {
    /// The name by which keyturn.lua refers to it.
    package var name: Name
    /// Its file, absolute.
    package var path: String
    /// The SHA-256 that the file must have, in hexadecimal.
    package var sha256: String
    /// What it said it was.
    package var kind: String
    /// The version that it said it had.
    package var version: String
    /// When it was registered.
    package var registeredAt: Timestamp
    /// Who registered it.
    package var registeredBy: String

    /// Makes a record.
    package init(
        name: Name, path: String, sha256: String, kind: String, version: String, registeredAt: Timestamp,
        registeredBy: String
    ) {
        self.name = name
        self.path = path
        self.sha256 = sha256
        self.kind = kind
        self.version = version
        self.registeredAt = registeredAt
        self.registeredBy = registeredBy
    }
}
