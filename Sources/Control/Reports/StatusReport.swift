internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

extension Status {
    /// What stands where, for people and programs.
    ///
    /// - Throws: `EncodingError`.
    func answer() throws -> Answer { try Answer(encoding: self, blocks, isGood: problems.isEmpty) }

    private var blocks: [Answer.Block] {
        let rows = keyrings.flatMap { ring in
            ring.versions.map { version in
                [
                    ring.name, ring.core, version.id, version.state, version.createdAt, version.activatedAt ?? "",
                    version.retiredAt ?? "", Readable.count(version.sealsReserved),
                ]
            }
        }
        var blocks: [Answer.Block] = [
            .fields([
                "instance": instance, "database": database, "namespace": namespace,
                "root key exported": escrowedAt ?? "never", "open run": openRun ?? "none", "at work": lease ?? "nobody",
            ]),
            .table(
                "keys", ["keyring", "core", "key", "state", "made", "activated", "retired"], numbers: ["seals"],
                rows: rows),
        ]
        blocks += calls
        let findings = keyrings.flatMap { ring in
            FindingLines(ring.findings.map { "\($0.column) row \($0.row): \($0.what)" }, of: Int64(ring.findings.count))
                .lines
        }
        if !findings.isEmpty { blocks.append(.lines(findings)) }
        if !notes.isEmpty { blocks.append(.lines(notes.map { "note: \($0)" })) }
        blocks.append(.lines(problems.isEmpty ? ["nothing needs anyone"] : problems.map { "problem: \($0)" }))
        return blocks
    }

    /// The calls to providers that were made since the process began, where any were.
    private var calls: [Answer.Block] {
        let rows = providers.flatMap { provider in
            provider.calls.sorted { $0.key < $1.key }.map { call, figures in
                let times = [figures.meanMilliseconds, figures.worstMilliseconds].map { String(format: "%.1f", $0) }
                let reach = provider.isReachable == false ? "no" : "yes"
                return [provider.name, reach, call, String(figures.calls), String(figures.failures)] + times
            }
        }
        guard !rows.isEmpty else { return [] }
        let numbers = ["calls", "failed", "mean ms", "worst ms"]
        return [.table("providers", ["provider", "reached", "call"], numbers: numbers, rows: rows)]
    }
}

extension Answer {
    /// The answer of `status` with what else needs someone.
    func adding(problems: [String]) -> Answer {
        guard !problems.isEmpty, case .map(let before) = value, case .array(let known)? = before["problems"] else {
            return self
        }
        var record = before
        record["problems"] = .array(known + problems.map { .string($0) })
        return Answer(.map(record), blocks + [.lines(problems.map { "problem: \($0)" })], isGood: false)
    }
}
