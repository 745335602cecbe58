package import ControlStore
internal import Foundation
package import KeyModel
internal import PluginKit
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

    /// Makes a request.
    package init(kind: RunKind, urgency: RunUrgency = .routine, keyring: Name, columnIDs: [Int64]? = nil) {
        self.kind = kind
        self.urgency = urgency
        self.keyring = keyring
        self.columnIDs = columnIDs
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

    /// The bytes that a rewriting needs besides what values grow by: a write-ahead log of this size, or a tenth of the table.
    private static let leastDiskBytes: Int64 = 16 << 20

    func plan(_ request: PlanRequest) async throws -> Plan {
        let (record, columns, openRun) = try await context.control.read { session in
            let record = try session.keyring(request.keyring)
            let all = try session.columns().filter { $0.isDeclared && $0.declaration.keyring == request.keyring }
            return (record, all.filter { request.columnIDs?.contains($0.id) ?? true }, try session.openRun())
        }
        let opened = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
        let keepsKey = request.kind == .adopt && opened.active != nil
        let sampler = keepsKey ? opened : try await sampleKeyring(opened)
        let inspections = try await inspect(columns, opened)
        var plans: [ColumnPlan] = []
        for inspection in inspections where inspection.refusals.isEmpty {
            plans.append(try await sample(inspection, sampler, isAdopting: request.kind == .adopt))
        }
        let needed = plans.reduce(Int64(0)) { $0 + diskBytes(for: $1) }
        let free = try await context.engine.freeBytes()
        var refusals = inspections.flatMap(\.refusals) + policyRefusals(record, request, columns, openRun)
        if let free, free < needed {
            refusals.append("the rewriting needs about \(needed) bytes of disk, \(free) are free")
        }
        return Plan(
            kind: request.kind.rawValue, urgency: request.urgency.rawValue, keyring: request.keyring.description,
            core: record.keyring.core, activeKey: opened.active?.description,
            makesNewKey: request.kind == .rotate || opened.active == nil, columns: plans,
            estimatedSeconds: plans.reduce(0) { $0 + seconds(for: $1) }, diskBytesNeeded: needed, diskBytesFree: free,
            consumers: record.consumers.map(\.description), backup: record.keyring.policy.backup.rawValue,
            warnings: inspections.flatMap(\.warnings) + warnings(try await origins(record), record, plans),
            refusals: refusals,
            configurationHash: configurationHash, hash: hash(request, record, inspections)
        )
    }

    /// The hash that a plan for this request has now; cheap, since it samples nothing.
    func currentHash(_ request: PlanRequest) async throws -> String {
        let (record, columns) = try await context.control.read { session in
            let all = try session.columns().filter { $0.isDeclared && $0.declaration.keyring == request.keyring }
            return (try session.keyring(request.keyring), all.filter { request.columnIDs?.contains($0.id) ?? true })
        }
        let opened = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
        return hash(request, record, try await inspect(columns, opened))
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
        _ inspection: ColumnInspection, _ keyring: OpenedKeyring, isAdopting: Bool
    ) async throws -> ColumnPlan {
        let cipher = try ColumnCipher(
            column: inspection.column, keyring: keyring, namespace: instance.namespace, isAdopting: isAdopting,
            readsBack: inspection.readsBack
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
        return tally.plan(
            for: inspection, isFenced: keyring.descriptor.keyID == .exact, sampledAll: isLast,
            seconds: Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
        )
    }

    private func diskBytes(for plan: ColumnPlan) -> Int64 {
        let scale = plan.sampledAll || plan.sampledRows == 0 ? 1 : Double(plan.tableRows) / Double(plan.sampledRows)
        let growth = Double(max(0, plan.bytesAfter - plan.bytesBefore)) * scale
        return Int64(growth) + max(Self.leastDiskBytes, plan.tableBytes / 10)
    }

    /// Deciding is timed by the sample; writing costs about as much again, and verifying about half of it.
    private func seconds(for plan: ColumnPlan) -> Double {
        let scale = plan.sampledAll || plan.sampledRows == 0 ? 1 : Double(plan.tableRows) / Double(plan.sampledRows)
        return plan.sampleSeconds * scale * 2.5
    }

    private func policyRefusals(
        _ record: KeyringRecord, _ request: PlanRequest, _ columns: [ColumnRecord], _ openRun: RunRecord?
    ) -> [String] {
        let name = record.keyring.name
        var refusals: [String] = []
        if columns.isEmpty { refusals.append("keyring \"\(name)\" seals no declared column") }
        if request.kind == .rotate, record.keyring.active == nil {
            refusals.append("keyring \"\(name)\" has no active key to rotate; import or adopt first")
        }
        if let openRun, request.urgency == .routine {
            refusals.append("run \(openRun.id) is open: \(openRun.phase.rawValue)")
        }
        if record.keyring.policy.backup == .required, request.urgency == .routine {
            refusals.append(
                "keyring \"\(name)\" requires a verified backup of the run, and no hook here can make one yet")
        }
        return refusals
    }

    private func origins(_ record: KeyringRecord) async throws -> [KeyOrigin?] {
        let ids = record.keyring.versions.filter { $0.state == .active }.map(\.id)
        return try await context.control.read { session in try ids.map { try session.origin(of: $0) } }
    }

    private func warnings(_ origins: [KeyOrigin?], _ record: KeyringRecord, _ plans: [ColumnPlan]) -> [String] {
        var warnings: [String] = []
        if record.consumers.isEmpty, origins.contains(.imported) {
            warnings.append(
                "the key was imported and no consumer is declared: the application must be stopped until it has the new key"
            )
        }
        if record.keyring.policy.backup == .optional { warnings.append("no backup is made: the policy says optional") }
        for plan in plans where plan.wouldQuarantine > 0 {
            warnings.append("\(plan.wouldQuarantine) values of \"\(plan.column)\" do not open and would be quarantined")
        }
        if instance.escrowedAt == nil {
            warnings.append("root.key was never exported for safe-keeping (\"keyturn root export\")")
        }
        return warnings
    }

    private func hash(_ request: PlanRequest, _ record: KeyringRecord, _ inspections: [ColumnInspection]) -> String {
        let ring = record.keyring
        let text =
            [
                request.kind.rawValue, request.urgency.rawValue, ring.name.description, ring.core,
                record.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ","),
                "\(ring.policy)", record.provider.description, record.consumers.description,
                ring.versions.map { "\($0.id)=\($0.state.rawValue)" }.joined(separator: ","),
            ] + inspections.map(\.structure)
        return ContentHash.sha256(text.joined(separator: "\n").utf8)
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

    func plan(for inspection: ColumnInspection, isFenced: Bool, sampledAll: Bool, seconds: Double) -> ColumnPlan {
        ColumnPlan(
            column: inspection.column.declaration.path.description, tableRows: inspection.table?.estimatedRows ?? rows,
            tableBytes: inspection.table?.estimatedBytes ?? 0, sampledRows: rows, sampledAll: sampledAll,
            sampleSeconds: seconds, toRewrite: rewrite, bytesBefore: before, bytesAfter: after, unchanged: unchanged,
            wouldQuarantine: quarantined, quarantined: first, triggers: inspection.table?.triggers.map(\.name) ?? [],
            isFenced: isFenced
        )
    }
}
