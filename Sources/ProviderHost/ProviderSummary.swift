package import PluginKit

/// What is known of a provider without asking it: `providers.list` and `providers.show`.
package struct ProviderSummary: Codable, Hashable, Sendable {
    /// Its name.
    package var name: String
    /// Its kind: `local`, `plugin` or `kms-v2`.
    package var kind: String
    /// Its own settings; none of them is a secret.
    package var settings: [String: String]
    /// Whether the last calls reached it; nil where none was made.
    package var isReachable: Bool?
    /// How many keys are held unwrapped.
    package var heldKeys: Int
    /// The plugin's process; nil where none runs.
    package var process: Int32?
    /// Counts and latencies by call.
    package var calls: [String: CallFigures]
}
