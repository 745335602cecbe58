import Foundation
import Frames
import Glibc
import KeyModel
import Testing

@testable import Scripting

extension HostileCase: CustomTestStringConvertible {
    /// The case as test reports name it.
    public var testDescription: String { "\(id) \(title)" }
}

/// The cases that ship with Keyturn, each in a session of its own; one at a time, since all of them are greedy.
@Suite(.serialized)
struct HostileCaseTests {
    private static let limits = ScriptLimits(processorTime: .milliseconds(1000), time: .seconds(60))

    private enum Ending {
        case good, stopped(String), failed(String)
    }

    private func run(_ text: String, in session: TestSession) async throws -> Ending {
        do {
            _ = try await session.session.run(text: text, name: "hostile", isInteractive: false, limits: Self.limits)
            return .good
        } catch let error as any CodedError {
            let isStopped = ["callerLimitExceeded", "internalWorkerLost"].contains(error.codeName)
            return isStopped ? .stopped(error.message) : .failed(error.message)
        }
    }

    @Test(arguments: HostileCase.all)
    func aHostileScriptEndsAsItMust(hostile: HostileCase) async throws {
        let session = TestSession()
        var ending = Ending.good
        for text in hostile.texts { ending = try await run(text, in: session) }
        switch (hostile.ending, ending) {
        case (.good, .good), (.stopped, .stopped), (.ended, _): break
        case (.refused(let words), .failed(let message)), (.refused(let words), .stopped(let message)):
            #expect(words.contains(where: message.contains), "\(message)")
        default: Issue.record("\(hostile.id) ended as \(ending)")
        }
        #expect(!"\(ending)".unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202E })
        #expect(try await session.run("1 + 1") == [2], "the session goes on")
    }

    @Test func noCaseHasTheNumberOfAnother() {
        #expect(Set(HostileCase.all.map(\.id)).count == HostileCase.all.count && HostileCase.all.count > 75)
    }

    @Test func aMillionCallsAreCutOff() async throws {
        let session = TestSession()
        var limits = ScriptLimits.patient
        limits.calls = 2000
        let text = "for i = 1, 1000000 do pcall(test.count) end"
        let error = try #require(try await session.error(text, limits: limits) as? ScriptingError)
        #expect(error.code == .callerLimitExceeded && error.message.contains("too often"), "\(error.message)")
        #expect(session.host.count == 2000)
        #expect(try await session.run("1 + 1") == [2])
    }

    @Test func valuesComeOutBounded() async throws {
        let session = TestSession()
        #expect(try await session.run("(function() local t = {1} t[2] = t return t end)()") == [[1, "<cycle>"]])
        #expect(try await session.run("print, coroutine.create(print)") == ["<function>", "<thread>"])
        #expect(
            try await session.run("{[1] = 'a', x = 'b', [true] = 'c', [2.5] = 'd'}")
                == [["[1]": "a", "x": "b", "[true]": "c", "[2.5]": "d"]])
        #expect(
            try await session.run("{a = {}, b = {c = {}}}, {{}, {}}") == [["a": [:], "b": ["c": [:]]], [[:], [:]]])
        #expect(try await session.run("'\\255\\0a'") == ["\\xFF\u{0}a"])
        #expect(try await session.run("math.mininteger, {}") == [.integer(.min), [:]])
        let large = try await session.run("(function() local t = {} for i = 1, 300000 do t[i] = i end return t end)()")
        guard case .array(let elements) = large.first else { throw CancellationError() }
        #expect(elements.count < 100_000 && elements.last != .integer(300_000))
        guard case .string(let last) = elements.last else { throw CancellationError() }
        #expect(last.hasSuffix(" more>"), "\(last)")
    }

    @Test func nothingOfOneSessionReachesAnother() async throws {
        let (one, other) = (TestSession(), TestSession())
        _ = try await one.run("mine = 1 pcall(function() string.x = 2 end)")
        #expect(try await other.run("mine, string.x, ('a'):rep(2)") == [.null, .null, "aa"])
    }
}

/// Workers that die, and what stands in their place.
@Suite(.serialized)
struct WorkerLossTests {
    private func expectLoss(_ session: TestSession, _ text: String, signal: Int32) async throws {
        _ = try await session.run("kept = 1")
        let process = try #require(await session.session.processID)
        async let lost = session.error(text, limits: .patient)
        try await Task.sleep(for: .milliseconds(150))
        kill(process, signal)
        let error = try #require(try await lost as? ScriptingError)
        #expect(error.code == .internalWorkerLost && error.message.hasPrefix("worker lost, variables gone"), "\(error)")
        #expect(try await session.run("kept") == [.null])
        #expect(await session.session.processID != process)
    }

    @Test(arguments: [SIGKILL, SIGSEGV, SIGABRT])
    func aWorkerDiesWhileItComputes(signal: Int32) async throws {
        try await expectLoss(TestSession(), "while true do end", signal: signal)
    }

    @Test func aWorkerDiesWhileItWaitsForTheHost() async throws {
        try await expectLoss(TestSession(), "test.sleep(3000)", signal: SIGKILL)
    }

    @Test func aWorkerDiesWhileItPrints() async throws {
        try await expectLoss(
            TestSession(outputBytes: 8 << 20), "while true do print(('x'):rep(1000)) end", signal: SIGKILL)
    }

    @Test func aWorkerDiesBetweenTwoScripts() async throws {
        let session = TestSession()
        _ = try await session.run("kept = 1")
        kill(try #require(await session.session.processID), SIGKILL)
        try await Task.sleep(for: .milliseconds(100))
        #expect((try await session.error("1") as? ScriptingError)?.code == .internalWorkerLost)
        #expect(try await session.run("kept") == [.null])
    }

    @Test(arguments: [
        ("segv", "signal 11"), ("kill", "signal 9"), ("exit-3", "status 3"), ("two-values", "no frame"),
        ("long-frame", "no frame"), ("nil-frame", "form that is not known"), ("half-frame", "closed"),
        ("silence", "took too long"),
    ])
    func whatIsNoWorkerIsOneClearError(how: String, says: String) async throws {
        let scratch = try Scratch()
        let program = scratch.folder.appending(path: how)
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/broken-worker.sh")
        try FileManager.default.createSymbolicLink(at: program, withDestinationURL: script)
        let session = TestSession(workerPath: program.path)
        let limits = ScriptLimits(processorTime: .seconds(5), time: .seconds(3))
        let start = ContinuousClock.now
        let error = try #require(try await session.error("1", limits: limits) as? ScriptingError)
        #expect(error.message.contains(says), "\(error.message)")
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    /// As after SIGKILL of the daemon: nobody is left to kill the worker.
    @Test(arguments: [
        "while true do end", "local f = print for i = 1, 200000 do f = setmetatable({}, {__call = f}) end f()", "",
    ])
    func aWorkerWithoutASupervisorEnds(text: String) async throws {
        let path = try #require(BuiltWorker.path)
        let worker = SessionWorker(ScriptSession.Settings(workerPath: path, functions: []))
        let process = try worker.take()
        let pid = process.pid
        let limits = ScriptLimits(processorTime: .seconds(600), time: .seconds(600))
        let run: FrameValue = ["kind": "run", "id": 1, "sources": ["t", .string(text)], "limits": limits.frame]
        _ = process.send(try FrameEncoder().frame(run), until: .now + .seconds(5))
        try await Task.sleep(for: .milliseconds(500))
        shutdown(process.channel, Int32(SHUT_RDWR))
        var status: Int32 = 0
        let deadline = ContinuousClock.now + .seconds(30)
        var ended: pid_t = 0
        while ended == 0, ContinuousClock.now < deadline {
            ended = waitpid(pid, &status, WNOHANG)
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(ended == pid && status & 0x7F == 0, "it ended by itself")
    }

    @Test func manySessionsAtOnceAreApart() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<25 {
                group.addTask {
                    let session = TestSession()
                    _ = try await session.run("mine = \(index)")
                    for step in 0..<20 {
                        let value = try await session.run("echo(mine * 1000 + \(step))[1]", limits: .patient)
                        #expect(value == [.integer(Int64(index * 1000 + step))])
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
