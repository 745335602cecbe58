internal import Frames
internal import KeyModel
internal import Rotation

extension Plan {
    /// The plan for people and programs.
    ///
    /// - Parameters:
    ///   - arguments: What it was made for, so that it can be applied.
    ///   - token: Lets it be applied once.
    /// - Returns: The plan, with both in its value.
    /// - Throws: `EncodingError`.
    func answer(for arguments: FrameValue, token: String) throws -> Answer {
        var answer = try Answer(encoding: self, blocks, isGood: refusals.isEmpty)
        if case .map(var entries) = answer.value {
            entries["arguments"] = arguments
            entries["token"] = .string(token)
            answer.value = .map(entries)
        }
        return answer
    }

    /// The plan for people.
    var blocks: [Answer.Block] { blocks(withWarnings: true) }

    /// The plan for people; without its warnings for whoever was shown them already.
    func blocks(withWarnings: Bool) -> [Answer.Block] {
        var fields = [
            Answer.Field("plan", "\(kind) \"\(keyring)\" (\(core)), \(urgency)"),
            Answer.Field("active key", activeKey ?? "none yet"),
            Answer.Field("estimated time", Readable.duration(.seconds(estimatedSeconds))),
            Answer.Field("disk needed", Self.room(diskBytesNeeded, free: diskBytesFree)),
        ]
        if let logBytes { fields.append(Answer.Field("log written", Self.room(logBytes, free: logBytesFree))) }
        fields += [
            Answer.Field("backup", backup),
            Answer.Field("consumers", consumers.isEmpty ? "none" : consumers.joined(separator: ", ")),
            Answer.Field("hash", hash),
        ]
        var blocks: [Answer.Block] = [
            .record(fields),
            .table(
                nil, ["column"],
                numbers: [
                    "table rows", "table size", "to read", "looked at", "to rewrite", "unchanged", "quarantine",
                    "bytes before",
                    "after",
                ],
                rows: columns.map(Self.row)),
        ]
        if withWarnings, !warnings.isEmpty { blocks.append(.lines(warnings.map { "warning: \($0)" })) }
        let doubtful = columns.flatMap { plan in
            plan.quarantined.map { "  \(plan.column) row \($0.row): \($0.reason)" }
        }
        if !doubtful.isEmpty { blocks.append(.lines(["would be quarantined:"] + doubtful)) }
        if !refusals.isEmpty { blocks.append(.lines(refusals.map { "refused: \($0)" })) }
        return blocks
    }

    private static func room(_ bytes: Int64, free: Int64?) -> String {
        "\(Readable.bytes(bytes)), " + (free.map { "free \(Readable.bytes($0))" } ?? "free space unknown")
    }

    private static func row(_ plan: ColumnPlan) -> [String] {
        [
            plan.column, Readable.count(plan.tableRows), Readable.bytes(plan.tableBytes),
            Readable.count(plan.rowsToRead ?? plan.tableRows),
            Readable.count(plan.sampledRows) + (plan.sampledAll ? " (all)" : ""), Readable.count(plan.toRewrite),
            Readable.count(plan.unchanged), Readable.count(plan.wouldQuarantine), Readable.bytes(plan.bytesBefore),
            Readable.bytes(plan.bytesAfter),
        ]
    }
}
