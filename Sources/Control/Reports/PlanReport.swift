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
        let room = diskBytesFree.map { Readable.bytes($0) } ?? "unknown"
        var blocks: [Answer.Block] = [
            .fields([
                "plan": "\(kind) \"\(keyring)\" (\(core)), \(urgency)", "active key": activeKey ?? "none yet",
                "estimated time": Readable.duration(.seconds(estimatedSeconds)),
                "disk needed": "\(Readable.bytes(diskBytesNeeded)), free \(room)", "backup": backup,
                "consumers": consumers.isEmpty ? "none" : consumers.joined(separator: ", "), "hash": hash,
            ]),
            .table(
                nil, ["column"],
                numbers: [
                    "table rows", "table size", "looked at", "to rewrite", "unchanged", "quarantine", "bytes before",
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

    private static func row(_ plan: ColumnPlan) -> [String] {
        [
            plan.column, Readable.count(plan.tableRows), Readable.bytes(plan.tableBytes),
            Readable.count(plan.sampledRows) + (plan.sampledAll ? " (all)" : ""), Readable.count(plan.toRewrite),
            Readable.count(plan.unchanged), Readable.count(plan.wouldQuarantine), Readable.bytes(plan.bytesBefore),
            Readable.bytes(plan.bytesAfter),
        ]
    }
}
