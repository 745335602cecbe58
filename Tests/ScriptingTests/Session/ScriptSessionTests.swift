import Foundation
import Frames
import KeyModel
import Testing

@testable import Scripting

struct ScriptSessionTests {
    @Test func anExpressionGivesItsValues() async throws {
        let session = TestSession()
        #expect(try await session.run("1 + 1, 'two', nil, 2.5, true") == [2, "two", .null, .double(2.5), true])
        #expect(try await session.run("_ * 21") == [42])
        #expect(try await session.run("local x = 1") == [])
    }

    @Test func variablesPersistAndSoDoFunctions() async throws {
        let session = TestSession()
        #expect(try await session.run("x = 20; function twice(y) return 2 * y end") == [])
        #expect(try await session.run("twice(x) + 2") == [42])
    }

    @Test(arguments: [
        "for i = 1, 3 do", "function f()", "x = {", "if true then", "print(", "x = [[", "--[[", "x =", "1 +",
    ])
    func aTextThatGoesOnIsIncomplete(text: String) async throws {
        let session = TestSession()
        let result = try await session.session.run(text: text, name: "console", isInteractive: true, limits: .test)
        #expect(result.isIncomplete)
        let error = await #expect(throws: ScriptingError.self) {
            try await session.session.run(text: text, name: "file.lua", isInteractive: false, limits: .test)
        }
        #expect(error?.code == .callerScriptMalformed)
        #expect(error?.message.hasPrefix("file.lua:1: ") == true, "\(error?.message ?? "")")
    }

    @Test(arguments: ["x = = 1", "end", "print 1 2", "error('<eof>')", "x = 'abc\n'"])
    func whatIsWrongIsNotIncomplete(text: String) async throws {
        #expect(try await TestSession().error(text) != nil)
    }

    @Test func theHostIsCalled() async throws {
        let session = TestSession()
        #expect(try await session.run("echo(1, 'a', {2, 3}, {k = true})") == [[1, "a", [2, 3], ["k": true]]])
        #expect(try await session.run("keyrings.list()") == ["keyrings.list"])
        #expect(try await session.run("keyrings()") == ["keyrings"])
        #expect(try await session.run("test.deep.down()") == ["test.deep.down"])
        #expect(try await session.run("secret.prompt('password')") == ["secret.prompt"])
    }

    @Test func aRefusalIsATableThatCanBeCaught() async throws {
        let session = TestSession()
        let caught = try await session.run(
            "(function() local ok, e = pcall(test.refuse) return ok, e.code, e.message, e.hint, tostring(e) end)()")
        let message: FrameValue = "cannot do that: the role \"viewer\" does not let it"
        #expect(caught == [false, "callerNotAllowed", message, "Ask an operator.", message])
        let error = try #require(try await session.error("test.refuse()"))
        #expect(error.codeName == "callerNotAllowed")
        #expect(error.hint == "Ask an operator.")
        #expect(error.message == "cannot do that: the role \"viewer\" does not let it")
    }

    @Test(arguments: [
        "(function() local n = 0 table.sort({3, 1, 2}, function(a, b) n = test.count() return a < b end) return n > 0 end)()",
        "(('abc'):gsub('.', function(c) return echo(c)[1] end)) == 'abc'",
        "tostring(setmetatable({}, {__tostring = function() return echo('x')[1] end})) == 'x'",
        "setmetatable({}, {__index = function(_, k) return echo(k)[1] end}).y == 'y'",
        "coroutine.wrap(function() coroutine.yield(echo(1)[1]) end)() == 1",
        "select(2, xpcall(function() return echo(1)[1] end, print)) == 1",
        "(function() for k in setmetatable({}, {__call = function(_, _, k) if not k then return echo(7)[1] end end}) do return k == 7 end end)()",
    ])
    func theHostIsCalledFromAnywhere(text: String) async throws {
        #expect(try await TestSession().run(text) == [true], "\(text)")
    }

    @Test func outputArrivesInOrderAndIsCut() async throws {
        let session = TestSession(outputBytes: 1000)
        _ = try await session.run("print('ä', 1, nil) echo() print('b')")
        #expect(session.host.output == "ä\t1\tnil\nb\n")
        let result = try await session.session.run(
            text: "for i = 1, 1000 do print(i) end", name: "f", isInteractive: false, limits: .test)
        #expect(result.outputWasCut)
        #expect(session.host.output.utf8.count == 1000 + 11)
    }

    @Test func argumentsAreData() async throws {
        let session = TestSession().session
        let nasty = ["\"); os.exit() --", "../../x", "\u{202E}a\nb", String(repeating: "k", count: 4096)]
        let result = try await session.run(
            text: "return arg[1], arg[2], arg[3], arg[4], #arg", name: "f", isInteractive: false, arguments: nasty)
        #expect(result.values == nasty.map(FrameValue.string) + [4])
    }

    @Test func anErrorHasAPlaceAndATraceback() async throws {
        let session = TestSession()
        let error = try #require(try await session.error("local function f()\n error('no') end\n f()") as? RaisedError)
        #expect(error.message == "console:2: no")
        #expect(error.codeName == "callerScriptFailed")
        #expect(error.traceback.contains("console:3"), "\(error.traceback)")
    }

    @Test func xpcallHandsOutATraceback() async throws {
        let session = TestSession()
        let values = try await session.run(
            "xpcall(function() local x = nil; return x.y end, function(e, t) return type(t) .. e end)")
        #expect(values.count == 2 && values[0] == false)
        guard case .string(let text) = values[1] else { return }
        #expect(text.hasPrefix("string") && text.contains("attempt to index"), "\(text)")
        #expect(try await session.run("xpcall(error, function() error('again') end, 1)").first == false)
    }

    @Test func aScriptIsInterruptedAndItsVariablesStay() async throws {
        let session = TestSession()
        _ = try await session.run("kept = 7")
        let before = await session.session.processID
        async let endless = session.error("while true do end", limits: .interactive)
        try await Task.sleep(for: .milliseconds(100))
        await session.session.interrupt()
        let error = try #require(try await endless as? ScriptingError)
        #expect(error.code == .callerInterrupted, "\(error.message)")
        #expect(try await session.run("kept") == [7])
        #expect(await session.session.processID == before)
    }

    @Test func waitingForTheHostIsInterruptedToo() async throws {
        let session = TestSession()
        _ = try await session.run("kept = 7")
        async let waiting = session.error("test.sleep(600000)", limits: .interactive)
        try await Task.sleep(for: .milliseconds(100))
        await session.session.interrupt()
        #expect((try await waiting as? ScriptingError)?.code == .callerInterrupted)
        #expect(try await session.run("kept") == [7])
    }

    @Test func waitingForTheHostCostsNoProcessorTime() async throws {
        let limits = ScriptLimits(processorTime: .milliseconds(100), time: .seconds(30))
        #expect(try await TestSession().run("test.sleep(600)", limits: limits) == ["slept"])
    }

    @Test func aSessionCanBeKilledAndGoesOn() async throws {
        let session = TestSession()
        _ = try await session.run("kept = 7")
        async let endless = session.error("while true do end", limits: .interactive)
        try await Task.sleep(for: .milliseconds(100))
        await session.session.kill()
        #expect((try await endless as? ScriptingError)?.code == .internalWorkerLost)
        #expect(try await session.run("kept") == [.null])
    }

    @Test func aSessionWithoutScriptsHasNoProcess() async throws {
        let session = TestSession()
        #expect(await session.session.processID == nil)
        _ = try await session.run("1")
        #expect(await session.session.processID != nil)
        await session.session.close()
        #expect(await session.session.processID == nil)
    }

    @Test func textsOfTheFolderAreUsed() async throws {
        let library = ScriptLibrary(texts: [
            .init(name: "scripts/sum.lua", bytes: Array("return {add = function(a, b) return a + b end}".utf8)),
            .init(name: "scripts/loop.lua", bytes: Array("use 'loop'".utf8)),
            .init(name: "scripts/broken.lua", bytes: Array("x = = 1".utf8)),
        ])
        let session = TestSession(library: library)
        #expect(try await session.run("use 'sum'.add(40, 2), use 'sum' == use 'sum'") == [42, true])
        #expect(try await session.error("use 'loop'")?.message.contains("uses itself") == true)
        #expect(try await session.error("use '../../etc/passwd'")?.message.contains("there is no") == true)
        for _ in 0..<2 {
            #expect(try await session.error("use 'broken'")?.message.contains("scripts/broken.lua:1:") == true)
        }
    }

    @Test func timeIsToldInUTC() async throws {
        let session = TestSession()
        #expect(
            try await session.run("time.format(0), time.parse('2024-02-29T12:30:45+02:00'), time.parse('1969-12-31')")
                == ["1970-01-01T00:00:00Z", 1_709_202_645, -86400])
        let now = Int64(Date.now.timeIntervalSince1970)
        guard case .integer(let told) = try await session.run("time.now()").first else { throw CancellationError() }
        #expect(abs(told - now) < 60)
        let same =
            "(function() for s = -62135596800, 253402300799, 86400 * 37 + 12345 do if time.parse(time.format(s)) ~= s then return s end end end)()"
        #expect(try await session.run(same) == [])
        for wrong in ["2023-02-29", "2023-13-01", "x", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", ""] {
            #expect(try await session.error("time.parse('\(wrong)')") != nil, "\(wrong)")
        }
    }
}
