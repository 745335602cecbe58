internal import PluginKit
internal import PluginWire
internal import ProviderHTTP
internal import Transit

/// The program `keyturn-transit`.
@main
struct Main: ProviderPlugin {
    let description = PluginDescription(
        kind: "transit", version: "1.0",
        settings: TransitSettings.names.map { PluginSetting($0.name, $0.summary, isRequired: $0.isRequired) },
        rotatesKeys: true, listsVersions: true)

    func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider {
        do throws(TransitError) {
            let settings = try TransitSettings(settings)
            return TransitProvider(settings, HTTPConnector(trusting: settings.authorities), Surroundings())
        } catch {
            throw error.forHost
        }
    }

    static func main() async { await ProviderMain.run(Main()) }
}
