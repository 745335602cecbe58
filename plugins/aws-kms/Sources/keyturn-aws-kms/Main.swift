internal import AWSKMS
internal import AWSNames
internal import PluginKit
internal import PluginWire
internal import ProviderHTTP

/// The program `keyturn-aws-kms`.
@main
struct Main: ProviderPlugin {
    let description = PluginDescription(
        kind: "aws-kms", version: "1.0",
        settings: AWSKMSSettings.names.map { PluginSetting($0.name, $0.summary, isRequired: $0.isRequired) })

    func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider {
        do throws(AWSError) {
            let surroundings = Surroundings()
            let connector = HTTPConnector(trusting: surroundings.variable("AWS_CA_BUNDLE"))
            return try AWSKMSProvider(try AWSKMSSettings(settings), AWSContext(surroundings, connector))
        } catch {
            throw error.forHost
        }
    }

    static func main() async { await ProviderMain.run(Main()) }
}
