internal import Foundation
internal import PluginKit

/// What a run has proved, in the words that are signed.
package struct ProofStatement: Hashable, Codable, Sendable {
    /// The version of this form.
    package var form = 1
    /// The instance.
    package var instance: String
    /// The run's number.
    package var run: Int64
    /// What the run was for.
    package var kind: String
    /// How pressing it was.
    package var urgency: String
    /// The keyring.
    package var keyring: String
    /// The keyring's core.
    package var core: String
    /// The key that seals now.
    package var activeKey: String
    /// The keys that no live value is under any more, unless `isClean` is false.
    package var oldKeys: [String]
    /// Whether every canary opened under its own key.
    package var canariesOpen: Bool
    /// What was counted; every value was opened.
    package var columns: [ColumnCensus]
    /// Values rewritten by the run.
    package var rewritten: Int64
    /// Whether nothing is left and everything opens.
    package var isClean: Bool
    /// Where bytes of old values may remain, since a count speaks of live values only.
    package var oldBytesMayRemainIn: [String]
    /// The hash of its plan.
    package var planHash: String
    /// SHA-256 of the configuration it was planned under.
    package var configurationHash: String
    /// The database's own name for itself.
    package var database: String
    /// Who started it.
    package var actor: String
    /// When it was started.
    package var startedAt: String
    /// When the last value was counted.
    package var verifiedAt: String
}

/// A statement with its signature.
package struct SignedProof: Hashable, Codable, Sendable {
    /// The statement, as the exact JSON text that was signed.
    package let statement: String
    /// The signature over that text's UTF-8, in base64.
    package let signature: String
    /// The algorithm and the public key.
    package let signer: String

    /// Signs a statement.
    ///
    /// - Throws: What the signer throws.
    package init(_ statement: ProofStatement, by signer: any ProofSigner) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(statement), as: UTF8.self)
        self.statement = text
        signature = try signer.sign(Bytes(text.utf8))
        self.signer = signer.identity
    }
}
