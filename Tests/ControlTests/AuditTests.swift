import Control
import ControlStore
import Foundation
import Frames
import KeyModel
import Providers
import Rotation
import Scripting
import Storage
import Synchronization
import Testing

struct AuditTests {
    /// A bench whose log has entries of every kind: adopted, refused, paused in vain, a reading in between.
    private func bench() async throws -> ControlBench {
        let bench = try await ControlBench()
        let service = try bench.service()
        let session = try await service.session()
        try await session.call("rotations.adopt", "secret.value")
        _ = await controlError { try await session.call("runs.pause", 1) }
        _ = await controlError { try await service.session(.other("eve")).call("status") }
        try await session.call("status")
        try await session.call("rotations.rotate", "main")
        await service.stop()
        return bench
    }

    private func verify(_ bench: ControlBench) async throws -> FrameValue {
        let service = try bench.service()
        let value = try await service.session().call("audit.verify").value
        await service.stop()
        return value
    }

    @Test func everyChangeLeavesAnIntentAndItsOutcome() async throws {
        let bench = try await bench()
        let log = try await bench.audit()
        #expect(
            log.map { "\($0.kind) \($0.call) \($0.result?.rawValue ?? "-")" } == [
                "intent configuration.load -", "outcome configuration.load done", "intent rotations.adopt -",
                "outcome rotations.adopt done", "intent runs.pause -", "outcome runs.pause failed",
                "refusal status refused",
                "intent rotations.rotate -", "outcome rotations.rotate done",
            ])
        #expect(log.map(\.number) == Array(1...9))
        #expect(log[3].intent == 3 && log[3].detail?.hasPrefix("run 1, plan ") == true)
        #expect(log[5].detail?.hasPrefix("callerRunState: ") == true)
        #expect(log.filter { $0.kind == .intent }.allSatisfy { $0.uid == Int64(getuid()) && $0.pid == Int64(getpid()) })
        let found = try await verify(bench)
        #expect(found["isWhole"] == true && found["entries"] == 9, "\(found)")
        #expect(try bench.journal().audit?.number == 9)
    }

    @Test func whatIsOpenedStandsInTheLog() async throws {
        let bench = try await bench()
        let service = try bench.service()
        let session = try await service.session()
        let named: [String: FrameValue] = ["column": "secret.value", "key": ["1"], "stored": true]
        #expect(try await session.call("columns.open", named: named).value["value"] == "secret 1")
        let log = try await bench.audit().suffix(2)
        #expect(log.map(\.kind) == [.intent, .outcome] && log.allSatisfy { $0.call == "columns.open" })
        #expect(log.first?.arguments.contains("secret.value") == true && log.last?.result == .done)
        #expect(log.allSatisfy { !"\($0)".contains("secret 1") })
        let host = try await service.grantedHost(.hook, name: "x", client: ScriptedClient(), scope: CallScope())
        let refused = await controlError { _ = try await host.call("columns.open", [.map(named)]) }
        #expect(refused?.codeName == "callerNotAllowed", "a hook needs a grant for it")
        await service.stop()
    }

    @Test func whatIsOpenedWhileTheLogCannotBeWrittenIsNoted() async throws {
        let bench = try await bench()
        // As a database that was set back: the log is shorter than the node has seen.
        try await bench.tamper("DELETE FROM \(control: "audit") WHERE number > 5")
        let service = try bench.service()
        let named: [String: FrameValue] = ["column": "secret.value", "key": ["1"], "stored": true]
        #expect(try await service.session().call("columns.open", named: named).value["value"] == "secret 1")
        #expect(try bench.journal().pending?.map(\.call) == ["columns.open"])
        await service.stop()
    }

    @Test func theIntentIsCommittedBeforeAnythingElse() async throws {
        let bench = try await ControlBench()
        let seen = Mutex<[String]>([])
        bench.atEachPoint { [weak bench] point in
            guard point == .intentRecorded, let bench else { return }
            // What another connection sees at this instant is what a crash would leave.
            let text =
                (try? bench.sqlite("SELECT kind || ' ' || call FROM keyturn_audit ORDER BY number DESC LIMIT 1")) ?? "?"
            let runs = (try? bench.sqlite("SELECT count(*) FROM keyturn_runs")) ?? "?"
            seen.withLock { $0.append("\(text), \(runs) runs") }
        }
        let service = try bench.service()
        try await service.session().call("rotations.adopt", "secret.value")
        await service.stop()
        #expect(seen.withLock { $0 } == ["intent configuration.load, 0 runs", "intent rotations.adopt, 0 runs"])
    }

    @Test func theOutcomeOfARunIsCommittedWithTheRun() async throws {
        let bench = try await ControlBench()
        let seen = Mutex<String>("")
        bench.atEachPoint { [weak bench] point in
            guard point == .runRecorded, let bench else { return }
            let text = try? bench.sqlite(
                "SELECT kind || ' ' || call || ' ' || result FROM keyturn_audit ORDER BY number DESC LIMIT 1")
            seen.withLock { $0 = text ?? "?" }
        }
        let service = try bench.service()
        try await service.session().call("rotations.adopt", "secret.value")
        await service.stop()
        #expect(seen.withLock { $0 } == "outcome rotations.adopt done")
    }

    @Test func anIntentWhoseProcessDiedIsUnknown() async throws {
        let bench = try await bench()
        // As a process leaves it that is killed between the intent and the effect.
        try await bench.control.write { [signer = bench.signer] session in
            let dead = AuditRecord(
                kind: .intent, at: "2026-01-01T00:00:00.000Z", node: "node-1", process: "00000000:999999:1", uid: 0,
                user: "root", pid: 1, way: "call", call: "commands.run", arguments: "{}", signer: signer.identity)
            _ = try session.append(dead, after: nil) { try signer.sign($0) }
        }
        let service = try bench.service()
        _ = await controlError { try await service.session().call("runs.pause", 99) }
        let log = try await bench.audit()
        #expect(log.filter { $0.result == .unknown }.map(\.intent) == [10])
        #expect(log.filter { $0.result == .unknown }.map(\.call) == ["commands.run"])
        _ = await controlError { try await service.session().call("runs.pause", 99) }
        #expect(try await bench.audit().count { $0.result == .unknown } == 1, "once is enough")
        #expect(try await verify(bench)["isWhole"] == true)
        await service.stop()
    }

    @Test(arguments: [
        "kind = 'outcome'", "at = '2026-01-01T00:00:00.000Z'", "node = 'n'", "process = 'p'", "uid = 7", "uid = NULL",
        "user_name = 'x'", "peer_pid = 1", "way = 'hook'", "call = 'runs.list'", "arguments = '{}'", "intent = 1",
        "result = 'done'", "detail = 'x'", "hash = '\(String(repeating: "0", count: 64))'", "signer = 'ed25519:AAAA'",
        "signature = 'AAAA'", "kind = 'nonsense'",
    ])
    func aChangedFieldIsFoundAndNamed(change: String) async throws {
        let bench = try await bench()
        try await bench.tamper("UPDATE \(control: "audit") SET \(raw: change) WHERE number = 5")
        let found = try await verify(bench)
        #expect(found["isWhole"] == false, "\(found)")
        // A signer or a signature alone leaves the hash as it was.
        #expect(found["broken"] == 5, "\(found)")
    }

    @Test func anEntryThatIsGoneOrMovedIsFound() async throws {
        let gone = try await bench()
        try await gone.tamper("DELETE FROM \(control: "audit") WHERE number = 4")
        #expect(try await verify(gone)["broken"] == 4)
        let renumbered = try await bench()
        try await renumbered.tamper("DELETE FROM \(control: "audit") WHERE number = 4")
        try await renumbered.tamper("UPDATE \(control: "audit") SET number = number - 1 WHERE number > 4")
        #expect(try await verify(renumbered)["broken"] == 4)
    }

    @Test func aLogThatIsCutOffIsFoundByWhatTheNodeRemembers() async throws {
        let bench = try await bench()
        let hash = try await bench.audit()[6].hash
        try await bench.tamper("DELETE FROM \(control: "audit") WHERE number > 7")
        try await bench.tamper("UPDATE \(control: "audit_head") SET number = 7, hash = \(hash)")
        let found = try await verify(bench)
        #expect(found["isWhole"] == false && found["broken"] == 8, "\(found)")
        #expect(found["why"]?.text?.contains("seen entry 9") == true, "\(found)")
        // Nor is anything added to it.
        let service = try bench.service()
        let refused = await controlError { try await service.session().call("rotations.rotate", "main") }
        #expect(refused?.codeName == "storeSetBack" && refused?.status == 3, "\(String(describing: refused))")
        #expect(try await bench.audit().count == 7)
        await service.stop()
    }

    @Test func aLogThatSomebodyElseWroteAnewIsFound() async throws {
        let bench = try await bench()
        let forger = try SigningKey.create(at: bench.folder.appending(path: "forger").path)
        let kept = try await bench.audit()
        try await bench.tamper("DELETE FROM \(control: "audit") WHERE number > 4")
        try await bench.tamper("DELETE FROM \(control: "audit_open")")
        try await bench.tamper("UPDATE \(control: "audit_head") SET number = 4, hash = \(kept[3].hash)")
        try await bench.control.write { session in
            for entry in kept[4...] {
                let forged = AuditRecord(
                    kind: entry.kind, at: entry.at, node: entry.node, process: entry.process, uid: entry.uid,
                    user: "innocent",
                    pid: entry.pid, way: entry.way, call: entry.call, arguments: entry.arguments, intent: entry.intent,
                    result: entry.result, detail: entry.detail, signer: forger.identity)
                _ = try session.append(forged, after: nil) { try forger.sign($0) }
            }
        }
        let found = try await verify(bench)
        #expect(found["isWhole"] == false && found["broken"] == 9, "\(found)")
        #expect(found["why"]?.text?.contains("not the one that this node has seen") == true, "\(found)")
    }

    @Test func recoveringAcceptsAnOlderLogAndSaysWhatIsLost() async throws {
        let bench = try await bench()
        let head = try await bench.audit()[8].hash
        let hash = try await bench.audit()[6].hash
        try await bench.tamper("DELETE FROM \(control: "audit") WHERE number > 7")
        try await bench.tamper("DELETE FROM \(control: "audit_open")")
        try await bench.tamper("UPDATE \(control: "audit_head") SET number = 7, hash = \(hash)")
        let service = try bench.service()
        try await service.session().call("recover")
        let log = try await bench.audit()
        #expect(
            log[7].call == "recover" && log[7].detail?.contains(head) == true, "\(String(describing: log[7].detail))")
        #expect(log[8].result == .done)
        #expect(try await verify(bench)["isWhole"] == true)
        #expect(try await service.session().call("rotations.rotate", "main").isGood)
        await service.stop()
    }

    @Test func twoWritersShareOneChain() async throws {
        let bench = try await ControlBench()
        let services = [try bench.service(), try bench.service(), try bench.service()]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services {
                group.addTask {
                    let session = try await service.session()
                    for _ in 0..<20 { _ = await controlError { try await session.call("runs.pause", 99) } }
                }
            }
            try await group.waitForAll()
        }
        let log = try await bench.audit()
        #expect(log.count { $0.kind == .intent && $0.call == "runs.pause" } == 60)
        #expect(log.count { $0.kind == .outcome && $0.call == "runs.pause" } == 60)
        #expect(log.map(\.number) == Array(1...Int64(log.count)))
        #expect(try await verify(bench)["isWhole"] == true)
        for service in services { await service.stop() }
    }

    @Test func sensitiveArgumentsAreRecordedNowhere() async throws {
        let secret = "planted-4c1f-secret"
        let entry = Entry(
            "things.keep", "Keep a thing", example: "things.keep(\"x\")",
            parameters: [
                .required("name", .text, "its name"), .required("secret", .any, "the thing", isSensitive: true),
            ],
            result: "nothing", role: .operator, effect: .adds
        ) { _ in throw ControlError(.callerNotFound, "it cannot be kept") }
        let bench = try await ControlBench()
        let service = try bench.service(api: [entry])
        let session = try await service.session()
        _ = await controlError { try await session.call("things.keep", "a", .string(secret)) }
        _ = await controlError { try await session.call("things.keep", "a", ["deep": .string(secret)]) }
        let log = try await bench.audit()
        #expect(log.count { $0.call == "things.keep" } == 4)
        #expect(log.allSatisfy { !$0.fields.compactMap(\.self).joined().contains(secret) })
        #expect(log[0].arguments.contains("\"name\":\"a\""))
        await service.stop()
    }

    @Test func theExportHoldsWhatIsHashed() async throws {
        let bench = try await bench()
        let path = bench.folder.appending(path: "audit.jsonl").path
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let service = try bench.service()
        let call = Call("audit.export", descriptors: [file])
        let answer = try await service.session().perform(.call(call), for: ScriptedClient())
        #expect(answer.value["entries"] == 9)
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let entries = lines.compactMap { FrameValue(json: String($0)) }
        #expect(entries.count == 9 && entries.map { $0["number"] } == (1...9).map { .integer($0) })
        #expect(fcntl(file, F_GETFD) == -1, "the callee closes what it was handed")
        await service.stop()
    }
}
