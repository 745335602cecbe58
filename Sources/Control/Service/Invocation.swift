package import ControlStore
internal import Foundation
internal import KeyModel
package import Rotation

/// One call on its way: who calls, with what, on which instance.
package struct Invocation: Sendable {
    /// The entry.
    package let entry: Entry
    /// The arguments, checked.
    package let arguments: Arguments
    /// The caller.
    package let peer: Peer
    /// What the caller may do.
    package let role: Role
    /// The instance.
    package let instance: Instance
    /// The service, for runs and for the configuration.
    package let service: InstanceService
    /// Shown what happens meanwhile.
    package let client: any ControlClient
    /// Whether it is asked to end.
    package let scope: CallScope
    /// Descriptors that the caller handed over, each used once.
    package let descriptors: Descriptors
    /// What was proposed and confirmed; nil before, and for calls that need no confirmation.
    package var proposal: Proposal?
    /// The outcome that is to be recorded with the effect; nil for calls that change nothing.
    package var outcome: AuditOutcome?
    /// Throws, inside the transaction of the effect, where whoever calls may not act any more.
    var fence: @Sendable (ControlSession) throws -> Void = { _ in }

    /// Who acts, for the records: `alice (uid 1000)`.
    package var actor: String { peer.description }

    /// An engine that acts for the caller.
    ///
    /// - Throws: As ``Instance/engine(for:)``.
    package func engine() async throws -> RotationEngine { try await instance.engine(for: actor) }

    /// What records the call's outcome inside the transaction of its effect, unless the caller is fenced off.
    package var alongside: @Sendable (ControlSession) throws -> Void {
        { [outcome, fence] session in
            try fence(session)
            try outcome?.record(in: session)
        }
    }

    /// Refuses a file that the caller handed over where nothing may be written to its place.
    ///
    /// - Throws: A ``CodedError`` that says why.
    func checkOutput(_ descriptor: Int32, for what: String) async throws {
        let link = "/proc/self/fd/\(descriptor)"
        // Pipes and terminals have no place.
        guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link), path.hasPrefix("/") else {
            return
        }
        try await checkOutput(path, for: what)
    }

    /// Refuses a path where nothing may be written to.
    ///
    /// - Throws: A ``CodedError`` that says why.
    package func checkOutput(_ path: String, for what: String) async throws {
        try await service.source.checkOutput(path, for: what, of: instance)
    }

    /// The same call after its proposal.
    func with(_ proposal: Proposal) -> Invocation {
        var copy = self
        copy.proposal = proposal
        return copy
    }

    /// Refuses a caller of a lesser role than this call needs for its arguments.
    ///
    /// - Throws: ``ControlError`` with `callerNotAllowed`.
    package func require(_ least: Role) throws(ControlError) {
        guard role >= least else { throw Self.refusal(of: entry.name, to: peer, holding: role, needing: least) }
    }

    static func refusal(of name: String, to peer: Peer, holding role: Role?, needing least: Role) -> ControlError {
        let has = role.map { "has the role \($0.rawValue)" } ?? "has no role"
        return ControlError(
            .callerNotAllowed, "\(peer) may not call \(name): it needs the role \(least.rawValue), the caller \(has)",
            hint: "Roles are declared in keyturn.lua: role \"\(least.rawValue)\" { users = { \"…\" } }.")
    }
}

extension Peer: CustomStringConvertible {
    /// Name and number: `alice (uid 1000)`.
    package var description: String { "\(user) (uid \(uid))" }
}

/// Descriptors that a caller handed over; closed with the call.
package final class Descriptors: Sendable {
    private let all: [Int32]

    /// Takes descriptors over.
    package init(_ all: [Int32]) { self.all = all }

    deinit { for descriptor in all { close(descriptor) } }

    /// The first descriptor; nil where none was handed over.
    package var optional: Int32? { all.first }

    /// The first descriptor.
    ///
    /// - Throws: ``ControlError`` with `callerUsage` where none was handed over.
    package func first(for entry: Entry) throws(ControlError) -> Int32 {
        guard let descriptor = all.first else {
            throw ControlError(
                .callerUsage,
                "\(entry.name) needs a file that the caller hands over, since keys pass through no message",
                hint: "Use the command of the same name: \"keyturn keyring\" or \"keyturn root\".")
        }
        return descriptor
    }
}
