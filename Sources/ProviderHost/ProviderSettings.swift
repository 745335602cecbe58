internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit

/// The settings of a `provider "…" { … }`, taken one by one; what nobody takes is unknown.
struct ProviderSettings {
    private let declaration: ProviderDeclaration
    private var rest: [String: String]

    init(_ declaration: ProviderDeclaration) {
        self.declaration = declaration
        rest = declaration.settings
    }

    /// What is left for the plugin itself.
    var remaining: [String: String] { rest }

    /// Takes a setting.
    mutating func take(_ word: String) -> String? { rest.removeValue(forKey: word) }

    /// Takes a setting that must be there.
    mutating func require(_ word: String, example: String) throws(ProviderError) -> String {
        guard let value = take(word) else {
            throw refuse("\(word) is missing", "Write \(word) = \"\(example)\".")
        }
        return value
    }

    /// Takes a duration.
    mutating func takeDuration(_ word: String, or standard: Duration) throws(ProviderError) -> Duration {
        guard let text = take(word) else { return standard }
        do throws(KeyModelError) {
            return try Duration(parsing: text)
        } catch {
            throw refuse("\(word) is \(quoted(text)), which is no duration", "Write it as \"3s\", \"10m\" or \"1h\".")
        }
    }

    /// Takes the descriptor of a secret.
    mutating func takeSecret(from secrets: InheritedSecrets) throws(ProviderError) -> SecretSource? {
        guard let text = take("secret_fd") else { return nil }
        do throws(ProviderError) {
            return try SecretSource(text, in: secrets)
        } catch {
            throw refuse(error.message, error.hint)
        }
    }

    /// Refuses what nobody took.
    func finish(known: [String]) throws(ProviderError) {
        guard let unknown = rest.keys.sorted().first else { return }
        throw refuse("there is no setting \(quoted(unknown))", "The settings are \(known.joined(separator: ", ")).")
    }

    func refuse(_ why: String, _ hint: String?) -> ProviderError {
        ProviderError(.providerMisconfigured, "provider \"\(declaration.name)\" cannot be used: \(why)", hint: hint)
    }
}
