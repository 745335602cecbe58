internal import KeyModel
internal import PluginKit

/// What a provider's answers have to keep to, whatever language it is written in.
enum AnswerCheck {
    /// The most bytes of a wrapped key.
    static let maximumCiphertext = 65_536
    /// The most bytes of a provider's name for a key.
    static let maximumKeyID = 1024
    /// The most bytes of all annotations together.
    static let maximumAnnotations = 32 * 1024

    /// Refuses a wrapped key that makes no sense, or that holds what it should hide.
    static func check(
        _ wrapped: WrappedKey, of material: borrowing SecretBytes, from provider: Name
    ) throws(ProviderError) {
        let who = "provider \"\(provider)\""
        guard (1...maximumCiphertext).contains(wrapped.ciphertext.count) else {
            throw invalid("\(who) wrapped a key into \(wrapped.ciphertext.count) bytes, not 1 to 65536")
        }
        try check(keyID: wrapped.providerKeyID, from: provider)
        let size = wrapped.annotations.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
        guard size <= maximumAnnotations else {
            throw invalid("\(who) gave annotations of \(size) bytes, more than 32 KiB")
        }
        let places = [wrapped.ciphertext] + wrapped.annotations.values + [Bytes(wrapped.providerKeyID.utf8)]
        guard material.count < 8 || !places.contains(where: { holds($0, material) }) else {
            throw invalid("\(who) gave back a wrapped key that holds the key in clear")
        }
    }

    /// Refuses a name that is empty, too long or not printable.
    static func check(keyID: String, from provider: Name) throws(ProviderError) {
        let isPrintable = keyID.unicodeScalars.allSatisfy {
            switch $0.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
            default: true
            }
        }
        guard (1...maximumKeyID).contains(keyID.utf8.count), isPrintable, !keyID.contains("\u{FFFD}") else {
            throw invalid("provider \"\(provider)\" names its key \(quoted(keyID)), not with 1 to 1024 printable bytes")
        }
    }

    private static func invalid(_ message: String) -> ProviderError {
        ProviderError(
            .providerAnswerInvalid, message, hint: "Nothing was stored. Try the plugin with \"keyturn plugin test\"."
        )
    }

    /// Whether the bytes of a secret stand in clear somewhere in others.
    private static func holds(_ bytes: Bytes, _ material: borrowing SecretBytes) -> Bool {
        material.withExposedBytes { secret in
            guard let first = secret.first, bytes.count >= secret.count else { return false }
            return (0...(bytes.count - secret.count)).contains { start in
                bytes[start] == first && bytes[start..<(start + secret.count)].elementsEqual(secret)
            }
        }
    }
}
