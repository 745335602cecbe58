public import KeyModel

/// Holds a key-encryption key and wraps and unwraps key versions under it, never data.
///
/// Every call may be slow, may fail and may be cancelled; a slow call fails that call only.
public protocol KeyProvider: Sendable {
    /// Says who the provider is and what it can do.
    func info() async throws(ProviderError) -> ProviderInfo

    /// Tries the key from end to end and says what it found; changes nothing.
    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck]

    /// Wraps a version's material, 1…256 bytes, bound to `binding`.
    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey

    /// Unwraps what this provider wrapped; the same binding must be given.
    func unwrap(_ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall) async throws(ProviderError)
        -> SecretBytes

    /// Describes the key-encryption key that would wrap now.
    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey

    /// Makes a new key-encryption key that wraps from now on; what older ones wrapped still unwraps.
    ///
    /// A call with the idempotency key of an earlier one makes no second key; ``RotationMemory`` sees to that. Providers whose
    /// keys are turned elsewhere leave this out.
    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey

    /// Lists the key-encryption keys that still unwrap, oldest first; the last one wraps.
    ///
    /// Providers that cannot tell leave this out.
    func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey]
}

extension KeyProvider {
    /// Refuses: the provider's keys are turned where they are held.
    public func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        throw ProviderError(
            .providerUnsupported, "the provider makes no new keys on request", hint: "Turn its key where it is held."
        )
    }

    /// Refuses: the provider does not know its older keys.
    public func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        throw ProviderError(
            .providerUnsupported, "the provider does not list its keys", hint: "See where its keys are held.")
    }
}

/// What accompanies every call to a provider.
public struct ProviderCall: Sendable {
    /// The time allowed; an answer that comes later is thrown away.
    public let deadline: Duration
    /// The same for a repeated call, so that a provider can tell a retry from a second request.
    public let idempotencyKey: String

    /// Makes a call's particulars.
    public init(deadline: Duration, idempotencyKey: String) {
        self.deadline = deadline
        self.idempotencyKey = idempotencyKey
    }
}

/// What a wrapped key is bound to; a wrap that is moved to another place does not unwrap.
public struct WrapBinding: Hashable, Sendable {
    /// The instance's id.
    public let instance: String
    /// The keyring.
    public let keyring: Name
    /// The version.
    public let key: KeyID

    /// Makes a binding.
    public init(instance: String, keyring: Name, key: KeyID) {
        self.instance = instance
        self.keyring = keyring
        self.key = key
    }
}

/// A wrapped key as its provider returned it, kept byte for byte.
public struct WrappedKey: Hashable, Sendable {
    /// The wrapped material, at most 64 KiB.
    public let ciphertext: Bytes
    /// The provider's own name for the key that wrapped it.
    public let providerKeyID: String
    /// What the provider wants back when it unwraps.
    public let annotations: [String: Bytes]

    /// Makes a wrapped key.
    public init(ciphertext: Bytes, providerKeyID: String, annotations: [String: Bytes] = [:]) {
        self.ciphertext = ciphertext
        self.providerKeyID = providerKeyID
        self.annotations = annotations
    }
}

/// Who a provider is.
public struct ProviderInfo: Hashable, Sendable {
    /// Its kind, such as `local`.
    public let kind: String
    /// Its version.
    public let version: String
    /// What it can do beyond what every provider can.
    public let abilities: Set<ProviderAbility>

    /// Makes the description.
    public init(kind: String, version: String, abilities: Set<ProviderAbility> = []) {
        self.kind = kind
        self.version = version
        self.abilities = abilities
    }
}

/// What a provider may be able to do; the names are those of the handshake.
public enum ProviderAbility: String, CaseIterable, Sendable {
    /// It makes new keys on request, `rotateKey`.
    case rotate
    /// It lists its keys, `listVersions`.
    case versions
}

/// The key-encryption key that a provider would wrap with.
public struct ProviderKey: Hashable, Sendable {
    /// The provider's own name for it.
    public let id: String
    /// Whether it can wrap now.
    public let isUsable: Bool
    /// One line for people.
    public let summary: String
    /// When it ends by itself unless someone acts, as imported material does; nil where it does not, or nobody knows.
    public let endsAt: Timestamp?
    /// When the credentials end that the provider works with now, and renews before; nil where they do not end, or where it
    /// does not say.
    public let credentialsEndAt: Timestamp?

    /// Makes the description.
    public init(
        id: String, isUsable: Bool, summary: String, endsAt: Timestamp? = nil, credentialsEndAt: Timestamp? = nil
    ) {
        self.id = id
        self.isUsable = isUsable
        self.summary = summary
        self.endsAt = endsAt
        self.credentialsEndAt = credentialsEndAt
    }
}

/// One line of a provider's test.
public struct ProviderCheck: Hashable, Sendable {
    /// How it went.
    public enum Outcome: String, Sendable { case pass, fail, skipped }

    /// What was tried.
    public let name: String
    /// How it went.
    public let outcome: Outcome
    /// Why, and what to do about it.
    public let remark: String

    /// Makes a line.
    public init(name: String, outcome: Outcome, remark: String = "") {
        self.name = name
        self.outcome = outcome
        self.remark = remark
    }
}

/// Says why a provider did not answer as asked.
public struct ProviderError: Error, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    public enum Code: String, Sendable {
        /// It could not be reached or did not answer in time; a retry can help.
        case providerUnavailable
        /// It refuses: no permission, or the key is disabled; a retry cannot help until someone acts.
        case providerDenied
        /// It does not hold the key that wrapped this; a retry cannot help.
        case providerKeyUnknown
        /// The wrapped key was changed, or wrapped for another place.
        case dataNotAuthentic
        /// Its files or settings are not as they must be; the hint says what to change.
        case providerMisconfigured
        /// It answered something that makes no sense.
        case providerAnswerInvalid
        /// It leaves this call out; a retry cannot help.
        case providerUnsupported
    }

    /// Which of them.
    public let code: Code
    /// What could not be done, and why; lower case, one line, without secrets.
    public let message: String
    /// What to do about it.
    public let hint: String?

    /// Makes an error.
    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension ProviderError: CodedError {
    /// The stable name of the code.
    public var codeName: String { code.rawValue }
}

/// A provider that keeps what it unwrapped for a bounded time, so that nothing above it has to.
package protocol BoundedKeyCache: KeyProvider {
    /// Forgets every unwrapped key at once.
    func forgetKeys()
}
