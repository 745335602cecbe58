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

/// Follows keys that are turned outside: where a KMS v2 plugin, or the provider of a key that the customer brought, names
/// another key than the one that wrapped a keyring's keys, it has them wrapped anew.
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
            var resting: [Name: (looks: Int, reason: String)] = [:]
            while true {
                try await Task.sleep(for: pause)
                guard let turned = await turned() else { continue }
                resting = resting.filter { turned.contains($0.key) }
                for keyring in turned {
                    resting[keyring]?.looks -= 1
                    guard resting[keyring].map({ $0.looks <= 0 }) ?? true else { continue }
                    resting[keyring] = await rewrap(keyring).map { (Self.restAfterRefusal, $0) }
                }
                await service.note(
                    turnedKeyProblems: resting.sorted { $0.key < $1.key }.map { keyring, rest in
                        "the provider of keyring \"\(keyring)\" has turned its key, and it is not rewrapped: \(rest.reason)"
                    })
            }
        }
    }

    /// The keyrings whose keys lie under a key that their endpoint has left; nil where that cannot be told now.
    private func turned() async -> [Name]? {
        do {
            let instance = try await service.instance()
            let saved = try await instance.context.control.read { try $0.byokProviders() }.filter { $0.savedAt != nil }
            let declared = instance.configuration.providers
            let endpoints = Set(declared.filter { $0.kind == "kms-v2" }.map(\.name))
                .union(saved.map(\.provider).filter { name in declared.contains { $0.name == name } })
            var keys: [Name: String] = [:]
            for name in endpoints.sorted() { keys[name] = await present(name) }
            let present = keys
            return try await instance.context.control.read { session -> [Name]? in
                guard try session.openRun() == nil else { return nil }
                return try instance.configuration.keyrings.filter { keyring in
                    guard let key = present[keyring.provider] else { return false }
                    let wraps = try session.keyring(keyring.name).keyring.versions
                        .flatMap { try session.wraps(of: $0.id) }.filter { $0.provider == keyring.provider }
                    return wraps.contains { $0.wrapped.providerKeyID != key }
                }.map(\.name)
            }
        } catch {
            logger.debug("keys outside not looked at", metadata: ["reason": "\(Self.reason(of: error))"])
            return nil
        }
    }

    /// The key that a provider names now; nil where it does not answer, which is no turn.
    private func present(_ name: Name) async -> String? {
        do {
            return try await providers.current().describe(name).id
        } catch {
            logger.debug(
                "key outside not looked at", metadata: ["provider": "\(name)", "reason": "\(Self.reason(of: error))"])
            return nil
        }
    }

    /// Starts the rewrap; gives back why it could not be started.
    private func rewrap(_ keyring: Name) async -> String? {
        logger.notice("key turned by its provider; rewrapping", metadata: ["keyring": "\(keyring)"])
        do {
            try await service.followTurnedKey(of: keyring, orAs: Peer.own(by: .schedule))
            return nil
        } catch {
            let reason = Self.reason(of: error)
            logger.error("rewrap not started", metadata: ["keyring": "\(keyring)", "reason": "\(reason)"])
            return reason
        }
    }

    private static func reason(of error: any Error) -> String { (error as? any CodedError)?.message ?? "\(error)" }
}
