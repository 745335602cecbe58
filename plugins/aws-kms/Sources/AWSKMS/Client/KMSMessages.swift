internal import Foundation

/// A value in a request.
enum JSONField: Encodable {
    case text(String)
    case blob(Data)
    case number(Int)
    case map([String: String])

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .blob(let data): try container.encode(data.base64EncodedString())
        case .number(let number): try container.encode(number)
        case .map(let map): try container.encode(map)
        }
    }
}

/// The answer to Encrypt and to ReEncrypt.
struct BlobAnswer: Decodable {
    let ciphertext: Data
    let keyID: String
    let sourceKeyID: String?

    private enum CodingKeys: String, CodingKey {
        case ciphertext = "CiphertextBlob"
        case keyID = "KeyId"
        case sourceKeyID = "SourceKeyId"
    }
}

/// The answer to Decrypt.
struct PlainAnswer: Decodable {
    let plaintext: Data
    let keyID: String
    let material: String?

    private enum CodingKeys: String, CodingKey {
        case plaintext = "Plaintext"
        case keyID = "KeyId"
        case material = "KeyMaterialId"
    }
}

/// The answer to GenerateDataKey.
struct DataKeyAnswer: Decodable {
    let ciphertext: Data
    let plaintext: Data
    let keyID: String

    private enum CodingKeys: String, CodingKey {
        case ciphertext = "CiphertextBlob"
        case plaintext = "Plaintext"
        case keyID = "KeyId"
    }
}

/// What DescribeKey says of a key.
package struct KeyMetadata: Decodable, Sendable {
    let arn: String
    let account: String?
    let isEnabled: Bool?
    let state: String?
    let usage: String?
    let spec: String?
    let origin: String?
    let manager: String?
    let deletionDate: Double?
    let validTo: Double?
    let algorithms: [String]?
    let regions: KeyRegions?
    /// The id of the material that wraps now; nil where the service does not say.
    package let currentMaterial: String?

    private enum CodingKeys: String, CodingKey {
        case arn = "Arn"
        case account = "AWSAccountId"
        case isEnabled = "Enabled"
        case state = "KeyState"
        case usage = "KeyUsage"
        case spec = "KeySpec"
        case origin = "Origin"
        case manager = "KeyManager"
        case deletionDate = "DeletionDate"
        case validTo = "ValidTo"
        case algorithms = "EncryptionAlgorithms"
        case regions = "MultiRegionConfiguration"
        case currentMaterial = "CurrentKeyMaterialId"
    }
}

/// Where a key of several regions is.
struct KeyRegions: Decodable, Sendable {
    let kind: String?
    let primary: Place?

    struct Place: Decodable, Sendable {
        let region: String?

        private enum CodingKeys: String, CodingKey { case region = "Region" }
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "MultiRegionKeyType"
        case primary = "PrimaryKey"
    }
}
