package import AWSNames
internal import Foundation
internal import KeyModel
package import PluginKit
package import ProviderHTTP

/// Speaks with the Key Management Service about one key.
///
/// The key's ARN goes with every call that takes one, and each answer must name it again.
package struct KMSClient: Sendable {
    /// The key.
    package let key: KeyARN
    private let caller: SignedCaller
    private let credentials: CredentialCache

    /// Reaches the service.
    package init(_ key: KeyARN, _ endpoint: Endpoint, _ context: AWSContext, _ credentials: CredentialCache) {
        self.key = key
        self.credentials = credentials
        caller = SignedCaller(endpoint: endpoint, region: key.region, service: .kms, context: context)
    }

    /// When the credentials of the last call end, in seconds since 1970; nil where they do not.
    package var credentialsEnd: Double? { credentials.expiration }

    /// Describes the key, in whatever state it is.
    package func describe(_ deadline: Deadline) async throws(AWSError) -> KeyMetadata {
        struct Answer: Decodable {
            let metadata: KeyMetadata
            private enum CodingKeys: String, CodingKey { case metadata = "KeyMetadata" }
        }
        return try await call("DescribeKey", ["KeyId": .text(key.description)], deadline) { (answer: Answer) in
            (answer.metadata, [answer.metadata.arn])
        }
    }

    /// Wraps up to 4,096 bytes.
    package func encrypt(
        _ plaintext: borrowing SecretBytes, context: [String: String], _ deadline: Deadline
    ) async throws(AWSError) -> Bytes {
        let blob = plaintext.withExposedBytes { Data($0) }
        let fields: [String: JSONField] = [
            "KeyId": .text(key.description), "Plaintext": .blob(blob), "EncryptionContext": .map(context),
        ]
        return try await call("Encrypt", fields, deadline) { (answer: BlobAnswer) in
            (Bytes(answer.ciphertext), [answer.keyID])
        }
    }

    /// Has the service make 32 bytes and wrap them.
    package func generateDataKey(
        context: [String: String], _ deadline: Deadline
    ) async throws(AWSError) -> (wrapped: Bytes, plaintext: Bytes) {
        let fields: [String: JSONField] = [
            "KeyId": .text(key.description), "NumberOfBytes": .number(32), "EncryptionContext": .map(context),
        ]
        return try await call("GenerateDataKey", fields, deadline) { (answer: DataKeyAnswer) in
            answer.plaintext.count == 32
                ? ((Bytes(answer.ciphertext), Bytes(answer.plaintext)), [answer.keyID]) : nil
        }
    }

    /// Unwraps, by this key alone.
    ///
    /// - Returns: The bytes, and which of the key's materials wrapped them where the service says so.
    package func decrypt(
        _ blob: Bytes, context: [String: String], _ deadline: Deadline
    ) async throws(AWSError) -> (plaintext: KeyBytes, material: String?) {
        let fields: [String: JSONField] = [
            "KeyId": .text(key.description), "CiphertextBlob": .blob(Data(blob)), "EncryptionContext": .map(context),
        ]
        return try await call("Decrypt", fields, deadline) { (answer: PlainAnswer) in
            ((KeyBytes(answer.plaintext), answer.material), [answer.keyID])
        }
    }

    /// Wraps anew what this key wrapped, under its newest material, without showing it.
    package func reencrypt(
        _ blob: Bytes, context: [String: String], _ deadline: Deadline
    ) async throws(AWSError) -> Bytes {
        let fields: [String: JSONField] = [
            "CiphertextBlob": .blob(Data(blob)), "SourceKeyId": .text(key.description),
            "SourceEncryptionContext": .map(context), "DestinationKeyId": .text(key.description),
            "DestinationEncryptionContext": .map(context),
        ]
        return try await call("ReEncrypt", fields, deadline) { (answer: BlobAnswer) in
            (Bytes(answer.ciphertext), [answer.keyID, answer.sourceKeyID ?? answer.keyID])
        }
    }

    /// Calls, and compares every key that the answer names with ours.
    private func call<Answer: Decodable, Result>(
        _ action: String, _ fields: [String: JSONField], _ deadline: Deadline,
        _ pick: (Answer) -> (Result, [String])?
    ) async throws(AWSError) -> Result {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let body = try? encoder.encode(fields) else {
            throw AWSError(.callerUsage, "cannot write the request \(action)")
        }
        let request = SignedCaller.Call(
            action: action, subject: key.description,
            headers: [
                ("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", "TrentService.\(action)"),
            ], body: Bytes(body))
        let (result, keys) = try await caller.call(
            request, with: credentials, deadline, refuse: { refuse($0, action) },
            read: { answer in (try? JSONDecoder().decode(Answer.self, from: Data(answer.body))).flatMap(pick) })
        guard let other = keys.first(where: { $0 != key.description }) else { return result }
        throw AWSError(
            .providerAnswer, "KMS answers \(action) for \(quoted(other)), not for \(key)",
            hint: "Something between here and AWS answers in its place; check proxies and endpoints.")
    }
}

extension KMSClient {
    private func refuse(_ refusal: AWSRefusal, _ action: String) -> AWSError {
        switch refusal.code {
        case "AccessDeniedException", "AccessDenied", "NotAuthorized":
            AWSError(
                .providerDenied,
                "KMS refuses \(action) on \(key): the role may not, the key does not exist (any more), or it is in another "
                    + "region: \(refusal.shown)",
                hint:
                    "Check the role's permission policy, the key's own policy and the region; a changed policy takes up to 5 "
                    + "minutes to work.")
        case "NotFoundException":
            AWSError(
                .providerDenied, "there is no key \(key): \(refusal.shown)",
                hint: "It was deleted, or its ARN is another.")
        case "DisabledException":
            AWSError(
                .providerDisabled, "\(key) is disabled or waits for its deletion: \(refusal.shown)",
                hint: "Have the key's owner enable it, or cancel its deletion.")
        case "KMSInvalidStateException", "InvalidStateException": invalidState(refusal)
        case "IncorrectKeyException":
            AWSError(
                .dataNotAuthentic, "the wrapped key is not under \(key)",
                hint: "It was wrapped by another key; nothing was changed.")
        case "InvalidCiphertextException":
            AWSError(
                .dataNotAuthentic,
                "KMS cannot unwrap with \(key): the wrapped key was altered, or it was wrapped for another instance, keyring or key id"
            )
        case "InvalidKeyUsageException", "UnsupportedOperationException":
            AWSError(
                .callerUsage, "\(key) cannot wrap: \(refusal.shown)",
                hint: "Use a symmetric key (SYMMETRIC_DEFAULT) that is made for ENCRYPT_DECRYPT.")
        case "UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignatureException",
            "MissingAuthenticationTokenException", "InvalidSignatureException", "SignatureDoesNotMatch",
            "ExpiredTokenException", "ExpiredToken", "RequestExpired", "RequestTimeTooSkewed":
            AWSError(
                .providerCredentials, "KMS does not accept the credentials: \(refusal.shown)",
                hint: "Check key, secret and token, and this machine's clock.")
        case "LimitExceededException":
            AWSError(.providerUnavailable, "KMS refuses \(action) on \(key) by a fixed limit: \(refusal.shown)")
        default: AWSError(.providerAnswer, "KMS cannot do \(action) on \(key): \(refusal.shown)")
        }
    }

    private func invalidState(_ refusal: AWSRefusal) -> AWSError {
        let isPending = refusal.message.lowercased().contains("deletion")
        return AWSError(
            .providerDisabled,
            isPending
                ? "\(key) waits for its deletion: \(refusal.shown)"
                : "\(key) is in a state in which it cannot be used: \(refusal.shown)",
            hint: isPending
                ? "Have the key's owner cancel the deletion before its date; after it everything under the key is lost."
                : "Have the key's owner look at its state.")
    }
}

/// Bytes that came from a service and are erased once nobody holds them.
package final class KeyBytes: Sendable {
    private let secret: SecretBytes

    convenience init(_ data: Data) { self.init(copying: Bytes(data)) }

    /// Copies bytes.
    package init(copying bytes: Bytes) { secret = SecretBytes(copying: bytes) }

    /// How many there are.
    package var count: Int { secret.count }

    /// Copies them into memory of their own.
    package func copy() -> SecretBytes { secret.withExposedBytes { SecretBytes(copying: $0) } }

    /// Compares them with others in a time that depends on their lengths alone.
    package func isEqual(to other: borrowing SecretBytes) -> Bool { secret.isEqual(to: other) }
}
