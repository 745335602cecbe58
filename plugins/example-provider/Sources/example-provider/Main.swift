import PluginKit
import PluginWire

/// The program: everything but the provider itself is `ProviderMain`'s.
@main
struct Main: ProviderPlugin {
    /// What it is, and the one setting that it takes.
    let description = PluginDescription(
        kind: "example", version: "1.0",
        settings: [PluginSetting("directory", "the directory that holds the keys, mode 0700", isRequired: true)],
        rotatesKeys: true, listsVersions: true
    )

    /// Sets up the provider for a directory of keys.
    func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider {
        try KeyDirectoryProvider(directory: settings["directory"] ?? "")
    }

    static func main() async { await ProviderMain.run(Main()) }
}
