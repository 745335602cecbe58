internal import ControlStore
internal import KeyModel
package import PluginKit
internal import Storage

/// What stands where, and what needs someone.
package struct Status: Hashable, Codable, Sendable {
    /// A version of a keyring.
    package struct Version: Hashable, Codable, Sendable {
        /// The id.
        package let id: String
        /// Its state.
        package let state: String
        /// When it was made.
        package let createdAt: String
        /// When it first became active.
        package let activatedAt: String?
        /// When it was proved unused.
        package let retiredAt: String?
        /// Seals reserved under it.
        package let sealsReserved: Int64
    }

    /// A keyring.
    package struct Ring: Hashable, Codable, Sendable {
        /// The name.
        package let name: String
        /// Its core.
        package let core: String
        /// The provider that wraps its keys.
        package let provider: String
        /// Its versions, oldest first.
        package let versions: [Version]
        /// What makes a rotation due now, in words.
        package let due: [String]
        /// Values under older keys in rows that runs rewrite; nil where they were not counted.
        package let underOldKeys: Int64?
        /// Values under older keys in rows that `where` does not pick; nil where they were not counted.
        package let underOldKeysOutside: Int64?
        /// Values that do not open or should be sealed; nil where they were not counted.
        package let exceptions: Int64?
        /// The first rows that stand out.
        package let findings: [ColumnFinding]
    }

    /// A row that stands out.
    package struct ColumnFinding: Hashable, Codable, Sendable {
        /// Its column.
        package let column: String
        /// The row's key.
        package let row: String
        /// What it is.
        package let what: String
    }

    /// A provider, as its calls went since this process began.
    package struct Provider: Hashable, Codable, Sendable {
        /// The name.
        package let name: String
        /// Whether the last calls reached it; nil where none was made.
        package let isReachable: Bool?
        /// How many keys are held unwrapped.
        package let heldKeys: Int
        /// Counts and latencies by call.
        package let calls: [String: CallFigures]
    }

    /// The instance.
    package let instance: String
    /// The database's engine and version.
    package let database: String
    /// The first component of every value's context.
    package let namespace: String
    /// How far the database is; grows with every run.
    package let epoch: Int64
    /// When the root key was last exported for safe-keeping.
    package let escrowedAt: String?
    /// The keyrings.
    package let keyrings: [Ring]
    /// The providers, by name; they are not asked for this.
    package let providers: [Provider]
    /// The run that is open, in words; nil where there is none.
    package let openRun: String?
    /// Who works on the database now.
    package let lease: String?
    /// What needs someone: the database was set back, a key is overdue, values lie under old keys.
    package let problems: [String]
    /// What is good to know.
    package let notes: [String]
}

extension RotationEngine {
    /// Says what stands where; counts every value unless told not to.
    ///
    /// - Parameters:
    ///   - counts: Whether values are opened and counted.
    ///   - interrupt: Raised to stop counting.
    /// - Returns: What stands where; nil when it was interrupted.
    /// - Throws: ``RotationError`` with `keyNotUnwrapped`, ``ControlStoreError`` or ``StorageError``.
    package func status(counts: Bool, interrupt: Interrupt = Interrupt()) async throws -> Status? {
        var problems: [String] = []
        do { try await requireCurrent() } catch let error as ControlStoreError {
            problems.append(error.message + "; " + (error.hint ?? ""))
        }
        var censuses: [Census] = []
        if counts {
            guard let counted = try await census(of: nil, interrupt: interrupt) else { return nil }
            censuses = counted
        }
        let (records, columns, openRun) = try await context.control.read { session in
            (try session.keyrings(), try session.columns(), try session.openRun())
        }
        let holder = try await liveLease()?.holder
        if let openRun, let problem = Self.problem(of: openRun, isDriven: holder != nil) { problems.append(problem) }
        var rings: [Status.Ring] = []
        for record in records {
            let ring = try await self.ring(record, censuses.first { $0.keyring == record.keyring.name.description })
            rings.append(ring)
            problems += ring.due.map { "keyring \"\(ring.name)\": \($0)" } + Self.problems(of: ring)
        }
        let unretired = records.flatMap { record in
            record.keyring.versions.filter { $0.state == .deactivated && $0.retiredAt == nil }.map {
                "key \($0.id) of \"\(record.keyring.name)\" was not proved unused; the next rotation takes its values along"
            }
        }
        let undeclared = columns.filter { !$0.isDeclared }.map {
            "column \"\($0.declaration.path)\" is no longer declared"
        }
        let (exposures, drill) = try await context.control.read { [censuses] session in
            (try Self.exposures(of: records, censuses, in: session), try Self.lastDrill(in: session))
        }
        problems += exposures.problems + drill.problems
        let escrow = instance.escrowedAt == nil ? ["root.key was never exported for safe-keeping"] : []
        return Status(
            instance: instance.id, database: context.engine.description, namespace: instance.namespace,
            epoch: instance.epoch,
            escrowedAt: instance.escrowedAt?.description, keyrings: rings,
            providers: providers,
            openRun: openRun.map {
                "run \($0.id): \($0.kind.rawValue) \"\($0.keyring)\", \($0.phase.rawValue), \($0.state.rawValue)"
            },
            lease: holder, problems: problems, notes: unretired + undeclared + exposures.notes + drill.notes + escrow
        )
    }

    /// How the calls to the providers went.
    private var providers: [Status.Provider] {
        context.providers.sorted { $0.key < $1.key }.compactMap { name, provider in
            guard let observed = provider as? any ObservedProvider else { return nil }
            return Status.Provider(
                name: name.description, isReachable: observed.isReachable, heldKeys: observed.heldKeys,
                calls: observed.figures)
        }
    }

    /// What the keys that are known to others still open: values, and backups.
    private static func exposures(
        of records: [KeyringRecord], _ censuses: [Census], in session: ControlSession
    ) throws -> (problems: [String], notes: [String]) {
        let backups = try session.backups(includingDoomed: true)
        var (problems, notes): ([String], [String]) = ([], [])
        for record in records {
            for version in record.keyring.versions where version.state == .compromised {
                let census = censuses.first { $0.keyring == record.keyring.name.description }
                let key = version.id.description
                let values = census.map { census in
                    census.columns.reduce(0) { $0 + ($1.old[key] ?? 0) + ($1.outside.oldKeys?[key] ?? 0) }
                }
                let opened = backups.filter { $0.dataKeys.contains(version.id) }.map(\.id).sorted()
                let count = values.map { "\($0) values lie under it still" } ?? "values were not counted"
                let held =
                    opened.isEmpty
                    ? "no backup needs it; destroy it"
                    : "backup \(opened.map(String.init).joined(separator: ", ")) opens with it; make new ones, remove those, "
                        + "then destroy it"
                let text = "key \(key) of \"\(record.keyring.name)\" is compromised: \(count); \(held)"
                if opened.isEmpty, values ?? 0 == 0 { notes.append(text) } else { problems.append(text) }
            }
        }
        return (problems, notes)
    }

    /// What the last restore drill came to; nothing where there are no backups.
    private static func lastDrill(in session: ControlSession) throws -> (problems: [String], notes: [String]) {
        guard try !session.backups().isEmpty else { return ([], []) }
        guard let drill = try session.drills().first else {
            return ([], ["no backup was ever restored in a drill: keyturn backup drill"])
        }
        guard drill.isPassed else {
            return (["the last drill failed, of backup \(drill.backup) at \(drill.at): \(drill.report)"], [])
        }
        return ([], ["the last drill passed, of backup \(drill.backup) at \(drill.at)"])
    }

    private func ring(_ record: KeyringRecord, _ census: Census?) async throws -> Status.Ring {
        let ring = record.keyring
        let seals = try await context.control.read { session in
            try ring.versions.map { try session.sealsReserved(of: $0.id) }
        }
        let versions = zip(ring.versions, seals).map { version, seals in
            Status.Version(
                id: version.id.description, state: version.state.rawValue, createdAt: version.createdAt.description,
                activatedAt: version.activatedAt?.description, retiredAt: version.retiredAt?.description,
                sealsReserved: seals
            )
        }
        let activeSeals = zip(ring.versions, seals).first { $0.0.state == .active }?.1 ?? 0
        return Status.Ring(
            name: ring.name.description, core: ring.core, provider: record.provider.description, versions: versions,
            due: due(ring, seals: activeSeals), underOldKeys: census.map { $0.columns.reduce(0) { $0 + $1.left } },
            underOldKeysOutside: census.map { $0.columns.reduce(0) { $0 + $1.outside.old } },
            exceptions: census.map { $0.columns.reduce(0) { $0 + $1.unopenable + $1.plaintext } },
            findings: (census?.columns ?? []).flatMap { column in
                column.findings.map { Status.ColumnFinding(column: column.column, row: $0.row, what: $0.what) }
            }
        )
    }

    private func due(_ ring: Keyring, seals: Int64) -> [String] {
        guard let active = ring.active else { return [] }
        var due: [String] = []
        if let maxAge = ring.policy.maxAge, let since = active.activatedAt {
            let age = context.now().since(since)
            if age > maxAge {
                due.append("the active key is \(age.durationText) old, its limit is \(maxAge.durationText)")
            }
        }
        if let maxSeals = ring.policy.maxSeals, UInt64(clamping: seals) >= maxSeals {
            due.append("the active key has used \(seals) seals, its limit is \(maxSeals)")
        }
        return due
    }

    /// What a run that is open asks of someone; nil where it goes on by itself or rests on request.
    private static func problem(of run: RunRecord, isDriven: Bool) -> String? {
        let goOn = "go on with \"keyturn run resume \(run.id)\" or end it with \"keyturn run cancel \(run.id)\""
        let why = run.message.map { ": \($0)" } ?? ""
        return switch run.state {
        case .needsOperator: "run \(run.id) stopped in \(run.phase.rawValue)\(why); \(goOn)"
        case .waiting: "run \(run.id) is \(run.message ?? "waiting"); say so with \"keyturn run ack \(run.id)\""
        case .open where !isDriven: "run \(run.id) was cut off in \(run.phase.rawValue); \(goOn)"
        default: nil
        }
    }

    private static func problems(of ring: Status.Ring) -> [String] {
        var problems: [String] = []
        if let left = ring.underOldKeys, left > 0 {
            problems.append("keyring \"\(ring.name)\": \(left) values lie under older keys")
        }
        if let outside = ring.underOldKeysOutside, outside > 0 {
            problems.append("keyring \"\(ring.name)\": \(outside) values lie under older keys outside of \"where\"")
        }
        if let exceptions = ring.exceptions, exceptions > 0 {
            problems.append("keyring \"\(ring.name)\": \(exceptions) values do not open or are not sealed")
        }
        return problems
    }
}
