package import KeyModel

/// What an instance keeps about keys that its customer brings.
package struct BYOKRecord: Hashable, Sendable {
    /// What a customer's role asks of whoever assumes it; made once, never chosen by anyone.
    package let externalID: String
    /// Whether keys may go back under the built-in key.
    package let allowsReturn: Bool
    /// The role that was described last; nil where none was.
    package var describedRole: String?
}

/// Where a provider stands on its way to hold keys.
package struct BYOKProviderRecord: Hashable, Sendable {
    /// The provider.
    package let provider: Name
    /// A hash over the settings that were tested.
    package var testedSettings: String
    /// When it was tested last.
    package var testedAt: Timestamp
    /// Whether every line passed.
    package var isPassed: Bool
    /// The lines, as JSON.
    package var checks: String
    /// A hash over the settings that were saved; nil where none were.
    package var savedSettings: String?
    /// When they were.
    package var savedAt: Timestamp?
    /// By whom.
    package var savedBy: String?

    /// Makes a record of a test.
    package init(
        provider: Name, testedSettings: String, testedAt: Timestamp, isPassed: Bool, checks: String,
        savedSettings: String? = nil, savedAt: Timestamp? = nil, savedBy: String? = nil
    ) {
        self.provider = provider
        self.testedSettings = testedSettings
        self.testedAt = testedAt
        self.isPassed = isPassed
        self.checks = checks
        self.savedSettings = savedSettings
        self.savedAt = savedAt
        self.savedBy = savedBy
    }
}

/// A wrap that lay outside of the customer's key, and may lie yet in backups and logs of the database.
package struct BYOKExposure: Hashable, Sendable {
    /// The version.
    package let key: KeyID
    /// Its keyring.
    package let keyring: Name
    /// Who wrapped it.
    package let provider: Name
    /// Under which key.
    package let providerKeyID: String
    /// When its move began.
    package let since: Timestamp

    /// Describes a wrap.
    package init(key: KeyID, keyring: Name, provider: Name, providerKeyID: String, since: Timestamp) {
        self.key = key
        self.keyring = keyring
        self.provider = provider
        self.providerKeyID = providerKeyID
        self.since = since
    }
}
