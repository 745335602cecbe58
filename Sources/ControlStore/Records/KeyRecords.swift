package import KeyModel
package import PluginKit

/// A keyring with everything that is recorded of it.
package struct KeyringRecord: Hashable, Sendable {
    /// Name, core, policy and versions.
    package let keyring: Keyring
    /// Options for the core.
    package let options: CoreOptions
    /// The provider that wraps its keys.
    package let provider: Name
    /// The applications that hold its keys themselves.
    package let consumers: [Name]
    /// Whether the configuration still declares it.
    package let isDeclared: Bool

    /// Makes a record.
    package init(keyring: Keyring, options: CoreOptions, provider: Name, consumers: [Name], isDeclared: Bool) {
        self.keyring = keyring
        self.options = options
        self.provider = provider
        self.consumers = consumers
        self.isDeclared = isDeclared
    }
}

/// Where a version's material came from.
package enum KeyOrigin: String, Sendable {
    /// Made here.
    case generated
    /// Brought by an application.
    case imported
}

/// A wrapped copy of a version's material.
package struct WrapRecord: Hashable, Sendable {
    /// The version.
    package let key: KeyID
    /// The provider that wrapped it.
    package let provider: Name
    /// What it returned, byte for byte.
    package let wrapped: WrappedKey
    /// When.
    package let createdAt: Timestamp

    /// Makes a record.
    package init(key: KeyID, provider: Name, wrapped: WrappedKey, createdAt: Timestamp) {
        self.key = key
        self.provider = provider
        self.wrapped = wrapped
        self.createdAt = createdAt
    }
}

/// One move of a version from state to state.
package struct KeyMove: Hashable, Sendable {
    /// The version.
    package let key: KeyID
    /// Where it stood; nil when it was made.
    package let from: KeyState?
    /// Where it went.
    package let to: KeyState
    /// When.
    package let at: Timestamp
    /// Who moved it.
    package let actor: String
    /// Why.
    package let reason: String

    /// Makes a record.
    package init(key: KeyID, from: KeyState?, to: KeyState, at: Timestamp, actor: String, reason: String) {
        self.key = key
        self.from = from
        self.to = to
        self.at = at
        self.actor = actor
        self.reason = reason
    }
}
