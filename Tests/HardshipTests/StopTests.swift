import Foundation
import Testing

/// Signals and closed streams, with and without a terminal.
struct StopTests {
    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalEndsTheRunAfterItsBatchAndItGoesOn(signal: Int32) throws {
        let ground = try Ground()
        try ground.seal(rows: 6000)
        let run = try ground.start(["rotate", "main", "--yes", "--rows-per-second", "1500"])
        try waitForRows(ground, run: 2)
        #expect(kill(run.pid, signal) == 0)
        let ended = try run.wait()
        #expect(ended.status == 130 && !ended.wasKilled, "\(ended.all)")
        #expect(ended.errorText.contains("go on with: keyturn run resume 2"), "\(ended.all)")
        let status = try ground.keyturn("status --no-count")
        #expect(status.status == 1, "\(status.all)")
        #expect(status.text.contains("problem: run 2 was cut off in reencrypt"), "\(status.all)")
        try ground.must("run resume 2 --quiet")
        try ground.must("verify --quiet")
        #expect(try ground.sql("SELECT count(*) FROM t WHERE s LIKE 'kr1.%'") == "6000")
    }

    @Test
    func aSlowRunHearsASignalWhileItPauses() throws {
        let ground = try Ground()
        try ground.seal(rows: 3000)
        let run = try ground.start(["rotate", "main", "--yes", "--rows-per-second", "1"])
        try waitForRows(ground, run: 2)
        let start = ContinuousClock.now
        kill(run.pid, SIGINT)
        let ended = try run.wait()
        #expect(ended.status == 130, "\(ended.all)")
        #expect(ContinuousClock.now - start < .seconds(10))
    }

    @Test(arguments: ["status", "runs show 1", "status -o json", "keyring list -o csv"])
    func aReaderThatGoesAwayCrashesNothing(line: String) throws {
        let ground = try Ground()
        try ground.seal(rows: 10)
        let command = "{ \(try Built.keyturn()) \(line); echo $? >code; } | true"
        try ground.tool("env", ["KEYTURN_INSTANCE=D", "bash", "-c", command])
        let code = try String(decoding: ground.read("code"), as: UTF8.self)
        #expect(code == "0\n", "\(code)")
    }

    @Test
    func ctrlCEndsARunOnATerminalWithOneLineRewritten() throws {
        let ground = try Ground()
        try ground.seal(rows: 6000)
        let terminal = try PseudoTerminal(
            ground, ["rotate", "main", "--yes", "--rows-per-second", "1500"], columns: 40)
        try terminal.read(until: "reencrypt t.s")
        try waitForRows(ground, run: 2)
        try terminal.read(until: "\r\u{1B}[K", times: 4)
        terminal.type("\u{3}")
        let ended = try terminal.end()
        #expect(ended.status == 130, "\(terminal.screen)")
        #expect(terminal.screen.contains("keyturn run resume 2"))
        let updates = terminal.screen.components(separatedBy: "\r\u{1B}[K").dropFirst().dropLast()
        #expect(updates.count > 2)
        for update in updates {
            let shown = update.replacing("\u{1B}[1m", with: "").replacing("\u{1B}[0m", with: "")
            #expect(shown.count < 40 && !shown.contains("\n"), "\(update.debugDescription)")
        }
    }

    @Test
    func aQuestionTakesItsWordAndNoOther() throws {
        let ground = try Ground()
        try ground.seal(rows: 5)
        let before = try ground.rows()
        let wrong = try PseudoTerminal(ground, ["rotate", "main"])
        try wrong.read(until: "to go ahead: ")
        wrong.type("yes\n")
        #expect(try wrong.end().status == 3, "\(wrong.screen)")
        #expect(
            wrong.screen.contains("nothing was changed") || wrong.screen.contains("Nothing was changed"),
            "\(wrong.screen)")

        let stopped = try PseudoTerminal(ground, ["rotate", "main"])
        try stopped.read(until: "to go ahead: ")
        stopped.type("\u{3}")
        #expect(try stopped.end().status == 130, "\(stopped.screen)")

        let closed = try PseudoTerminal(ground, ["rotate", "main"])
        try closed.read(until: "to go ahead: ")
        closed.type("\u{4}")
        #expect(try closed.end().status == 3, "\(closed.screen)")
        #expect(try ground.rows() == before)

        let right = try PseudoTerminal(ground, ["rotate", "main"])
        try right.read(until: "to go ahead: ")
        right.type("main\n")
        #expect(try right.end().status == 0, "\(right.screen)")
        #expect(try ground.rows() != before)
        try ground.must("verify")
    }

    @Test(arguments: [["NO_COLOR": "1"], ["NO_COLOR": "", "TERM": "dumb"]])
    func aTerminalThatWantsNoColourGetsNone(environment: [String: String]) throws {
        let ground = try Ground()
        try ground.seal(rows: 5)
        let terminal = try PseudoTerminal(ground, ["status"], columns: 40, environment: environment)
        #expect(try terminal.end().status == 0, "\(terminal.screen)")
        #expect(!terminal.screen.contains("\u{1B}[1m") && !terminal.screen.contains("\u{1B}[3"), "\(terminal.screen)")
        for line in terminal.screen.split(separator: "\r\n") {
            #expect(line.count <= 40 || line.contains(": "), "\(line)")
        }
    }

    @Test
    func aDumbTerminalGetsPlainLinesOfProgress() throws {
        let ground = try Ground()
        try ground.seal(rows: 5)
        let terminal = try PseudoTerminal(ground, ["rotate", "main", "--yes"], environment: ["TERM": "dumb"])
        #expect(try terminal.end().status == 0, "\(terminal.screen)")
        #expect(!terminal.screen.contains("\u{1B}"), "\(terminal.screen.debugDescription)")
        #expect(terminal.screen.contains("reencrypt t.s: 5 of 5 rows"), "\(terminal.screen)")
    }
}
