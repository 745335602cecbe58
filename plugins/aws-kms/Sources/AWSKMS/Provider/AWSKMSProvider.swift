package import AWSNames
internal import KeyModel
package import PluginKit
internal import ProviderHTTP

/// Wraps under a key of AWS KMS, through a role of the key's owner where there is one.
///
/// The provider's name for a key is its ARN, with `#` and the id of the key's material where KMS says it: KMS rotates the
/// material below an ARN, which then shows as another name.
package final class AWSKMSProvider: KeyProvider {
    let settings: AWSKMSSettings
    let context: AWSContext
    let base: CredentialCache
    let sts: STSClient
    let kms: KMSClient

    /// Sets up a provider; nothing is asked yet.
    ///
    /// - Throws: ``AWSError`` with `callerUsage`.
    package init(_ settings: AWSKMSSettings, _ context: AWSContext) throws(AWSError) {
        self.settings = settings
        self.context = context
        let sts = STSClient(
            try settings.endpoint(of: .sts, context.surroundings), region: settings.key.region, context)
        let chain = CredentialChain(context, sts: sts, profile: settings.profile)
        let now = context.surroundings.now
        let base = CredentialCache(now: { now() + context.clockOffset }) { deadline in
            await Self.result { () async throws(AWSError) in try await chain.find(deadline) }
        }
        var session = base
        if let role = settings.role {
            let assumption = STSClient.Assumption(
                role, session: settings.session, externalID: settings.externalID,
                policy: SessionPolicy.text(for: settings.key))
            session = CredentialCache(now: { now() + context.clockOffset }) { deadline in
                await Self.result { () async throws(AWSError) in
                    try await Self.assume(assumption, base, sts, deadline)
                }
            }
        }
        kms = KMSClient(settings.key, try settings.endpoint(of: .kms, context.surroundings), context, session)
        self.sts = sts
        self.base = base
    }

    /// Says what it is.
    package func info() async throws(ProviderError) -> ProviderInfo { ProviderInfo(kind: "aws-kms", version: "1.0") }

    /// Wraps with Encrypt, then has KMS unwrap it again: what cannot be unwrapped is never handed out.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(.providerDenied, "cannot wrap \(material.count) bytes, only 1 to 256")
        }
        let deadline = Deadline(after: call.deadline)
        let context = Self.encryptionContext(binding)
        do throws(AWSError) {
            let blob = try await kms.encrypt(material, context: context, deadline)
            let (back, source) = try await kms.decrypt(blob, context: context, deadline)
            guard back.isEqual(to: material) else {
                throw AWSError(.providerAnswer, "KMS unwraps with \(settings.key) something else than it wrapped")
            }
            return WrappedKey(ciphertext: blob, providerKeyID: name(material: source))
        } catch {
            throw await explained(error, deadline).forHost
        }
    }

    /// Unwraps with Decrypt, by the configured key alone; it may be a replica of the one that wrapped.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        let arn = wrapped.providerKeyID.split(separator: "#", maxSplits: 1).first.map(String.init) ?? ""
        guard holds(arn) else {
            throw ProviderError(
                .providerKeyUnknown,
                "cannot unwrap key \(binding.key): it is under \(quoted(arn)), not \(settings.key)",
                hint: "Declare a provider for that key.")
        }
        guard (1...6144).contains(wrapped.ciphertext.count) else {
            throw ProviderError(
                .dataNotAuthentic,
                "cannot unwrap key \(binding.key): KMS makes no wraps of \(wrapped.ciphertext.count) bytes")
        }
        let deadline = Deadline(after: call.deadline)
        do throws(AWSError) {
            let (plaintext, _) = try await kms.decrypt(
                wrapped.ciphertext, context: Self.encryptionContext(binding), deadline)
            guard KeyMaterial.sizes.contains(plaintext.count) else {
                throw AWSError(.providerAnswer, "KMS unwraps \(plaintext.count) bytes, not 1 to 256")
            }
            return plaintext.copy()
        } catch {
            throw await explained(error, deadline).forHost
        }
    }

    /// Asks KMS for the key's state.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        do throws(AWSError) {
            let metadata = try await kms.describe(Deadline(after: call.deadline))
            let findings = KeyFindings(metadata, settings.key)
            let remarks = findings.refusals + findings.warnings
            return ProviderKey(
                id: name(material: metadata.currentMaterial), isUsable: findings.refusals.isEmpty,
                summary: remarks.isEmpty
                    ? "a symmetric key in \(settings.key.region)" : remarks.joined(separator: "; "),
                endsAt: findings.endsAt, credentialsEndAt: kms.credentialsEnd.flatMap(KeyFindings.time))
        } catch {
            throw error.forHost
        }
    }

    /// What the service binds a wrap to and shows in the log of the key's owner.
    package static func encryptionContext(_ binding: WrapBinding) -> [String: String] {
        [
            "keyturn:instance": binding.instance, "keyturn:keyring": binding.keyring.description,
            "keyturn:key": binding.key.description, "keyturn:format": "1",
        ]
    }

    /// One refusal has several causes; whether the key can be described tells some of them apart.
    private func explained(_ refused: AWSError, _ deadline: Deadline) async -> AWSError {
        guard refused.code == .providerDenied, refused.message.hasPrefix("KMS refuses") else { return refused }
        do throws(AWSError) {
            let findings = KeyFindings(try await kms.describe(deadline), settings.key)
            let standing =
                findings.refusals.first ?? "it is there and enabled, so that the permission is what is missing"
            return AWSError(
                refused.code, "\(refused.message); the key can be described: \(standing)", hint: refused.hint)
        } catch {
            return error.code == .providerDenied ? error : refused
        }
    }

    /// Whether what was wrapped by a key of this name is unwrapped by ours: replicas share their material.
    private func holds(_ arn: String) -> Bool {
        if arn == settings.key.description { return true }
        guard let other = try? KeyARN(arn) else { return false }
        return settings.key.isReplica(of: other)
    }

    private func name(material: String?) -> String {
        settings.key.description + (material.map { "#\($0)" } ?? "")
    }

    /// Assumes the role, unless the credentials are already those of it: a role is not trusted by itself.
    private static func assume(
        _ assumption: STSClient.Assumption, _ base: CredentialCache, _ sts: STSClient, _ deadline: Deadline
    ) async throws(AWSError) -> AWSCredentials {
        do throws(AWSError) {
            return try await sts.assume(assumption, base, deadline)
        } catch {
            guard error.code == .providerDenied else { throw error }
            let held = try await base.current(deadline).credentials
            guard held.areTemporary, let identity = try? await sts.callerIdentity(base, deadline),
                assumption.role.isAssumed(by: identity)
            else { throw error }
            return held
        }
    }

    private static func result<Value>(
        _ body: () async throws(AWSError) -> Value
    ) async -> Result<Value, AWSError> {
        do throws(AWSError) { return .success(try await body()) } catch { return .failure(error) }
    }
}

extension AWSError {
    /// The same in the words of PluginKit.
    package var forHost: ProviderError {
        let code: ProviderError.Code =
            switch self.code {
            case .callerUsage: .providerMisconfigured
            case .providerCredentials, .providerDenied, .providerDisabled: .providerDenied
            case .providerUnavailable, .providerThrottled: .providerUnavailable
            case .providerAnswer: .providerAnswerInvalid
            case .dataNotAuthentic: .dataNotAuthentic
            }
        return ProviderError(code, message, hint: hint)
    }
}

/// The policy that narrows a session to what a provider does with one key.
enum SessionPolicy {
    static func text(for key: KeyARN) -> String {
        let actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey", "kms:DescribeKey"]
        let list = actions.map { "\"\($0)\"" }.joined(separator: ",")
        return #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["#
            + list + #"],"Resource":""# + key.description + #""}]}"#
    }
}
