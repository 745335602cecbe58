public import PluginKit

/// What the author of a key provider implements; ``ProviderMain`` does the rest.
public protocol ProviderPlugin: Sendable {
    /// Says what the plugin is; asked before anything is set up.
    var description: PluginDescription { get }

    /// Sets up the provider that these settings describe; called once for each set of settings.
    ///
    /// - Parameter settings: What `provider "…" { … }` says in keyturn.lua, less the host's own words. Only known names
    ///   come here, and all the required ones.
    /// - Returns: The provider.
    /// - Throws: `ProviderError` with `providerMisconfigured` where a setting makes no sense.
    func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider
}

/// What a plugin is and understands.
public struct PluginDescription: Hashable, Sendable {
    /// Its kind, such as `pkcs11`.
    public let kind: String
    /// Its version.
    public let version: String
    /// The settings that it understands.
    public let settings: [PluginSetting]
    /// Whether its providers make new keys on request (`rotateKey`).
    public let rotatesKeys: Bool
    /// Whether its providers list their keys (`listVersions`).
    public let listsVersions: Bool

    /// Describes a plugin.
    public init(
        kind: String, version: String, settings: [PluginSetting] = [], rotatesKeys: Bool = false,
        listsVersions: Bool = false
    ) {
        self.kind = kind
        self.version = version
        self.settings = settings
        self.rotatesKeys = rotatesKeys
        self.listsVersions = listsVersions
    }

    /// What the handshake declares beyond what every provider can.
    package var abilities: Set<ProviderAbility> {
        Set((rotatesKeys ? [.rotate] : []) + (listsVersions ? [.versions] : []))
    }
}

/// A setting that a plugin understands.
public struct PluginSetting: Hashable, Sendable {
    /// Its name, as it stands in keyturn.lua.
    public let name: String
    /// One line for people.
    public let summary: String
    /// Whether it must be given.
    public let isRequired: Bool

    /// Describes a setting.
    public init(_ name: String, _ summary: String, isRequired: Bool = false) {
        self.name = name
        self.summary = summary
        self.isRequired = isRequired
    }
}
