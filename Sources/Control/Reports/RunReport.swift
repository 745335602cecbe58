internal import ControlStore
internal import KeyModel
package import Rotation
internal import Storage

/// A run for programs.
struct RunSummary: Encodable {
    let run: Int64
    let kind: String
    let urgency: String
    let keyring: String
    let phase: String
    let state: String
    let newKey: String?
    let oldKeys: [String]
    let planHash: String
    let configurationHash: String
    let startedAt: String
    let finishedAt: String?
    let actor: String
    let message: String?

    init(_ run: RunRecord) {
        self.run = run.id
        kind = run.kind.rawValue
        urgency = run.urgency.rawValue
        keyring = run.keyring.description
        phase = run.phase.rawValue
        state = run.state.rawValue
        newKey = run.newKey?.description
        oldKeys = run.oldKeys.map(\.description)
        planHash = run.planHash
        configurationHash = run.configurationHash
        startedAt = run.startedAt.description
        finishedAt = run.finishedAt?.description
        actor = run.actor
        message = run.message
    }
}

extension RunState {
    /// Whether a run in this state is as it should be.
    var isGood: Bool {
        switch self {
        case .done, .paused, .waiting, .open: true
        case .cancelled, .doneWithExceptions, .needsOperator, .failed: false
        }
    }
}

/// The newest runs for people and programs.
struct RunList {
    let runs: [RunRecord]

    func answer() throws -> Answer {
        let rows = runs.map { run in
            [
                String(run.id), run.urgency == .emergency ? "\(run.kind.rawValue)!" : run.kind.rawValue,
                run.keyring.description, run.phase.rawValue, run.state.rawValue, run.startedAt.description,
                run.finishedAt?.description ?? "", run.actor,
            ]
        }
        let headers = ["run", "kind", "keyring", "phase", "state", "started", "finished", "by"]
        return try Answer(encoding: runs.map(RunSummary.init), [.table(nil, headers, rows: rows)])
    }
}

/// A run with its history, for programs.
private struct RunDetail: Encodable {
    struct Step: Encodable {
        let at: String
        let phase: String
        let what: String
    }

    struct Progress: Encodable {
        let column: String
        let phase: String
        let isDone: Bool
        let sweep: Int
        let counts: RowCounts
    }

    struct Hook: Encodable {
        let attempt: String
        let stage: String
        let place: String
        let state: String
        let startedAt: String
        let finishedAt: String?
        let message: String?
        let output: String

        init(_ attempt: HookAttempt) {
            self.attempt = attempt.id
            stage = attempt.hook.stage.rawValue
            place = attempt.hook.place
            state = attempt.state.rawValue
            startedAt = attempt.startedAt.description
            finishedAt = attempt.finishedAt?.description
            message = attempt.message
            output = attempt.output
        }
    }

    struct Quarantined: Encodable {
        let column: String
        let row: String
        let reason: String
    }

    let summary: RunSummary
    let steps: [Step]
    let hooks: [Hook]
    let progress: [Progress]
    let quarantined: [Quarantined]
    let quarantineCount: Int64
    /// In an emergency, about the rows that may still lie under the leaked key; nil until they are counted.
    let exposed: Int64?
    let rowsWritten: Int64
    let rowsMissed: Int64
    /// How often each provider was called: by provider and call.
    let providerCalls: [String: [String: Int64]]
    let proof: ProofStatement?
    let signature: String?
    let signer: String?
}

extension RunHistory {
    /// The run for people and programs.
    ///
    /// - Throws: `EncodingError`.
    package func answer() throws -> Answer {
        let signed = try? SignedProof.decode(run.proof)  // shown as it is; whoever checks it reads the text itself
        let statement = try? ProofStatement.decode(signed?.statement)
        let detail = RunDetail(
            summary: RunSummary(run),
            steps: steps.map { .init(at: $0.at.description, phase: $0.phase.rawValue, what: $0.what) },
            hooks: hooks.map(RunDetail.Hook.init), progress: progress.map(detail),
            quarantined: quarantined.map {
                .init(column: name($0.columnID), row: $0.key.description, reason: $0.reason)
            }, quarantineCount: quarantineCount, exposed: exposed,
            rowsWritten: progress.reduce(0) { $0 + $1.counts.written },
            rowsMissed: progress.reduce(0) { $0 + $1.counts.missed }, providerCalls: providerCalls, proof: statement,
            signature: signed?.signature, signer: signed?.signer
        )
        return try Answer(encoding: detail, blocks(statement, signed), isGood: run.state.isGood)
    }

    private func blocks(_ statement: ProofStatement?, _ signed: SignedProof?) -> [Answer.Block] {
        var blocks: [Answer.Block] = [
            .record(fields),
            .table(
                "steps", ["at", "phase", "what"],
                rows: steps.map { [$0.at.description, $0.phase.rawValue, $0.what] }),
            .table(
                "counts", ["phase", "column"],
                numbers: ["rows", "rewritten", "missed", "unchanged", "quarantined", "bytes"],
                rows: progress.sorted { ($0.phase, $0.columnID) < ($1.phase, $1.columnID) }.map(row)),
        ]
        if !exposure.isEmpty { blocks.insert(.lines(exposure), at: 1) }
        if !hooks.isEmpty { blocks += hookBlocks }
        if quarantineCount > 0 {
            let rows = quarantined.prefix(20).map { [name($0.columnID), $0.key.description, $0.reason] }
            let title = "quarantined: \(Readable.count(quarantineCount))"
            blocks.append(.table(title, ["column", "row", "reason"], rows: rows))
        }
        if let statement, let signed { blocks.append(.lines(proof(statement, signed))) }
        return blocks
    }

    private var fields: [Answer.Field] {
        var fields: [Answer.Field] = [
            .init("run", "\(run.id): \(run.kind.rawValue) \"\(run.keyring)\", \(run.urgency.rawValue)"),
            .init("state", run.state.rawValue + (run.message.map { ": \($0)" } ?? "")),
            .init("phase", run.phase.rawValue), .init("new key", run.newKey?.description ?? "-"),
            .init(
                "old keys", run.oldKeys.isEmpty ? "none" : run.oldKeys.map(\.description).joined(separator: ", ")),
            .init("by", run.actor),
        ]
        if !providerCalls.isEmpty { fields.append(.init("provider calls", calls)) }
        return fields
    }

    /// `7 of customer: describe 1, unwrap 3, wrap 3`.
    private var calls: String {
        providerCalls.sorted { $0.key < $1.key }.map { provider, calls in
            let kinds = calls.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            return "\(calls.values.reduce(0, +)) of \(provider): \(kinds.joined(separator: ", "))"
        }.joined(separator: "; ")
    }

    /// Rows that may still lie under the leaked key: those that the rewriting has not come to.
    private var exposed: Int64? {
        guard run.urgency == .emergency else { return nil }
        if run.phase > .reencrypt { return 0 }
        let passes = progress.filter { $0.phase == .reencrypt }
        guard !passes.isEmpty else { return nil }
        return passes.reduce(0) { $0 + ($1.isDone ? 0 : max(0, $1.expectedRows - $1.counts.read)) }
    }

    /// How far an emergency has come, in words.
    private var exposure: [String] {
        guard run.urgency == .emergency, run.state.isOpen else { return [] }
        guard let exposed else { return ["every row is still exposed"] }
        return ["about \(Readable.count(exposed)) rows still exposed"]
    }

    /// The attempts, and what each printed.
    private var hookBlocks: [Answer.Block] {
        let rows = hooks.map { attempt in
            [
                attempt.startedAt.description, attempt.hook.stage.rawValue, attempt.hook.place, attempt.state.rawValue,
                attempt.message ?? "",
            ]
        }
        var blocks: [Answer.Block] = [.table("hooks", ["at", "stage", "hook", "state", "message"], rows: rows)]
        for attempt in hooks where !attempt.output.isEmpty {
            var lines = attempt.output.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
            if attempt.output.hasSuffix("\n") { lines.removeLast() }
            blocks.append(.lines(["output of \(attempt.hook.stage.rawValue) (\(attempt.hook.place))"] + lines))
        }
        return blocks
    }

    private func proof(_ statement: ProofStatement, _ signed: SignedProof) -> [String] {
        let opened = statement.columns.reduce(0) { $0 + $1.active }
        let left = statement.columns.reduce(0) { $0 + $1.left }
        let exceptions = statement.columns.reduce(0) { $0 + $1.exceptions }
        return [
            "proof: \(statement.isClean ? "clean" : "not clean"), counted at \(statement.verifiedAt) on \(statement.database)",
            "  \(Readable.count(opened)) values open under key \(statement.activeKey) alone, \(Readable.count(left)) under "
                + "older keys, \(Readable.count(exceptions)) exceptions; canaries \(statement.canariesOpen ? "open" : "do not open")",
            "  old bytes may remain in: \(statement.oldBytesMayRemainIn.joined(separator: "; "))",
            "  signed by \(signed.signer)", "  \(signed.signature)",
        ]
    }

    private func row(_ progress: ColumnProgress) -> [String] {
        let counts = progress.counts
        return [progress.phase.rawValue, name(progress.columnID)]
            + [counts.read, counts.written, counts.missed, counts.skipped, counts.quarantined].map {
                Readable.count($0)
            }
            + [Readable.bytes(counts.bytes)]
    }

    private func detail(_ progress: ColumnProgress) -> RunDetail.Progress {
        RunDetail.Progress(
            column: name(progress.columnID), phase: progress.phase.rawValue, isDone: progress.isDone,
            sweep: progress.sweep,
            counts: progress.counts
        )
    }

    private func name(_ id: Int64) -> String {
        columns.first { $0.id == id }?.declaration.path.description ?? "column \(id)"
    }
}
