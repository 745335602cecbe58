package import KeyModel
package import PluginKit

/// A known plaintext sealed under a version, by which anyone can later prove that a key is the right one.
package enum Canary {
    /// Seals the canary of a version.
    ///
    /// - Throws: ``RotationError`` with `internalReadBackDiffers` where it does not seal.
    package static func seal(_ key: KeyID, with core: any EncryptionCore) throws -> StoredValue {
        let item = PlainItem(plaintext(of: key), context: .none, form: .text)
        guard case .success(let value)? = core.seal([item], with: key).first else {
            throw RotationError(.internalReadBackDiffers, "cannot seal the canary of key \(key)")
        }
        return value
    }

    /// Whether a sealed canary opens under its version and says what it must.
    package static func opens(_ value: StoredValue, under key: KeyID, with core: any EncryptionCore) -> Bool {
        guard case .success(let opened)? = core.open([SealedItem(value, context: .none)]).first else { return false }
        return opened.key == key && opened.plaintext == plaintext(of: key)
    }

    private static func plaintext(of key: KeyID) -> Bytes { Bytes("keyturn canary \(key)".utf8) }
}
