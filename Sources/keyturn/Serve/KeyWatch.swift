internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Logging
internal import PluginKit
internal import ProviderHost
internal import Rotation
internal import ServiceLifecycle

/// Follows keys that are turned outside: where a KMS v2 plugin names another key than the one that wrapped a keyring's keys,
/// it has them wrapped anew.
///
/// The provider believes in another key only when two polls agree; what the database says has wrapped them is the memory, so
/// that a turn is also noticed that happened while no daemon ran.
struct KeyWatch: Service {
    let service: InstanceService
    let providers: HostedProviders
    let logger: Logger
    /// The time between two looks.
    let pause: Duration

    /// How many looks a keyring is left alone for after its rewrap could not be started.
    private static let restAfterRefusal = 10

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            var resting: [Name: Int] = [:]
            while true {
                try await Task.sleep(for: pause)
                resting = resting.mapValues { $0 - 1 }.filter { $0.value > 0 }
                for keyring in await turned() where resting[keyring] == nil {
                    if await !rewrap(keyring) { resting[keyring] = Self.restAfterRefusal }
                }
            }
        }
    }

    /// The keyrings whose keys lie under a key that their endpoint has left.
    private func turned() async -> [Name] {
        do {
            let instance = try await service.instance()
            let endpoints = Set(instance.configuration.providers.filter { $0.kind == "kms-v2" }.map(\.name))
            var keys: [Name: String] = [:]
            for name in endpoints.sorted() { keys[name] = try await providers.current().describe(name).id }
            let present = keys
            return try await instance.context.control.read { session -> [Name] in
                guard try session.openRun() == nil else { return [] }
                return try instance.configuration.keyrings.filter { keyring in
                    guard let key = present[keyring.provider] else { return false }
                    let wraps = try session.keyring(keyring.name).keyring.versions
                        .flatMap { try session.wraps(of: $0.id) }.filter { $0.provider == keyring.provider }
                    return wraps.contains { $0.wrapped.providerKeyID != key }
                }.map(\.name)
            }
        } catch {
            logger.debug("keys outside not looked at", metadata: ["reason": "\(Self.reason(of: error))"])
            return []
        }
    }

    /// Starts the rewrap as the daemon's own user, whose role decides; the run belongs to the daemon.
    private func rewrap(_ keyring: Name) async -> Bool {
        logger.notice("key turned by its provider; rewrapping", metadata: ["keyring": "\(keyring)"])
        do {
            let hello = SessionHello(way: .schedule, isInteractive: false)
            let channel = try await service.openSession(for: Peer.own(by: .schedule), hello: hello)
            let call = Call(
                "rotations.rewrap", named: ["keyring": .string(keyring.description), "wait": .string("none")],
                confirmation: .given)
            _ = try await channel.perform(.call(call), for: SilentClient())
            await channel.close()
            return true
        } catch {
            logger.error(
                "rewrap not started", metadata: ["keyring": "\(keyring)", "reason": "\(Self.reason(of: error))"])
            return false
        }
    }

    private static func reason(of error: any Error) -> String { (error as? any CodedError)?.message ?? "\(error)" }
}
