package import ControlStore
internal import Foundation
package import KeyModel
package import PluginKit
internal import Storage

/// What is to be planned.
package struct PlanRequest: Hashable, Sendable {
    /// What for.
    package var kind: RunKind
    /// How pressing.
    package var urgency: RunUrgency
    /// The keyring.
    package var keyring: Name
    /// The columns by number; nil for all that the keyring seals.
    package var columnIDs: [Int64]?
    /// For `convert`: what the values are bound to afterwards.
    package var context: ValueContext.Scheme?
    /// For `rewrap`: whether the provider is to make a new key first.
    package var makesNewRoot: Bool

    /// Makes a request.
    package init(
        kind: RunKind, urgency: RunUrgency = .routine, keyring: Name, columnIDs: [Int64]? = nil,
        context: ValueContext.Scheme? = nil, makesNewRoot: Bool = false
    ) {
        self.kind = kind
        self.urgency = urgency
        self.keyring = keyring
        self.columnIDs = columnIDs
        self.context = context
        self.makesNewRoot = makesNewRoot
    }
}

/// Makes plans: reads the catalogue and a timed sample, changes nothing.
struct Planner: Sendable {
    let context: RotationContext
    let keys: KeyAccess
    let instance: InstanceRecord
    let configurationHash: String

    /// How long a column's sample may take.
    private static let sampleTime = Duration.seconds(3)

    /// What a request is about.
    private struct Subject {
        let record: KeyringRecord
        let columns: [ColumnRecord]
        /// For `convert`: where the values are now.
        let conversion: Conversion?
        let openRun: RunRecord?
        /// Who works on the database now; nil where nobody does.
        let lease: Lease?
        /// Why the values may not go under the provider; nil where they may.
        var hold: String?
    }

    func plan(_ request: PlanRequest) async throws -> Plan {
        let subject = try await subject(of: request)
        let record = subject.record
        let opened = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
        let inspections = try await inspect(subject.columns, opened)
        var plans: [ColumnPlan] = []
        if request.kind != .rewrap {
            let keepsKey = request.kind != .rotate && opened.active != nil
            let sampler = keepsKey ? opened : try await sampleKeyring(opened)
            let source = try await source(of: subject.conversion)
            for inspection in inspections where inspection.refusals.isEmpty {
                plans.append(try await sample(inspection, sampler, from: source, isAdopting: request.kind == .adopt))
            }
        }
        let cost = plans.reduce(RewriteCost(tables: 0)) { $0 + self.cost(of: $1) }
        let room = try await context.engine.diskRoom(for: Array(Set(inspections.compactMap(\.table?.name))))
        var refusals =
            inspections.flatMap(\.refusals) + policyRefusals(subject, request) + room.shortages(for: cost)
        if let obstacle = try await backupObstacle(request, record) {
            refusals.append("the backup before the run does not fit: \(obstacle)")
        }
        return Plan(
            kind: request.kind.rawValue, urgency: request.urgency.rawValue, keyring: request.keyring.description,
            core: record.keyring.core, activeKey: opened.active?.description,
            provider: record.provider.description,
            makesNewKey: request.kind != .rewrap && (request.kind == .rotate || opened.active == nil), columns: plans,
            estimatedSeconds: plans.reduce(0) { $0 + seconds(for: $1) }, diskBytesNeeded: cost.tables,
            diskBytesFree: room.tables, logBytes: cost.log, logBytesFree: room.isShared ? room.tables : room.log,
            consumers: record.consumers.map(\.description), backup: record.keyring.policy.backup.rawValue,
            conversion: subject.conversion, rewrap: try await rewrap(request, record),
            warnings: inspections.flatMap(\.warnings) + warnings(request, try await origins(record), subject, plans),
            refusals: refusals, configurationHash: configurationHash, hash: hash(request, subject, inspections)
        )
    }

    /// Why the backup that must come before the run could not be made; an emergency is not held back by that.
    private func backupObstacle(_ request: PlanRequest, _ record: KeyringRecord) async throws -> String? {
        guard record.keyring.policy.backup == .required, request.urgency == .routine, request.kind != .rewrap else {
            return nil
        }
        return try await context.backupObstacle?()
    }

    /// The hash that a plan for this request has now; cheap, since it samples nothing.
    func currentHash(_ request: PlanRequest) async throws -> String {
        let subject = try await subject(of: request)
        let opened = try await keys.open(subject.record, with: context.cores, instance: instance.id, forRewrite: true)
        return hash(request, subject, try await inspect(subject.columns, opened))
    }

    /// The keyring that values are converted from, with its keys at hand; nil where nothing is converted.
    func source(of conversion: Conversion?) async throws -> (OpenedKeyring, Conversion)? {
        guard let conversion else { return nil }
        let record = try await context.control.read { try $0.keyring(try Name(conversion.from)) }
        return (
            try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true), conversion
        )
    }

    private func subject(of request: PlanRequest) async throws -> Subject {
        let now = context.now()
        return try await context.control.read { session in
            var subject = try self.subject(of: request, session, now)
            let hold = CustomerHold(declared: context.declared)
            let sources = try subject.conversion.map { [try Name($0.from)] } ?? []
            subject.hold = try (sources + [request.keyring]).lazy
                .compactMap { try hold.refusal(of: $0, under: subject.record.provider, in: session) }.first
            return subject
        }
    }

    private func subject(of request: PlanRequest, _ session: ControlSession, _ now: Timestamp) throws -> Subject {
        let record = try session.keyring(request.keyring)
        let declared = try session.columns().filter(\.isDeclared)
        let openRun = try session.openRun()
        let lease = try session.lease().flatMap { $0.expiresAt > now ? $0 : nil }
        switch request.kind {
        case .rotate, .adopt:
            let own = declared.filter { $0.declaration.keyring == request.keyring }
            let columns = own.filter { request.columnIDs?.contains($0.id) ?? true }
            return Subject(record: record, columns: columns, conversion: nil, openRun: openRun, lease: lease)
        case .convert:
            let columns = declared.filter { request.columnIDs?.contains($0.id) ?? false }
            let conversion = try Conversion(of: columns, to: request, core: context.cores.core(record.keyring.core))
            return Subject(
                record: record, columns: columns.map { conversion.converted($0, to: request.keyring) },
                conversion: conversion, openRun: openRun, lease: lease
            )
        case .rewrap: return Subject(record: record, columns: [], conversion: nil, openRun: openRun, lease: lease)
        }
    }

    /// Which key-encryption key wraps before a rewrapping.
    private func rewrap(_ request: PlanRequest, _ record: KeyringRecord) async throws -> RewrapPlan? {
        guard request.kind == .rewrap else { return nil }
        let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "plan-rewrap-\(request.keyring)")
        let present = try await keys.provider(record.provider).describeKey(call)
        return RewrapPlan(
            provider: record.provider.description, providerKeyBefore: present.id, makesNewRoot: request.makesNewRoot
        )
    }

    /// Holds columns against the database.
    func inspect(_ columns: [ColumnRecord], _ keyring: OpenedKeyring) async throws -> [ColumnInspection] {
        try await context.engine.read { session in
            let inspector = ColumnInspector(session: session, descriptor: keyring.descriptor, core: keyring.core)
            return try columns.map(inspector.inspect)
        }
    }

    /// A ring that seals as the run will: with the active key, or with a passing one where there is none yet.
    private func sampleKeyring(_ opened: OpenedKeyring) async throws -> OpenedKeyring {
        let type = try context.cores.core(opened.record.keyring.core)
        var random = SystemRandomNumberGenerator()
        let id = KeyID.random(avoiding: Set(opened.record.keyring.versions.map(\.id)), using: &random)
        let passing = KeyMaterial(id: id, secret: try type.generateMaterial(options: opened.record.options))
        var keys = [passing]
        for version in opened.record.keyring.versions.reversed() where version.state.mayOpenForRewrite {
            keys.append(try await self.keys.material(of: version.id, in: opened.name, instance: instance.id))
        }
        let now = context.now()
        let old = opened.record.keyring
        let versions =
            old.versions.filter { $0.state != .active }
            + [KeyVersion(id: id, state: .active, createdAt: now)]
            + old.versions.filter { $0.state == .active }
            .map { KeyVersion(id: $0.id, state: .deactivated, createdAt: $0.createdAt) }
        let ring = try Keyring(name: old.name, core: old.core, policy: old.policy, versions: versions)
        let record = KeyringRecord(
            keyring: ring, options: opened.record.options, provider: opened.record.provider,
            consumers: opened.record.consumers, isDeclared: opened.record.isDeclared
        )
        let core = try type.init(options: record.options, keys: keys)
        return OpenedKeyring(record: record, descriptor: type.descriptor, core: core, activeCore: core)
    }

    private func sample(
        _ inspection: ColumnInspection, _ keyring: OpenedKeyring, from source: (OpenedKeyring, Conversion)?,
        isAdopting: Bool
    ) async throws -> ColumnPlan {
        let cipher = try ColumnCipher(
            column: inspection.column, keyring: keyring.fitted(to: inspection.description),
            namespace: instance.namespace, isAdopting: isAdopting, readsBack: inspection.readsBack,
            from: source.map { ($0.fitted(to: inspection.description), $1) }
        )
        var tally = SampleTally()
        let clock = ContinuousClock()
        let start = clock.now
        var cursor: RowKey?
        var isLast = false
        while !isLast, clock.now - start < Self.sampleTime {
            let request = WindowRequest(
                target: cipher.target, scope: cipher.scope, after: cursor, rowLimit: context.engine.tuning.windowRows
            )
            let window = try await context.engine.read { try $0.readWindow(request) }
            let outcomes = await parallelMap(window.rows) { cipher.outcomes(of: $0) }
            for (row, outcome) in zip(window.rows, outcomes) { tally.add(row, outcome) }
            cursor = window.rows.last?.key ?? cursor
            isLast = window.isLast
        }
        let took = clock.now - start
        let rowsToRead =
            isLast
            ? tally.rows
            : try await context.engine.read { [target = cipher.target, scope = cipher.scope] session in
                try session.estimatedRows(of: target, scope: scope)
            }
        return tally.plan(
            for: inspection, rowsToRead: max(rowsToRead, tally.rows), isFenced: keyring.descriptor.keyID == .exact,
            sampledAll: isLast,
            seconds: Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
        )
    }

    /// What the sample found, by the engine's measures and for the whole table.
    private func cost(of plan: ColumnPlan) -> RewriteCost {
        func whole(_ sampled: Int64) -> Int64 { Int64(Double(sampled) * plan.scale) }
        return context.engine.rewriteCost(
            rows: whole(plan.toRewrite), bytesBefore: whole(plan.bytesBefore), bytesAfter: whole(plan.bytesAfter),
            tableBytes: plan.tableBytes)
    }

    /// Deciding is timed by the sample; writing costs about as much again, and verifying about half of it.
    private func seconds(for plan: ColumnPlan) -> Double {
        plan.sampleSeconds * plan.scale * 2.5
    }

    private func policyRefusals(_ subject: Subject, _ request: PlanRequest) -> [String] {
        let (record, openRun) = (subject.record, subject.openRun)
        let name = record.keyring.name
        var refusals: [String] = []
        if let hold = subject.hold { refusals.append(hold) }
        if request.kind == .rewrap, record.keyring.versions.isEmpty {
            refusals.append("keyring \"\(name)\" has no key yet")
        }
        // A rotation of a keyring that seals no column makes a key for those whom it is served to.
        let isRotation = request.kind == .rotate
        if request.kind != .rewrap, subject.columns.isEmpty, !isRotation || request.columnIDs != nil {
            refusals.append("keyring \"\(name)\" seals no declared column")
        }
        if isRotation, record.keyring.active == nil, !subject.columns.isEmpty {
            refusals.append("keyring \"\(name)\" has no active key to rotate; import or adopt first")
        }
        if let openRun, request.urgency == .routine {
            let driver = subject.lease.map { ", driven by \($0.holder)" } ?? ""
            refusals.append("run \(openRun.id) is open: \(openRun.phase.rawValue)\(driver)")
        }
        return refusals
    }

    private func origins(_ record: KeyringRecord) async throws -> [KeyOrigin?] {
        let ids = record.keyring.versions.filter { $0.state == .active }.map(\.id)
        return try await context.control.read { session in try ids.map { try session.origin(of: $0) } }
    }

    private func warnings(
        _ request: PlanRequest, _ origins: [KeyOrigin?], _ subject: Subject, _ plans: [ColumnPlan]
    ) -> [String] {
        let record = subject.record
        var warnings: [String] = []
        if let conversion = subject.conversion {
            warnings.append(
                "whoever reads these columns must know core \"\(record.keyring.core)\" before the run starts; what it cannot keep of "
                    + "values of \"\(conversion.from)\" (a timestamp) is dropped"
            )
        }
        if instance.escrowedAt == nil {
            warnings.append("root.key was not exported for safe-keeping (\"keyturn root export\")")
        }
        guard request.kind != .rewrap else { return warnings }
        if subject.columns.isEmpty {
            warnings.append("keyring \"\(record.keyring.name)\" seals no declared column: only a new key is made")
        }
        if record.consumers.isEmpty, origins.contains(.imported) {
            warnings.append(
                "the key was imported and no consumer is declared: the application must be stopped until it has the new key"
            )
        }
        if record.keyring.policy.backup == .required, request.urgency == .routine {
            warnings.append(
                "no key is made until a verified backup of the run is there: from a hook, or \"keyturn backup create --run N\""
            )
        }
        if record.keyring.policy.backup == .optional { warnings.append("no backup is made: the policy says optional") }
        for plan in plans where plan.wouldQuarantine > 0 {
            warnings.append("\(plan.wouldQuarantine) values of \"\(plan.column)\" do not open and would be quarantined")
        }
        return warnings
    }

    private func hash(_ request: PlanRequest, _ subject: Subject, _ inspections: [ColumnInspection]) -> String {
        let record = subject.record
        let ring = record.keyring
        let text =
            [
                request.kind.rawValue, request.urgency.rawValue, ring.name.description, ring.core,
                record.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ","),
                "\(ring.policy)", record.provider.description,
                context.declared[record.provider]?.fingerprint ?? "", record.consumers.description,
                ring.versions.filter { $0.state.mayOpenForRewrite }.map { "\($0.id)=\($0.state.rawValue)" }
                    .joined(separator: ","),
            ] + inspections.map(\.structure)
        return ContentHash.sha256(text.joined(separator: "\n").utf8)
    }
}

extension ColumnPlan {
    /// How many times the sample all that the run reads is.
    fileprivate var scale: Double {
        sampledAll || sampledRows == 0 ? 1 : Double(rowsToRead ?? tableRows) / Double(sampledRows)
    }
}

/// Adds up what a sample found.
private struct SampleTally {
    var rows: Int64 = 0
    var rewrite: Int64 = 0
    var before: Int64 = 0
    var after: Int64 = 0
    var unchanged: Int64 = 0
    var quarantined: Int64 = 0
    var first: [ColumnPlan.Unopenable] = []

    mutating func add(_ row: StoredRow, _ outcome: ColumnCipher.Outcome) {
        rows += 1
        switch outcome {
        case .keep: unchanged += 1
        case .replace(let value, _):
            rewrite += 1
            before += Int64(row.value.bytes?.count ?? 0)
            after += Int64(value.bytes?.count ?? 0)
        case .quarantine(let reason):
            quarantined += 1
            if first.count < 20 { first.append(ColumnPlan.Unopenable(row: row.key.description, reason: reason)) }
        }
    }

    func plan(
        for inspection: ColumnInspection, rowsToRead: Int64, isFenced: Bool, sampledAll: Bool, seconds: Double
    ) -> ColumnPlan {
        ColumnPlan(
            column: inspection.column.declaration.path.description, tableRows: inspection.table?.estimatedRows ?? rows,
            tableBytes: inspection.table?.estimatedBytes ?? 0, rowsToRead: rowsToRead, sampledRows: rows,
            sampledAll: sampledAll,
            sampleSeconds: seconds, toRewrite: rewrite, bytesBefore: before, bytesAfter: after, unchanged: unchanged,
            wouldQuarantine: quarantined, quarantined: first, triggers: inspection.table?.triggers.map(\.name) ?? [],
            isFenced: isFenced
        )
    }
}
