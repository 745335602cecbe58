package import ControlStore
internal import Foundation
internal import KeyModel

/// What `keyturn recover` did.
package struct Recovery: Hashable, Codable, Sendable {
    /// The database's new epoch.
    package let epoch: Int64
    /// The runs that were cancelled.
    package let cancelledRuns: [Int64]
    /// The keys that were destroyed before the database was set back, and are struck out again.
    package let destroyedKeys: [String]
}

extension RotationEngine {
    /// Accepts a database that was set back.
    ///
    /// It gets a new nonce and an epoch above all that was seen; open runs are cancelled, destroyed keys struck out again. What
    /// `alongside` records commits with it.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSetBack` where the database belongs to another instance.
    package func recover(
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> Recovery {
        let seen = await context.memory.entry
        guard instance.id == seen.instance else {
            throw ControlStoreError(
                .storeSetBack,
                "cannot recover: the database belongs to instance \(instance.id), this node to \(seen.instance)",
                hint: "Check that \"database\" in keyturn.lua names the right one."
            )
        }
        let nonce = UUID().uuidString.lowercased()
        let now = context.now()
        let result = try await context.control.write { [actor = context.actor] session in
            let present = try session.instance()?.epoch ?? 0
            let epoch = max(present, seen.epoch) + 1
            try session.restart(nonce: nonce, epoch: epoch)
            try session.endLeases()
            var cancelled: [Int64] = []
            for var run in try session.runs() where run.state.isOpen {
                run.state = .cancelled
                run.message = "the database was set back"
                run.finishedAt = now
                try session.update(run)
                try session.addStep("cancelled by recover", in: run.phase, of: run.id, at: now)
                cancelled.append(run.id)
            }
            let struck = try strikeOut(seen.destroyed, in: session, at: now, actor: actor)
            try alongside(session)
            return Recovery(epoch: epoch, cancelledRuns: cancelled, destroyedKeys: struck)
        }
        try await context.memory.remember(nonce: nonce, epoch: result.epoch)
        return result
    }

    private func strikeOut(
        _ ids: [String], in session: ControlSession, at time: Timestamp, actor: String
    ) throws -> [String] {
        let destroyed = Set(ids)
        var struck: [String] = []
        for record in try session.keyrings() {
            for version in record.keyring.versions where destroyed.contains(version.id.description) {
                guard version.state != .destroyed else { continue }
                let reason = "destroyed before the database was set back"
                var doomed = version
                if !doomed.state.legalMoves.contains(.destroyed) {
                    // It sealed when the copy was taken.
                    try session.move(doomed, to: .deactivated, at: time, actor: actor, reason: reason)
                    try doomed.move(to: .deactivated, at: time)
                }
                try session.discard(doomed, at: time, actor: actor, reason: reason)
                struck.append(version.id.description)
            }
        }
        return struck
    }
}
