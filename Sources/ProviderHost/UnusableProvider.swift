internal import PluginKit

/// Stands in for a provider whose declaration makes no sense or whose plugin is not registered: everything else goes on, and
/// every call to it says why it cannot be used.
struct UnusableProvider: KeyProvider {
    let error: ProviderError

    func info() async throws(ProviderError) -> ProviderInfo { throw error }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { throw error }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey { throw error }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes { throw error }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey { throw error }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey { throw error }

    func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] { throw error }
}
