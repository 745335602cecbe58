internal import Foundation

/// What the server says of a key.
struct TransitKey: Decodable {
    let type: String
    let latestVersion: Int
    let oldestThatOpens: Int
    let isDerived: Bool
    let canWrap: Bool

    private enum CodingKeys: String, CodingKey {
        case type
        case latestVersion = "latest_version"
        case oldestThatOpens = "min_decryption_version"
        case isDerived = "derived"
        case canWrap = "supports_encryption"
    }
}

/// The answer to encrypt and to rewrap.
struct TransitCiphertext: Decodable {
    let ciphertext: String

    /// The version that stands in it: `vault:v3:…`.
    var version: Int? {
        let parts = ciphertext.split(separator: ":", maxSplits: 2)
        guard parts.count == 3, parts[1].hasPrefix("v") else { return nil }
        return Int(parts[1].dropFirst())
    }
}

/// The answer to decrypt.
struct TransitPlaintext: Decodable {
    let plaintext: Data
}

/// The answer to a login and to a renewal.
struct TransitAuth: Decodable {
    let token: String
    let seconds: Double

    private enum CodingKeys: String, CodingKey {
        case token = "client_token"
        case seconds = "lease_duration"
    }
}

/// How long a token lasts yet.
struct TransitLease: Decodable {
    let seconds: Double

    private enum CodingKeys: String, CodingKey { case seconds = "ttl" }
}

/// What stands around an answer.
struct TransitEnvelope<Body: Decodable>: Decodable {
    let data: Body?
    let auth: TransitAuth?
}

/// What a server says where it does not do what was asked.
struct TransitRefusal: Decodable {
    let errors: [String]
}
