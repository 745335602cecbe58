import Foundation
import Frames
import Glibc
import Testing

@testable import Scripting

/// Programs that are no worker, in the worker's place.
struct WorkerFailureTests {
    @Test(arguments: [
        ("segv", "was killed by signal 11 while reading keyturn.lua"),
        ("kill", "was killed by signal 9 while reading keyturn.lua"),
        ("exit-3", "ended with status 3 while reading keyturn.lua"),
        ("exit-127", "ended with status 127 while reading keyturn.lua"),
        ("two-values", "sent what is no answer while reading keyturn.lua"),
        ("long-frame", "sent what is no answer while reading keyturn.lua"),
        ("nil-frame", "answered in a form that is not known"),
        ("half-frame", "closed its socket and had to be killed"),
        ("silence", "did not end within 1.5 s while reading keyturn.lua and was killed"),
    ])
    func aBrokenWorkerIsOneClearError(how: String, says: String) async throws {
        let scratch = try Scratch()
        let program = scratch.folder.appending(path: how)
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/broken-worker.sh")
        // The script looks at the name under which it is started.
        try FileManager.default.createSymbolicLink(at: program, withDestinationURL: script)
        let file = try scratch.configuration(Array("database 'sqlite:a.db'".utf8))
        let loader = ConfigurationLoader(
            workerPath: program.path, cores: testCores, limits: WorkerLimits(time: .seconds(1)))
        let error = await #expect(throws: ScriptingError.self) { try await loader.load(file: file) }
        #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
    }

    @Test func aWorkerEndsWithItsScope() async throws {
        let path = try #require(BuiltWorker.path)
        let dropped = try WorkerProcess(path: path).pid
        let ended = try WorkerProcess(path: path)
        let endedID = ended.pid
        #expect(ended.end() == .exit(status: 64), "without a request it says what it is and ends")
        for pid in [dropped, endedID] {
            #expect(waitpid(pid, nil, WNOHANG) == -1 && errno == ECHILD, "reaped already")
        }
    }

    @Test func aWorkerAnswersNonsenseWithAnError() async throws {
        let worker = LuaWorker(path: try #require(BuiltWorker.path), time: .seconds(10))
        for request in [.null, ["kind": "dance"], ["kind": 1], ["kind": "configure", "limits": 3]] as [FrameValue] {
            let answer = try await worker.ask(request, purpose: "being tried")
            #expect(answer["ok"] == false)
            #expect(answer["error"]?["kind"] == "request")
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func noRequestCrashesTheWorker(seed: UInt64) async throws {
        let path = try #require(BuiltWorker.path)
        var state = seed
        func next() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        let request: FrameValue = [
            "kind": "configure", "sources": ["keyturn.lua", "database 'sqlite:a.db'"],
            "limits": ["cpu_ms": 500, "wall_ms": 500, "memory_bytes": 8_000_000], "extra": [1, [.double(2.5), "x"]],
        ]
        let whole = try FrameEncoder().frame(request)
        for _ in 0..<60 {
            var bytes = whole
            for _ in 0...next() % 3 { bytes[4 + next() % (bytes.count - 4)] = UInt8(truncatingIfNeeded: next()) }
            let deadline = ContinuousClock.now + .seconds(10)
            let worker = try WorkerProcess(path: path)
            _ = worker.send(bytes, until: deadline)
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while case .moved = worker.receive(into: &buffer, until: deadline) {}
            guard case .exit = worker.end() else {
                Issue.record("seed \(seed): the worker did not end by itself")
                return
            }
        }
    }
}
