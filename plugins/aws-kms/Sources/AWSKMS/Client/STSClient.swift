package import AWSNames
internal import Foundation
internal import KeyModel
internal import PluginKit
package import ProviderHTTP

/// Speaks with the regional Security Token Service.
package struct STSClient: Sendable {
    /// What a role is assumed with.
    package struct Assumption: Sendable {
        /// The role.
        package let role: RoleARN
        /// The session's name, which the role's owner sees in the log of the account: 2 to 64 characters.
        package let session: String
        /// The External ID; nil sends none.
        package let externalID: String?
        /// A policy that narrows the session; nil leaves it as wide as the role.
        package let policy: String?
        /// How long the session lasts, in seconds: 900…3600.
        package let seconds: Int

        /// Describes an assumption.
        package init(
            _ role: RoleARN, session: String, externalID: String?, policy: String? = nil, seconds: Int = 3600
        ) {
            self.role = role
            self.session = session
            self.externalID = externalID
            self.policy = policy
            self.seconds = seconds
        }
    }

    private let caller: SignedCaller

    /// Reaches the service of a region.
    package init(_ endpoint: Endpoint, region: String, _ context: AWSContext) {
        caller = SignedCaller(endpoint: endpoint, region: region, service: .sts, context: context)
    }

    /// Says who the credentials are: the ARN.
    package func callerIdentity(_ credentials: CredentialCache, _ deadline: Deadline) async throws(AWSError) -> String {
        try await caller.call(
            call("GetCallerIdentity", [], about: ""), with: credentials, deadline,
            refuse: { refuse($0, "say who asks") },
            read: { Self.document($0)?["Arn"].flatMap { $0.isEmpty ? nil : $0 } })
    }

    /// Assumes a role, signed by who may.
    package func assume(
        _ assumption: Assumption, _ credentials: CredentialCache, _ deadline: Deadline
    ) async throws(AWSError) -> AWSCredentials {
        var fields = [
            ("RoleArn", assumption.role.description), ("RoleSessionName", assumption.session),
            ("DurationSeconds", String(assumption.seconds)),
        ]
        if let id = assumption.externalID { fields.append(("ExternalId", id)) }
        if let policy = assumption.policy { fields.append(("Policy", policy)) }
        let role = assumption.role.description
        return try await caller.call(
            call("AssumeRole", fields, about: role), with: credentials, deadline,
            refuse: { refuse($0, "assume \(role)") }, read: { Self.credentials($0, "role \(role)") })
    }

    /// Assumes a role by a token that an identity provider made; not signed.
    package func assume(
        _ role: RoleARN, session: String, webIdentity token: String, _ deadline: Deadline
    ) async throws(AWSError) -> AWSCredentials {
        let fields = [
            ("RoleArn", role.description), ("RoleSessionName", session), ("WebIdentityToken", token),
        ]
        return try await caller.call(
            call("AssumeRoleWithWebIdentity", fields, about: role.description), with: nil, deadline,
            refuse: { refuse($0, "assume \(role) by a web identity") },
            read: { Self.credentials($0, "web identity as \(role)") })
    }

    private func call(_ action: String, _ fields: [(String, String)], about subject: String) -> SignedCaller.Call {
        let all = [("Action", action), ("Version", "2011-06-15")] + fields
        let body = all.map { "\($0.0)=\(Self.encoded($0.1))" }.joined(separator: "&")
        return SignedCaller.Call(
            action: action, subject: subject,
            headers: [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")], body: Bytes(body.utf8))
    }

    private static func encoded(_ text: String) -> String {
        let plain = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: plain) ?? ""
    }

    private static func document(_ answer: HTTPResponse) -> XMLLeaves? {
        let leaves = XMLLeaves(answer.body)
        return leaves.isWellFormed ? leaves : nil
    }

    private static func credentials(_ answer: HTTPResponse, _ source: String) -> AWSCredentials? {
        guard let leaves = document(answer), let id = leaves["AccessKeyId"], let secret = leaves["SecretAccessKey"],
            let token = leaves["SessionToken"], !id.isEmpty, !secret.isEmpty, !token.isEmpty,
            let end = leaves["Expiration"].flatMap(AWSTime.seconds)
        else { return nil }
        return AWSCredentials(
            .init(accessKeyID: id, secretAccessKey: secret, sessionToken: token), expiration: end, source: source)
    }

    private func refuse(_ refusal: AWSRefusal, _ what: String) -> AWSError {
        switch refusal.code {
        case "AccessDenied", "AccessDeniedException":
            AWSError(
                .providerDenied,
                "STS does not let us \(what): there is no such role (its name is case-sensitive), it does not trust this "
                    + "principal, or the External ID is another: \(refusal.shown)",
                hint:
                    "Compare the role's trust policy with the one that \"keyturn byok describe\" prints; a change takes up to "
                    + "5 minutes to work.")
        case "RegionDisabledException":
            AWSError(
                .providerDenied, "STS is switched off in region \(caller.region) for that account: \(refusal.shown)",
                hint: "Have the account's administrator activate STS in \(caller.region).")
        case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
            "InvalidSignatureException", "ExpiredToken", "ExpiredTokenException", "MissingAuthenticationToken":
            AWSError(
                .providerCredentials, "STS does not accept the credentials: \(refusal.shown)",
                hint: "Check key, secret and token, and this machine's clock.")
        default: AWSError(.providerAnswer, "STS cannot \(what): \(refusal.shown)")
        }
    }
}
