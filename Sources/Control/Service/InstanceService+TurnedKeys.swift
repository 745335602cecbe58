internal import ControlStore
internal import Foundation
internal import Frames
package import KeyModel
internal import Rotation

extension InstanceService {
    /// Starts the rewrap of a keyring whose provider has turned its key; the run belongs to the service.
    ///
    /// It acts under the grant of the configuration, as schedules do.
    ///
    /// - Parameters:
    ///   - keyring: The keyring.
    ///   - user: The daemon's own user, whose role decides where no rewrap is granted.
    /// - Throws: ``ControlError`` with `callerNotAllowed` where neither lets it, or what the call throws.
    package func followTurnedKey(of keyring: Name, orAs user: Peer) async throws {
        let instance = try await self.instance()
        let grant = try await instance.context.control.read { try $0.grant(of: instance.configuration.hash) }
        let call = Call(
            "rotations.rewrap", named: ["keyring": .string(keyring.description), "wait": .string("none")],
            confirmation: .given)
        if grant?.calls.contains(call.name) == true {
            let dispatch = try await grantedDispatch(
                .schedule, name: "turned key of \(keyring)", client: NobodyThere(), scope: CallScope())
            _ = try await dispatch.perform(call)
            return
        }
        let channel = try await openSession(for: user, hello: SessionHello(way: .schedule, isInteractive: false))
        do { _ = try await channel.perform(.call(call), for: NobodyThere()) } catch {
            await channel.close()
            throw error
        }
        await channel.close()
    }

    /// Notes what `status` shows of keys that were turned and not followed; nothing where all were.
    package func note(turnedKeyProblems problems: [String]) { turnedKeyProblems = problems }
}

/// A client without a person.
private struct NobodyThere: ControlClient {
    func show(_ event: ControlEvent) async {}
    func answer(_ question: Question) async -> String? { nil }
}
