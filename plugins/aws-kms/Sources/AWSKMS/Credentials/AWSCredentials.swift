package import AWSNames
package import ProviderHTTP

/// Credentials of AWS with what is known of them; key, secret and token are always of one set.
package struct AWSCredentials: Sendable {
    /// What signs.
    package let signing: SignatureV4.Credentials
    /// When they end, in seconds since 1970; nil where they do not.
    package let expiration: Double?
    /// Where they come from, for people: `environment`.
    package let source: String

    /// Describes credentials.
    package init(_ signing: SignatureV4.Credentials, expiration: Double? = nil, source: String) {
        self.signing = signing
        self.expiration = expiration
        self.source = source
    }

    /// Whether they are those of a session, with a token.
    package var areTemporary: Bool { signing.sessionToken != nil }
}

/// What a place that may hold credentials has to say.
package enum CredentialFinding: Sendable {
    /// It holds these.
    case found(AWSCredentials)
    /// It is not set up here, for this reason.
    case absent(String)
}

/// A place that may hold credentials.
package protocol CredentialSource: Sendable {
    /// Looks, and asks whoever must be asked.
    ///
    /// - Throws: ``AWSError`` where the place is set up but gives none.
    func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding
}
