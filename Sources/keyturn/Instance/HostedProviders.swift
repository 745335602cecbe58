internal import Control
internal import ProviderHost
internal import Synchronization

/// The providers of the instance that this process has open, for what is about them rather than about what they wrap.
final class HostedProviders: Sendable {
    private let registry = Mutex<ProviderRegistry?>(nil)

    /// Remembers the providers of an instance that was opened.
    func hold(_ opened: ProviderRegistry) { registry.withLock { $0 = opened } }

    /// Puts the providers of a newer configuration in the place of those that were held; what is declared as before goes on.
    ///
    /// - Returns: The providers that are held from now on.
    /// - Throws: ``ControlError`` where no instance is open any more; then nothing is held.
    func merge(_ next: ProviderRegistry) throws(ControlError) -> ProviderRegistry {
        let merged = registry.withLock { held in
            held = held?.replaced(by: next)
            return held
        }
        guard let merged else { throw Self.notOpen }
        return merged
    }

    /// Ends the processes of the providers, where an instance was opened, and holds them no more.
    func close() async {
        let last = registry.withLock { held in
            defer { held = nil }
            return held
        }
        await last?.stop()
    }

    /// The providers.
    ///
    /// - Throws: ``ControlError`` where no instance is open.
    func current() throws(ControlError) -> ProviderRegistry {
        guard let opened = registry.withLock({ $0 }) else { throw Self.notOpen }
        return opened
    }

    private static var notOpen: ControlError {
        ControlError(.internalProtocol, "no instance is open whose providers could be asked")
    }
}
