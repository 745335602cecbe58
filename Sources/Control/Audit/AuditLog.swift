package import ControlStore
internal import Foundation
internal import KeyModel
package import Rotation
internal import Synchronization

/// Writes the audit log: an intent alone and first, its outcome with the effect.
package struct AuditLog: Sendable {
    let context: RotationContext

    /// Makes a log on an instance's database.
    package init(_ context: RotationContext) { self.context = context }

    /// Records that a call is about to change something; durable when it returns.
    ///
    /// - Parameters:
    ///   - call: The entry.
    ///   - arguments: The arguments as JSON, sensitive ones left out.
    ///   - peer: Who calls.
    ///   - acceptsSetBack: Whether a log that is shorter than this node has seen is gone on with, as `recover` does.
    /// - Returns: The outcome that is to be recorded.
    /// - Throws: ``ControlStoreError`` with `storeSetBack`, or ``StorageError``.
    package func intent(
        _ call: String, _ arguments: String, by peer: Peer, acceptsSetBack: Bool = false
    ) async throws -> AuditOutcome {
        let entry = await record(.intent, call, arguments, by: peer, detail: acceptsSetBack ? await lost() : nil)
        let head = try await append(entry, checked: !acceptsSetBack)
        if acceptsSetBack { try await context.memory.update { $0.audit = head } }
        context.reached(.intentRecorded)
        return AuditOutcome(of: head.number, template: entry, log: self)
    }

    /// Records that a call was not let through.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func refusal(_ call: String, _ arguments: String, by peer: Peer, why: String) async throws {
        _ = try await append(await record(.refusal, call, arguments, by: peer, result: .refused, detail: why))
    }

    /// Notes in the node's journal a call that is let through though the log cannot be written.
    ///
    /// - Throws: ``ControlError`` with `storeAuditUnavailable` where the journal is full or cannot be written either.
    package func note(_ call: String, _ arguments: String, by peer: Peer, result: String) async throws {
        let pending = PendingAudit(
            at: context.now().description, uid: peer.uid, user: peer.user, pid: peer.pid, way: peer.way.rawValue,
            call: call, arguments: arguments, result: result)
        // A hundred requests to pause say no more than the last; what else was let through is not forgotten.
        let isSame = { @Sendable (other: PendingAudit) in other.call == call && other.arguments == arguments }
        let held = await context.memory.entry.pending ?? []
        guard held.count < Self.mostPending || held.contains(where: isSame) else {
            throw ControlError(
                .storeAuditUnavailable, "cannot note the call: the node's journal holds \(held.count) already",
                hint: "They go into the audit log as soon as the database takes it.")
        }
        try await context.memory.update { entry in
            var all = entry.pending ?? []
            if all.count >= Self.mostPending, let first = all.firstIndex(where: isSame) { all.remove(at: first) }
            all.append(pending)
            entry.pending = all
        }
    }

    /// Brings into the log what was noted in the node's journal, and says `unknown` of intents whose process has died.
    ///
    /// - Returns: The calls that were noted, oldest first; their requests are to be made again.
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func reconcile() async throws -> [PendingAudit] {
        let pending = await context.memory.entry.pending ?? []
        for call in pending { _ = try await append(await late(call)) }
        if !pending.isEmpty { try await context.memory.update { $0.pending = nil } }
        let node = await context.memory.entry.node
        for intent in try await context.control.read({ try $0.openIntents(of: node) })
        where !ProcessIdentity.lives(intent.process) {
            _ = try await append(outcome(of: intent, .unknown, "the process ended before it could say"))
        }
        return pending
    }

    /// Appends an entry in a transaction of its own.
    func append(_ entry: AuditRecord, checked: Bool = true) async throws -> AuditHead {
        let seen = checked ? await context.memory.entry.audit : nil
        let head = try await context.control.write { [signer = context.signer] session in
            try session.append(entry, after: seen) { try signer.sign($0) }
        }
        try await context.memory.remember(audit: head)
        return head
    }

    func outcome(of intent: AuditRecord, _ result: AuditRecord.Result, _ detail: String?) -> AuditRecord {
        AuditRecord(
            kind: .outcome, at: context.now().description, node: intent.node,
            process: ProcessIdentity.current.description,
            uid: intent.uid, user: intent.user, pid: intent.pid, way: intent.way, call: intent.call, arguments: "{}",
            intent: intent.number, result: result, detail: detail, signer: context.signer.identity)
    }

    private static let mostPending = 100

    private func record(
        _ kind: AuditRecord.Kind, _ call: String, _ arguments: String, by peer: Peer,
        result: AuditRecord.Result? = nil, detail: String? = nil
    ) async -> AuditRecord {
        AuditRecord(
            kind: kind, at: context.now().description, node: await context.memory.entry.node,
            process: ProcessIdentity.current.description, uid: Int64(peer.uid), user: peer.user, pid: Int64(peer.pid),
            way: peer.way.rawValue, call: call, arguments: arguments, result: result, detail: detail,
            signer: context.signer.identity)
    }

    private func late(_ call: PendingAudit) async -> AuditRecord {
        AuditRecord(
            kind: .late, at: context.now().description, node: await context.memory.entry.node,
            process: ProcessIdentity.current.description, uid: Int64(call.uid), user: call.user, pid: Int64(call.pid),
            way: call.way, call: call.call, arguments: call.arguments, result: .done,
            detail: "at \(call.at), while the log could not be written: \(call.result)", signer: context.signer.identity
        )
    }

    /// The head that this node has seen, where the log in the database has lost it.
    private func lost() async -> String? {
        guard let seen = await context.memory.entry.audit else { return nil }
        let present = try? await context.control.read { try $0.audit(after: seen.number - 1, limit: 1).first }
        guard present?.number != seen.number || present?.hash != seen.hash else { return nil }
        return "the log that this node has seen ended at entry \(seen.number) with hash \(seen.hash)"
    }
}

/// What is to be said of an intent, once.
package final class AuditOutcome: Sendable {
    /// The number of the intent.
    package let intent: Int64
    private let template: AuditRecord
    private let log: AuditLog
    private let recorded = Mutex<AuditHead?>(nil)
    private let seen = Mutex<String?>(nil)
    private let outside = Mutex(false)

    init(of intent: Int64, template: AuditRecord, log: AuditLog) {
        self.intent = intent
        var numbered = template
        numbered.number = intent
        self.template = numbered
        self.log = log
    }

    /// Adds to what the outcome will say: a run's number, a status.
    package func note(_ detail: String) { seen.withLock { $0 = detail } }

    /// Notes that the call is about to have an effect outside, of which nothing is known where it is cut off.
    package func reachesOutside() { outside.withLock { $0 = true } }

    /// Whether the call has had, or may have had, an effect outside.
    var isOutside: Bool { outside.withLock { $0 } }

    /// Records inside a transaction that the call was carried out.
    ///
    /// - Throws: ``StorageError``.
    package func record(in session: ControlSession) throws {
        let entry = log.outcome(of: template, .done, seen.withLock { $0 })
        let head = try session.append(entry, after: nil) { try log.context.signer.sign($0) }
        recorded.withLock { $0 = head }
    }

    /// Ends the call as carried out, unless its effect has said so already.
    ///
    /// Goes to its end also where the caller has gone.
    func finish() async throws { try await Task { try await self.recordEnd() }.value }

    private func recordEnd() async throws {
        // What was recorded in a transaction that did not commit after all is not in the log.
        let isKnown = try await log.context.control.read { [intent] in try $0.hasOutcome(of: intent) }
        if isKnown, let head = recorded.withLock({ $0 }) { return try await log.context.memory.remember(audit: head) }
        _ = try await log.append(log.outcome(of: template, .done, seen.withLock { $0 }), checked: false)
    }

    /// Ends the call as failed or refused, unless its effect was committed before.
    ///
    /// Goes to its end also where the caller has gone.
    func fail(_ result: AuditRecord.Result, _ why: String) async throws {
        try await Task { try await self.recordFailure(result, why) }.value
    }

    private func recordFailure(_ result: AuditRecord.Result, _ why: String) async throws {
        let isKnown = try await log.context.control.read { [intent] in try $0.hasOutcome(of: intent) }
        guard !isKnown else { return }
        _ = try await log.append(log.outcome(of: template, result, why), checked: false)
    }
}
