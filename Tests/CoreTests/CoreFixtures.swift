import KR1
import KeyModel
import PluginKit
import Testing

/// Says what a fixture lacks.
struct FixtureError: Error {
    let reason: String
}

/// A key id from a number that is not zero.
func keyID(_ number: UInt32) throws -> KeyID {
    try #require(KeyID(number))
}

/// Decodes base 64 of a fixture.
func base64(_ text: String) throws -> Bytes {
    try #require(Base64.decode(Bytes(text.utf8), alphabet: .standard, padding: .padded))
}

/// Material from bytes.
func material(_ id: UInt32, _ bytes: Bytes) throws -> KeyMaterial {
    KeyMaterial(id: try keyID(id), secret: SecretBytes(copying: bytes))
}

/// Fresh material.
func freshMaterial(
    _ id: UInt32, of core: any EncryptionCore.Type, options: CoreOptions = [:]
) throws -> KeyMaterial {
    KeyMaterial(id: try keyID(id), secret: try core.generateMaterial(options: options))
}

/// Whether a secret is these bytes.
func holds(_ secret: borrowing SecretBytes, _ bytes: Bytes) -> Bool {
    secret.isEqual(to: SecretBytes(copying: bytes))
}

extension EncryptionCore {
    /// Seals one plaintext.
    func sealOne(_ item: PlainItem, with key: KeyID) throws -> StoredValue {
        try #require(seal([item], with: key).first).get()
    }

    /// Opens one value.
    func openOne(_ value: StoredValue, context: ValueContext = .none) throws -> OpenedValue {
        try #require(open([SealedItem(value, context: context)]).first).get()
    }

    /// The failure of opening one value; nil where it opens.
    func failureOfOpening(_ value: StoredValue, context: ValueContext = .none) -> OpenFailure? {
        switch open([SealedItem(value, context: context)]).first {
        case .failure(let failure): failure
        case .success, nil: nil
        }
    }
}
