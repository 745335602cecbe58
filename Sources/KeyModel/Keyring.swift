/// All versions of one data-encryption key; at most one of them is active.
public struct Keyring: Hashable, Sendable {
    /// The name by which configuration and commands know it.
    public let name: Name
    /// The name of the encryption core whose format its values have.
    public let core: String
    /// What makes a rotation due and what must accompany it.
    public var policy: KeyringPolicy
    /// The versions, oldest first.
    public private(set) var versions: [KeyVersion]

    /// Makes a keyring from its stored versions.
    ///
    /// - Throws: ``KeyModelError`` with `keyringInconsistent` for two active versions or one id twice.
    public init(name: Name, core: String, policy: KeyringPolicy, versions: [KeyVersion]) throws(KeyModelError) {
        guard Set(versions.map(\.id)).count == versions.count else {
            throw KeyModelError(.keyringInconsistent, "keyring \"\(name)\" holds one key id twice")
        }
        guard versions.count(where: { $0.state == .active }) <= 1 else {
            throw KeyModelError(.keyringInconsistent, "keyring \"\(name)\" has more than one active version")
        }
        self.name = name
        self.core = core
        self.policy = policy
        self.versions = versions.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }

    /// The version that seals, if there is one.
    public var active: KeyVersion? { versions.first { $0.state == .active } }

    /// The version with this id, if it belongs to the keyring.
    public subscript(id: KeyID) -> KeyVersion? { versions.first { $0.id == id } }
}
