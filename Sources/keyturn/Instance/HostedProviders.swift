internal import Control
internal import ProviderHost
internal import Synchronization

/// The providers of the instance that this process has open, for what is about them rather than about what they wrap.
final class HostedProviders: Sendable {
    private let registry = Mutex<ProviderRegistry?>(nil)

    /// Remembers the providers of an instance that was opened.
    func hold(_ opened: ProviderRegistry) { registry.withLock { $0 = opened } }

    /// Ends the processes of the providers, where an instance was opened.
    func close() async { await registry.withLock { $0 }?.stop() }

    /// The providers.
    ///
    /// - Throws: ``ControlError`` where no instance is open.
    func current() throws(ControlError) -> ProviderRegistry {
        guard let opened = registry.withLock({ $0 }) else {
            throw ControlError(.internalProtocol, "no instance is open whose providers could be asked")
        }
        return opened
    }
}
