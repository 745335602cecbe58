package import ControlStore
internal import Foundation
package import KeyModel
internal import Storage

/// A destruction as it is shown.
package struct DestructionEntry: Hashable, Codable, Sendable {
    /// Its number.
    package let id: Int64
    /// The keyring.
    package let keyring: String
    /// The versions.
    package let keys: [String]
    /// `refused`, `waiting`, `cancelled`, `destroying` or `destroyed`.
    package let state: String
    /// When it was asked for, by whom, and why.
    package let requestedAt: String
    /// By whom.
    package let requestedBy: String
    /// Why.
    package let reason: String
    /// When it may go ahead without a second person.
    package let dueAt: String
    /// The second person.
    package let approvedBy: String?
    /// When it ended, or was called off.
    package let finishedAt: String?
    /// What it does and what stands against it.
    package let report: DestructionReport

    init(_ record: DestructionRecord) throws {
        id = record.id
        keyring = record.keyring.description
        keys = record.keys.map(\.description)
        state = record.state.rawValue
        requestedAt = record.requestedAt.description
        requestedBy = record.requestedBy
        reason = record.reason
        dueAt = record.dueAt.description
        approvedBy = record.approvedBy
        finishedAt = record.finishedAt?.description
        report = try JSONDecoder().decode(DestructionReport.self, from: Data(record.report.utf8))
    }
}

extension RotationEngine {
    /// What is asked of a destruction.
    package struct DestructionRequest: Sendable {
        /// The keyring.
        package var keyring: Name
        /// The versions; nil takes all that are retired.
        package var keys: [KeyID]?
        /// Why; for the records, for ever.
        package var reason: String
        /// What is declared of backups; nil where nothing is.
        package var backup: BackupDeclaration?
        /// Tables that cannot be looked through and are accepted as they are.
        package var accepted: [String]

        /// Makes a request.
        package init(
            keyring: Name, keys: [KeyID]? = nil, reason: String, backup: BackupDeclaration?, accepted: [String] = []
        ) {
            self.keyring = keyring
            self.keys = keys
            self.reason = reason
            self.backup = backup
            self.accepted = accepted
        }
    }

    /// Says what destroying versions would do and what stands against it; changes no value, reads all of them.
    ///
    /// Where values lie under keys that were retired, those count as unused from a later time on.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, ``RotationError`` with `keyNotUnwrapped`, or ``StorageError``.
    package func destructionReport(_ request: DestructionRequest) async throws -> DestructionReport {
        try await look(request).report
    }

    /// Asks for the destruction of versions; what stands against it is recorded too.
    ///
    /// - Returns: What was recorded: `refused`, or `waiting` for a second person or the delay.
    /// - Throws: ``RotationError`` with `callerRequestInvalid` without a reason, or as ``destructionReport(_:)``.
    package func requestDestruction(
        _ request: DestructionRequest, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> DestructionEntry {
        try await requireCurrent()
        guard request.reason.contains(where: { !$0.isWhitespace }) else {
            throw RotationError(.callerRequestInvalid, "a destruction needs a reason, for the records")
        }
        let (keys, report) = try await look(request)
        let now = context.now()
        let delay = request.backup?.destructionDelay ?? .seconds(7 * 86_400)
        let text = try Self.encode(report)
        let (record, epoch) = try await context.control.write { [actor = context.actor] session in
            let pending = try session.destructions().filter { $0.state == .waiting }
            if let other = pending.first(where: { !Set($0.keys).isDisjoint(with: keys) }) {
                throw RotationError(
                    .callerPolicyForbids, "destruction \(other.id) of these keys waits already",
                    hint: "Approve it, wait for it, or cancel it.")
            }
            let record = try session.insertDestruction { id in
                DestructionRecord(
                    id: id, keyring: request.keyring, keys: keys, state: report.obstacles.isEmpty ? .waiting : .refused,
                    requestedAt: now, requestedBy: actor, reason: request.reason, dueAt: now.advanced(by: delay),
                    finishedAt: report.obstacles.isEmpty ? nil : now, report: text)
            }
            let epoch = try session.raiseEpoch()
            try alongside(session)
            return (record, epoch)
        }
        try await context.memory.remember(epoch: epoch)
        return try DestructionEntry(record)
    }

    /// Approves a destruction as a second person.
    ///
    /// - Throws: ``RotationError`` with `callerPolicyForbids` for whoever asked for it, or `callerRunState`.
    package func approveDestruction(
        _ id: Int64, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> DestructionEntry {
        try await requireCurrent()
        return try await change(id, alongside) { [actor = context.actor] record in
            guard record.requestedBy != actor else {
                throw RotationError(
                    .callerPolicyForbids, "destruction \(id) was asked for by \(actor), who cannot approve it too",
                    hint: "Another person of the role must approve it, or it waits until \(record.dueAt).")
            }
            record.approvedBy = actor
        }
    }

    /// Calls a destruction off; possible until the moment it is carried out.
    ///
    /// - Throws: ``RotationError`` with `callerRunState` where it no longer waits.
    package func cancelDestruction(
        _ id: Int64, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> DestructionEntry {
        let now = context.now()
        return try await change(id, alongside) { record in
            record.state = .cancelled
            record.finishedAt = now
        }
    }

    /// Carries a destruction out: asks every condition again, erases the wrapped copies, and proves that nothing opens.
    ///
    /// A call after a crash goes on where that one stopped.
    ///
    /// - Parameters:
    ///   - id: The destruction.
    ///   - backup: What is declared of backups; nil where nothing is.
    ///   - alongside: Recorded in the transaction that erases.
    ///   - withoutBackups: Keeps backups from being made while it does what it is given. That is the erasing alone, after the
    ///     values were read: a backup that was made meanwhile is in the catalogue by then, which is asked once more.
    /// - Returns: The destruction as it stands now.
    /// - Throws: ``RotationError`` with `callerPolicyForbids` while a condition does not hold or nobody has agreed yet.
    package func destroy(
        _ id: Int64, backup: BackupDeclaration?,
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in },
        withoutBackups: (_ erase: () async throws -> Void) async throws -> Void = { try await $0() }
    ) async throws -> DestructionEntry {
        try await requireCurrent()
        let record = try await context.control.read { try $0.destruction(id) }
        guard record.state == .waiting || record.state == .destroying else { throw Self.isOver(record) }
        if record.state == .waiting {
            let asked = try JSONDecoder().decode(DestructionReport.self, from: Data(record.report.utf8))
            let request = DestructionRequest(
                keyring: record.keyring, keys: record.keys, reason: record.reason, backup: backup,
                accepted: asked.accepted)
            // What is written and not committed yet no scan sees.
            try await context.engine.waitForOlderTransactions(limit: .seconds(60))
            let report = try await look(request).report
            try Self.require(report, of: record, at: context.now())
            try await withoutBackups { try await erase(record, report, alongside) }
        }
        let epoch = try await context.control.read { try $0.instance()?.epoch ?? 0 }
        for key in record.keys { try await context.memory.remember(epoch: epoch, destroyed: key) }
        try await proveGone(record)
        return try DestructionEntry(try await context.control.read { try $0.destruction(id) })
    }

    /// The destructions, newest first; those whose last known copy has expired are ended.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func destructions(backup: BackupDeclaration?) async throws -> [DestructionEntry] {
        let now = context.now()
        let outside = max(backup?.pitr ?? .zero, backup?.externalRetention ?? .zero)
        let records = try await context.control.write { session in
            let backups = try session.backups(includingDoomed: true)
            return try session.destructions().map { record in
                guard record.state == .destroying, let erased = record.finishedAt,
                    now >= erased.advanced(by: outside),
                    !backups.contains(where: { !Set($0.wrappedKeys).isDisjoint(with: record.keys) })
                else { return record }
                var ended = record
                ended.state = .destroyed
                try session.update(ended)
                return ended
            }
        }
        return try records.map { try DestructionEntry($0) }
    }

    private func look(_ request: DestructionRequest) async throws -> (keys: [KeyID], report: DestructionReport) {
        let examiner = DatabaseExaminer(cores: context.cores, providers: context.providers)
        let live = try await examiner.examine(context.engine, opensValues: true)
        await noteReappeared(Set(live.usage.keys))
        let now = context.now()
        let remains = context.engine.placesOfOldBytes
        return try await context.control.read { session in
            let ring = try session.keyring(request.keyring).keyring
            let retired = ring.versions.filter { $0.retiredAt != nil && $0.state != .destroyed }.map(\.id)
            let keys = request.keys ?? retired
            let facts = DestructionRules.Facts(
                ring: ring, live: live, served: try session.servedKeys(),
                backups: try session.backups(includingDoomed: true),
                openRun: try session.openRun()?.id, pitr: request.backup?.pitr,
                externalRetention: request.backup?.externalRetention, accepted: request.accepted, now: now)
            return (keys, DestructionRules.report(on: keys, facts, remains: remains))
        }
    }

    private static func require(
        _ report: DestructionReport, of record: DestructionRecord, at now: Timestamp
    ) throws {
        guard report.obstacles.isEmpty else {
            throw RotationError(
                .callerPolicyForbids,
                "cannot destroy keys of \"\(record.keyring)\": \(report.obstacles.joined(separator: "; "))",
                hint: "Nothing was erased; the request stands and can be carried out later.")
        }
        guard record.approvedBy != nil || now >= record.dueAt else {
            throw RotationError(
                .callerPolicyForbids, "destruction \(record.id) waits for a second person, or until \(record.dueAt)",
                hint: "Another person approves it with \"keyturn keyring approve \(record.id)\".")
        }
    }

    /// Erases in one transaction, in which everything that can have changed since the scan is looked at once more.
    private func erase(
        _ record: DestructionRecord, _ report: DestructionReport,
        _ alongside: @escaping @Sendable (ControlSession) throws -> Void
    ) async throws {
        let now = context.now()
        let node = await context.memory.entry.node
        let text = try Self.encode(report)
        try await context.control.write { [actor = context.actor] session in
            try session.refuseLease(ofOthersThan: node, now: now)
            var present = try session.destruction(record.id)
            guard present.state == .waiting else { throw Self.isOver(present) }
            if let run = try session.openRun() {
                throw RotationError(.callerRunOpen, "run \(run.id) was started meanwhile; nothing was erased")
            }
            let ring = try session.keyring(record.keyring).keyring
            let backups = try session.backups(includingDoomed: true)
            for key in record.keys {
                if let needing = backups.first(where: { $0.dataKeys.contains(key) }) {
                    throw RotationError(
                        .callerPolicyForbids, "backup \(needing.id) needs key \(key); nothing was erased")
                }
                // Somebody may have met values under it since they were read here.
                let seen = report.versions.first { $0.key == key.description }?.retiredAt
                guard let version = ring[key], version.retiredAt != nil, version.retiredAt?.description == seen else {
                    throw RotationError(
                        .callerPolicyForbids, "key \(key) is not retired as it was; nothing was erased",
                        hint: "Look at \"keyturn status\", and carry the destruction out again.")
                }
                let who = present.approvedBy.map { "\(actor), approved by \($0)" } ?? actor
                try session.discard(
                    version, at: now, actor: who, reason: "destruction \(record.id): \(record.reason)")
            }
            present.state = .destroying
            present.finishedAt = now
            present.report = text
            try session.update(present)
            _ = try session.raiseEpoch()
            try alongside(session)
        }
    }

    /// Makes sure that no destroyed version opens any more.
    private func proveGone(_ record: DestructionRecord) async throws {
        await keys.dropCache()
        for key in record.keys {
            do {
                _ = try await keys.material(of: key, in: record.keyring, instance: instance.id)
            } catch let error as RotationError where error.code == .keyNotUnwrapped { continue }
            throw RotationError(
                .internalReadBackDiffers, "key \(key) of \"\(record.keyring)\" still opens after its destruction",
                hint: "Do not rely on it being gone; look at who writes to the control schema.")
        }
    }

    private func change(
        _ id: Int64, _ alongside: @escaping @Sendable (ControlSession) throws -> Void,
        _ body: @escaping @Sendable (inout DestructionRecord) throws -> Void
    ) async throws -> DestructionEntry {
        let record = try await context.control.write { session in
            var record = try session.destruction(id)
            guard record.state == .waiting else { throw Self.isOver(record) }
            try body(&record)
            try session.update(record)
            try alongside(session)
            return record
        }
        return try DestructionEntry(record)
    }

    private static func isOver(_ record: DestructionRecord) -> RotationError {
        RotationError(.callerRunState, "destruction \(record.id) no longer waits: it is \(record.state.rawValue)")
    }

    private static func encode(_ report: DestructionReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }
}
