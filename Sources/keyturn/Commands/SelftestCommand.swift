internal import ArgumentParser
internal import Control
internal import Foundation
internal import KeyModel
internal import Rotation
internal import Scripting
internal import Terminal

/// The command `keyturn selftest`.
struct SelftestCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "selftest", abstract: "Prove that scripts cannot reach outside here; needs no instance.",
        discussion: """
            Tries what the Lua worker must not be able to do on this machine. With --hostile it also runs scripts that loop, \
            take all memory, or reach for what is not theirs, each in a session of its own, while another session pings: \
            in the daemon where an instance is named and its daemon listens, else in this process.

            Exit 1 where anything was not as it must be: a script that went on, a session that waited for its answer more than \
            --ping-within, memory that grew.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .long, help: "Run the hostile scripts, too; takes about a minute.")
    var hostile = false

    @Option(name: .long, help: "With --hostile: the most milliseconds that another session may wait, 1 to 60000.")
    var pingWithin = 50

    @Option(
        name: .long, help: "With --hostile: the most milliseconds that a script may go on beyond its limit, 1 to 60000."
    )
    var endWithin = 250

    func validate() throws {
        guard (1...60_000).contains(pingWithin) else { throw ValidationError("--ping-within is from 1 to 60000") }
        guard (1...60_000).contains(endWithin) else { throw ValidationError("--end-within is from 1 to 60000") }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let probe = try await ConfinementProbe.run()
        guard hostile else { return outcome(probe, nil) }
        return outcome(probe, try await suite().run())
    }

    /// The suite through the daemon where one listens, else in this process.
    private func suite() async throws -> HostileSuite {
        guard let daemon = try await Self.session(global) else {
            return HostileSuite(
                open: { LocalScriptChannel() }, function: LocalScriptChannel.function,
                allowance: .milliseconds(endWithin), pingLimit: .milliseconds(pingWithin))
        }
        let process = await daemon.process
        await daemon.close()
        let open: @Sendable () async throws -> any ControlChannel = { [global] in
            if let session = try await Self.session(global) { return session }
            throw ControlError(.storeDaemonUnreachable, "the daemon is gone", hint: "Its log says why.")
        }
        return HostileSuite(
            open: open, function: "configuration.show", host: process, allowance: .milliseconds(endWithin),
            pingLimit: .milliseconds(pingWithin))
    }

    private static func session(_ global: GlobalOptions) async throws -> SocketChannel? {
        let environment = ProcessInfo.processInfo.environment
        let names = ["KEYTURN_INSTANCE", "KEYTURN_SOCKET"].contains { !(environment[$0] ?? "").isEmpty }
        guard names || global.instance != nil || global.socket != nil else { return nil }
        return try await DaemonSocket.channel(global, SessionHello(way: .script, isInteractive: false))
    }

    private func outcome(_ probe: ConfinementProbe, _ report: HostileSuite.Report?) -> Outcome {
        let isGood = probe.isConfined && report?.isGood ?? true
        var blocks = [SelftestReport.block(probe)]
        if let report { blocks += SelftestReport.blocks(report) }
        return Outcome(Report(SelftestReport(probe, report), blocks), status: isGood ? .ok : .failed)
    }
}

/// What a selftest came to, for programs.
struct SelftestReport: Encodable {
    struct Attempt: Encodable {
        let attempt: String
        let isRefused: Bool
    }

    struct Case: Encodable {
        let id: String
        let title: String
        let outcome: String
        let detail: String
        let milliseconds: Int64
    }

    let confinement: [Attempt]
    let cases: [Case]?
    let passed: Int?
    let failed: Int?
    let skipped: Int?
    let pings: Int?
    let slowestPingMicroseconds: Int64?
    let memoryBytesBefore: Int64?
    let memoryBytesAfter: Int64?
    let problems: [String]?

    init(_ probe: ConfinementProbe, _ report: HostileSuite.Report?) {
        confinement = probe.attempts.map { Attempt(attempt: $0.name, isRefused: $0.isRefused) }
        cases = report?.results.map {
            Case(
                id: $0.id, title: $0.title, outcome: $0.verdict.rawValue, detail: $0.detail,
                milliseconds: Int64($0.time / .milliseconds(1)))
        }
        passed = report?.count(.passed)
        failed = report?.count(.failed)
        skipped = report?.count(.skipped)
        pings = report?.pings
        slowestPingMicroseconds = report.map { Int64($0.slowestPing / .microseconds(1)) }
        memoryBytesBefore = report?.memory.before
        memoryBytesAfter = report?.memory.after
        problems = report?.problems
    }

    static func block(_ probe: ConfinementProbe) -> Report.Block {
        let rows = probe.attempts.map { [$0.name, $0.isRefused ? "refused" : "NOT REFUSED (errno \($0.confined))"] }
        return .table("confinement", columns: ["attempt", "outcome"].map { Table.Column($0) }, rows: rows)
    }

    static func blocks(_ report: HostileSuite.Report) -> [Report.Block] {
        let rows = report.results.map { result in
            let time = result.verdict == .skipped ? "-" : String(Int64(result.time / .milliseconds(1)))
            return [result.id, result.title, result.verdict.rawValue, time, String(result.detail.prefix(90))]
        }
        let columns = [
            Table.Column("case"), Table.Column("tries"), Table.Column("outcome"),
            Table.Column("ms", alignment: .right), Table.Column("how"),
        ]
        let counts = HostileSuite.Result.Verdict.allCounts(report)
        let (before, after) = (Readable.bytes(report.memory.before), Readable.bytes(report.memory.after))
        return [
            .table("hostile scripts", columns: columns, rows: rows),
            .lines(
                [
                    counts,
                    "another session was answered \(Readable.count(Int64(report.pings))) times meanwhile, at most after "
                        + "\(Int64(report.slowestPing / .milliseconds(1))) ms; memory \(before) before, \(after) after",
                ] + report.problems.map { "FAILED: \($0)" }),
        ]
    }
}

extension HostileSuite.Result.Verdict {
    fileprivate static func allCounts(_ report: HostileSuite.Report) -> String {
        [Self.passed, .failed, .skipped].map { "\(report.count($0)) \($0.rawValue)" }.joined(separator: ", ")
    }
}
