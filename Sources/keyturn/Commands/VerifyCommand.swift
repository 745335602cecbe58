internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Terminal

/// Implements `keyturn verify`.
struct VerifyCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Open every value with the active key alone and count what else there is.",
        discussion: """
            Changes nothing. Ends with 1 unless nothing lies under an older key, everything opens, and no column that is not \
            declared holds values under a key of ours.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring; default: all.")
    var keyring: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let censuses = try await instance.engine.census(of: try keyring.map { try Name($0) }, interrupt: interrupt) {
            console.show(phase: "verify \($0)", done: $1, expected: 0)
        }
        let discovery = try await instance.engine.discover(
            keysOf: try keyring.map { try Name($0) }, interrupt: interrupt)
        guard let censuses, let discovery else {
            throw CommandError(
                .callerInterrupted, "verify was interrupted", hint: "Nothing was changed.", status: .interrupted)
        }
        let verified = Verified(
            isClean: censuses.allSatisfy(\.isClean) && !discovery.holdsOurs, keyrings: censuses,
            undeclared: discovery)
        return Outcome(Report(verified, blocks(verified)), status: verified.isClean ? .ok : .failed)
    }

    private struct Verified: Encodable {
        let isClean: Bool
        let keyrings: [Census]
        let undeclared: Discovery
    }

    private func blocks(_ verified: Verified) -> [Report.Block] {
        let censuses = verified.keyrings
        let rows = censuses.flatMap { census in census.columns.map { Self.row($0, of: census) } }
        let findings = censuses.flatMap { census in
            census.columns.flatMap { column in
                FindingLines(column.findings.map { "\(column.column) row \($0.row): \($0.what)" }, of: column.noted)
                    .lines
            }
        }
        var blocks: [Report.Block] = [.table(nil, columns: Self.columns, rows: rows)]
        if !findings.isEmpty { blocks.append(.lines(findings)) }
        let undeclared = Self.lines(verified.undeclared)
        if !undeclared.isEmpty { blocks.append(.lines(undeclared)) }
        let verdict = verified.isClean ? "clean: every value opens under the active key alone" : "not clean"
        blocks.append(.lines([verdict]))
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

    private static var columns: [Table.Column] {
        ["keyring", "column"].map { Table.Column($0) }
            + [
                "rows", "active key", "older keys", "no key opens", "not sealed", "outside: older", "outside: other",
                "null, empty",
            ]
            .map { Table.Column($0, alignment: .right) }
    }

    private static func row(_ column: ColumnCensus, of census: Census) -> [String] {
        [census.keyring, column.column]
            + [
                column.rows, column.active, column.left, column.unopenable, column.plaintext, column.outside.old,
                column.outside.active + column.outside.foreign + column.outside.plaintext, column.null + column.empty,
            ].map { Readable.count($0) }
    }
}

/// Implements `keyturn status`.
struct StatusCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say what stands where and what needs someone.",
        discussion: "Counts every value unless --no-count is given. Ends with 1 when something needs someone."
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .long, help: "Do not open and count the values.")
    var noCount = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        guard let status = try await instance.engine.status(counts: !noCount, interrupt: interrupt) else {
            throw CommandError(
                .callerInterrupted, "status was interrupted", hint: "Nothing was changed.", status: .interrupted)
        }
        return Outcome(Report(status, status.blocks), status: status.problems.isEmpty ? .ok : .failed)
    }
}

extension Status {
    fileprivate var blocks: [Report.Block] {
        var blocks: [Report.Block] = [
            .record([
                ("instance", instance), ("database", database), ("namespace", namespace),
                ("root key exported", escrowedAt ?? "never"), ("open run", openRun ?? "none"),
                ("at work", lease ?? "nobody"),
            ])
        ]
        let rows = keyrings.flatMap { ring in
            ring.versions.map { version in
                [
                    ring.name, ring.core, version.id, version.state, version.createdAt, version.activatedAt ?? "",
                    version.retiredAt ?? "", Readable.count(version.sealsReserved),
                ]
            }
        }
        let headers = ["keyring", "core", "key", "state", "made", "activated", "retired"].map { Table.Column($0) }
        blocks.append(.table("keys", columns: headers + [Table.Column("seals", alignment: .right)], rows: rows))
        let findings = keyrings.flatMap { ring in
            FindingLines(ring.findings.map { "\($0.column) row \($0.row): \($0.what)" }, of: Int64(ring.findings.count))
                .lines
        }
        if !findings.isEmpty { blocks.append(.lines(findings)) }
        if !notes.isEmpty { blocks.append(.lines(notes.map { "note: \($0)" })) }
        blocks.append(.lines(problems.isEmpty ? ["nothing needs anyone"] : problems.map { "problem: \($0)" }))
        return blocks
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
