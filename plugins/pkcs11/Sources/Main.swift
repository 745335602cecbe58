internal import PluginKit
internal import PluginWire

/// The program `keyturn-pkcs11`.
@main
struct Main: ProviderPlugin {
    /// The PIN, where the host hands one over.
    private let secret = ProviderSecret.take()

    let description = PluginDescription(
        kind: "pkcs11", version: "1.0",
        settings: [
            PluginSetting("module", "the path of the token's PKCS #11 library", isRequired: true),
            PluginSetting("token", "the token's label", isRequired: true),
            PluginSetting("key", "the label of the AES key on the token", isRequired: true),
            PluginSetting(
                "pin_file", "a file that holds the user's PIN, mode 0600; without it secret_fd gives the PIN"),
            PluginSetting("create", "\"yes\" lets the token make the key where there is none"),
            PluginSetting("sessions", "how many sessions are used at once, 1 to 64; 4 where nothing is said"),
        ],
        rotatesKeys: true, listsVersions: true
    )

    func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider {
        let pool = try SessionPool(try TokenSettings(settings, secret: secret))
        return TokenProvider(pool)
    }

    static func main() async { await ProviderMain.run(Main()) }
}
