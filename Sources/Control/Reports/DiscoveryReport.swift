internal import ControlStore
internal import KeyModel
internal import Rotation

/// Ciphertext that nobody declared, for people and programs.
struct Discovered: Encodable {
    struct Finding: Encodable {
        let column: String
        /// Values that look sealed.
        let values: Int64
        /// Those that a key of ours sealed.
        let ours: Int64
        let shapes: [String: Int64]
        let keys: [String: Int64]
        let firstRow: String
        let isWhole: Bool
        /// What declares it.
        let suggestion: String
    }

    let findings: [Finding]
    /// Tables that have no key to walk along or may not be read.
    let unread: [String]
    /// Columns that were looked at in part only.
    let partlyRead: [String]

    init(_ discovery: Discovery, _ records: [KeyringRecord]) {
        findings = discovery.findings.map { finding in
            let keys = Set(finding.keys.keys)
            let owners = records.filter { record in
                record.keyring.versions.contains { keys.contains($0.id.description) }
            }
            // Of values that lie under keys of two keyrings a person says whose column it is.
            let owner = owners.count == 1 ? owners[0].keyring.name.description : "…"
            return Finding(
                column: finding.column, values: finding.shapes.values.reduce(0, +),
                ours: finding.keys.values.reduce(0, +), shapes: finding.shapes, keys: finding.keys,
                firstRow: finding.firstRow, isWhole: finding.isWhole,
                suggestion: "column \"\(finding.column)\" { keyring = \"\(owner)\" }")
        }
        unread = discovery.unreadable
        partlyRead = discovery.partlyRead
    }

    func answer() throws -> Answer { try Answer(encoding: self, blocks, isGood: findings.isEmpty) }

    private var blocks: [Answer.Block] {
        var blocks: [Answer.Block] = []
        if !findings.isEmpty {
            let rows = findings.map { finding in
                [
                    finding.column, finding.shapes.keys.sorted().joined(separator: ", "),
                    finding.keys.keys.sorted().joined(separator: ", "), finding.firstRow,
                    Readable.count(finding.values), Readable.count(finding.ours),
                ]
            }
            blocks.append(
                .table(
                    nil, ["column", "looks like", "keys", "first row"], numbers: ["values", "under a key of ours"],
                    rows: rows))
            blocks.append(.lines(["to declare them, in keyturn.lua:"] + findings.map { "  \($0.suggestion)" }))
        }
        let left =
            unread.map { "table \($0) was not read: it has no key to walk along, or may not be read" }
            + partlyRead.map { "\($0) was read in part only: it is too large" }
        let verdict = findings.isEmpty ? ["no ciphertext that nobody declared was found"] : []
        blocks.append(.lines(verdict + left))
        return blocks
    }
}
