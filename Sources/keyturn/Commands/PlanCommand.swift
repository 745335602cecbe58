internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Terminal

/// Implements `keyturn plan`.
struct PlanCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a rotation would do, what it costs and what stands against it.",
        discussion: "Reads the catalogue and a timed sample; changes nothing. The hash holds as long as the plan does."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var keyring: String

    @Flag(name: .long, help: "Plan to seal the keyring's plaintext columns instead.")
    var adopt = false

    @Flag(name: .long, help: "Plan an emergency: the present key has leaked.")
    var emergency = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let request = PlanRequest(
            kind: adopt ? .adopt : .rotate, urgency: emergency ? .emergency : .routine, keyring: try Name(keyring)
        )
        let plan = try await instance.engine.plan(request)
        return Outcome(plan.report, status: plan.refusals.isEmpty ? .ok : .refused)
    }
}

extension Plan {
    /// The plan for people and programs.
    var report: Report {
        var blocks: [Report.Block] = [
            .record([
                ("plan", "\(kind) \"\(keyring)\" (\(core)), \(urgency)"), ("active key", activeKey ?? "none yet"),
                ("estimated time", Readable.duration(.seconds(estimatedSeconds))),
                (
                    "disk needed",
                    "\(Readable.bytes(diskBytesNeeded)), free \(diskBytesFree.map { Readable.bytes($0) } ?? "unknown")"
                ),
                ("backup", backup), ("consumers", consumers.isEmpty ? "none" : consumers.joined(separator: ", ")),
                ("hash", hash),
            ]),
            .table(nil, columns: Self.headers, rows: columns.map(Self.row)),
        ]
        if !warnings.isEmpty { blocks.append(.lines(warnings.map { "warning: \($0)" })) }
        let doubtful = columns.flatMap { plan in plan.quarantined.map { "  \(plan.column) row \($0.row): \($0.reason)" }
        }
        if !doubtful.isEmpty { blocks.append(.lines(["would be quarantined:"] + doubtful)) }
        if !refusals.isEmpty { blocks.append(.lines(refusals.map { "refused: \($0)" })) }
        return Report(self, blocks)
    }

    private static var headers: [Table.Column] {
        [
            Table.Column("column"), Table.Column("table rows", alignment: .right),
            Table.Column("table size", alignment: .right),
            Table.Column("looked at", alignment: .right), Table.Column("to rewrite", alignment: .right),
            Table.Column("unchanged", alignment: .right), Table.Column("quarantine", alignment: .right),
            Table.Column("bytes before", alignment: .right), Table.Column("after", alignment: .right),
        ]
    }

    private static func row(_ plan: ColumnPlan) -> [String] {
        [
            plan.column, Readable.count(plan.tableRows), Readable.bytes(plan.tableBytes),
            Readable.count(plan.sampledRows) + (plan.sampledAll ? " (all)" : ""), Readable.count(plan.toRewrite),
            Readable.count(plan.unchanged), Readable.count(plan.wouldQuarantine), Readable.bytes(plan.bytesBefore),
            Readable.bytes(plan.bytesAfter),
        ]
    }
}
