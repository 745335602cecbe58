internal import KeyModel
internal import Rotation

/// What a verification found, for people and programs.
struct Verified: Encodable {
    let isClean: Bool
    let keyrings: [Census]
    let undeclared: Discovery

    init(_ censuses: [Census], _ discovery: Discovery) {
        isClean = censuses.allSatisfy(\.isClean) && !discovery.holdsOurs
        keyrings = censuses
        undeclared = discovery
    }

    func answer() throws -> Answer { try Answer(encoding: self, blocks, isGood: isClean) }

    private var blocks: [Answer.Block] {
        let rows = keyrings.flatMap { census in census.columns.map { Self.row($0, of: census) } }
        let findings = keyrings.flatMap { census in
            census.columns.flatMap { column in
                FindingLines(column.findings.map { "\(column.column) row \($0.row): \($0.what)" }, of: column.noted)
                    .lines
            }
        }
        var blocks: [Answer.Block] = [
            .table(
                nil, ["keyring", "column"],
                numbers: [
                    "rows", "active key", "older keys", "no key opens", "not sealed", "outside: older",
                    "outside: other", "null, empty",
                ],
                rows: rows)
        ]
        if !findings.isEmpty { blocks.append(.lines(findings)) }
        let undeclared = Self.lines(self.undeclared)
        if !undeclared.isEmpty { blocks.append(.lines(undeclared)) }
        blocks.append(.lines([isClean ? "clean: every value opens under the active key alone" : "not clean"]))
        return blocks
    }

    /// Ciphertext that nobody declared, and where none was looked for.
    private static func lines(_ discovery: Discovery) -> [String] {
        let findings = discovery.findings.map { finding in
            let count = Readable.count(finding.shapes.values.reduce(0, +))
            let shapes = finding.shapes.keys.sorted().joined(separator: ", ")
            let keys = finding.keys.keys.sorted()
            let whose = keys.isEmpty ? "under no key of ours" : "some under key \(keys.joined(separator: ", "))"
            return "ciphertext nobody declared: \(finding.column), \(count) values that look like \(shapes), \(whose)"
        }
        let left = discovery.partlyRead.map { "\($0) is too large to be looked through; only its beginning was" }
        return findings + left + discovery.unreadable.map { "table \($0) has no key and was not looked through" }
    }

    private static func row(_ column: ColumnCensus, of census: Census) -> [String] {
        [census.keyring, column.column]
            + [
                column.rows, column.active, column.left, column.unopenable, column.plaintext, column.outside.old,
                column.outside.active + column.outside.foreign + column.outside.plaintext, column.null + column.empty,
            ].map { Readable.count($0) }
    }
}

/// The first rows that stand out, and how many more there are.
struct FindingLines {
    /// What to print.
    let lines: [String]

    private static let most = 5

    init(_ all: [String], of count: Int64) {
        let more = count - Int64(min(all.count, Self.most))
        lines = all.prefix(Self.most) + (more > 0 ? ["  … and \(Readable.count(more)) more"] : [])
    }
}
