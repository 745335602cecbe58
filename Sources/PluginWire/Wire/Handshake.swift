package import Foundation

/// The line of JSON that a plugin prints on standard output once its socket is bound.
///
/// `{"protocols":[1],"capabilities":["wrap","unwrap","describe","test"],"kind":"example","version":"1.0"}`
package struct Handshake: Codable, Hashable, Sendable {
    /// The versions of the protocol that the plugin speaks; the highest that both sides speak is used.
    package var protocols: [Int]
    /// What it can do; words that the host does not know are passed over.
    package var capabilities: [String]
    /// Its kind.
    package var kind: String
    /// Its version.
    package var version: String

    /// The versions that this side speaks.
    package static let spoken: Set<Int> = [1]
    /// What a provider must be able to do.
    package static let required: Set<String> = ["wrap", "unwrap", "describe", "test"]
    /// What says that a provider answers over sessions, too.
    package static let session = "session"
    /// The most bytes that the line may have.
    package static let maximumCount = 4096

    /// The environment variable that holds the path of the socket to bind.
    package static let socketVariable = "KEYTURN_PROVIDER_SOCKET"
    /// The environment variable that holds the versions that the host speaks, with commas between them.
    package static let protocolsVariable = "KEYTURN_PROVIDER_PROTOCOLS"
    /// The environment variable that holds the number of the descriptor from which a secret is read, where there is one.
    package static let secretVariable = "KEYTURN_PROVIDER_SECRET_FD"

    /// Makes a handshake.
    package init(protocols: [Int], capabilities: [String], kind: String, version: String) {
        self.protocols = protocols
        self.capabilities = capabilities
        self.kind = kind
        self.version = version
    }

    /// The line, with its end.
    ///
    /// - Throws: What the encoder throws.
    package func line() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + [UInt8(ascii: "\n")]
    }
}
