import Foundation
import Testing

@testable import Scripting

/// A script that wants what it must not have, and how it must end.
struct HostileScript: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let text: String
    /// The code; nil where the script ends well.
    var code: ScriptingError.Code?
    /// What the message must hold.
    var says = ""

    init(_ name: String, _ text: String, _ code: ScriptingError.Code?, says: String = "") {
        testDescription = name
        self.text = text
        self.code = code
        self.says = says
    }

    static let endless: [HostileScript] = [
        .init("a loop", "while true do end", .callerLimitExceeded),
        .init("a loop round pcall", "while true do pcall(function() while true do end end) end", .callerLimitExceeded),
        .init(
            "a loop in the handler of xpcall",
            "xpcall(function() while true do end end, function() while true do end end)",
            .callerLimitExceeded),
        .init(
            "a loop round a coroutine",
            "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
            .callerLimitExceeded),
        .init("a loop that yields", "coroutine.wrap(function() while true do coroutine.yield() end end)()", nil),
        .init(
            "a loop in __close", "local x <close> = setmetatable({}, {__close = function() while true do end end})",
            .callerLimitExceeded),
        .init(
            "a loop in a comparison of sort", "table.sort({1, 2, 3}, function() while true do pcall(error) end end)",
            .callerLimitExceeded),
        .init("a loop in gsub", "('a'):gsub('a', function() while true do end end)", .callerLimitExceeded),
        .init(
            "a loop in __index",
            "pcall(function() return setmetatable({}, {__index = function() while true do end end}).x end)",
            .callerLimitExceeded),
        .init("a loop of tail calls", "local function f() return f() end f()", .callerLimitExceeded),
        .init(
            "patterns that backtrack", "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-.-b$') end",
            .callerLimitExceeded),
        .init(
            "a chain of __call",
            "local f = print for i = 1, 100000 do f = setmetatable({}, {__call = f}) end while true do pcall(f) end",
            .callerLimitExceeded),
        .init("printing without end", "while true do print(('x'):rep(1000)) end", .callerLimitExceeded),
        .init(
            "coroutines without end", "while true do coroutine.resume(coroutine.create(function() end)) end",
            .callerLimitExceeded),
    ]

    static let greedy: [HostileScript] = [
        .init(
            "doubling a text", "local s = 'x' while true do s = s .. s end", .callerLimitExceeded, says: "KiB of memory"
        ),
        .init(
            "a table without end", "local t = {} for i = 1, 1e9 do t[i] = {} end", .callerLimitExceeded,
            says: "KiB of memory"),
        .init("a repetition of 10^10", "local s = ('x'):rep(1e10)", .callerScriptMalformed, says: "string.rep"),
        .init(
            "a repetition of nothing", "local s = (''):rep(math.maxinteger)", .callerScriptMalformed, says: "string.rep"
        ),
        .init("a repetition of 17 MiB", "local s = ('xx'):rep(17 << 19)", .callerScriptMalformed, says: "16 MiB"),
        .init("a recursion", "local function f() return 1 + f() end f()", .callerLimitExceeded, says: "KiB of memory"),
        .init("a recursion of pcall", "local function f() return pcall(f) end f()", nil),
        .init(
            "a recursion of gsub", "local function f() return (('a'):gsub('a', f)) end f()", .callerScriptMalformed,
            says: "overflow"),
        .init(
            "a recursion of metamethods",
            "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k .. 'x'] end local x = t.a",
            .callerScriptMalformed, says: "overflow"),
        .init(
            "a million coroutines", "local t = {} for i = 1, 1e6 do t[i] = coroutine.create(print) end",
            .callerScriptMalformed, says: "1000 coroutines"),
        .init("moving without end", "table.move({}, 1, math.maxinteger - 1, 2)", .callerScriptMalformed, says: "range"),
        .init("unpacking without end", "table.unpack({}, 1, 1e7)", .callerScriptMalformed, says: "range"),
        .init("joining without end", "table.concat({}, '', 1, 1e9)", .callerScriptMalformed, says: "range"),
        .init(
            "a table that lies about its length",
            "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)", .callerScriptMalformed,
            says: "__len"),
        .init(
            "a finalizer", "setmetatable({}, {__gc = function() while true do end end})", .callerScriptMalformed,
            says: "__gc"),
        .init("a finalizer to come", "setmetatable({}, {__gc = true})", .callerScriptMalformed, says: "__gc"),
        .init("a weak metatable", "setmetatable({}, {__mode = 'k'})", .callerScriptMalformed, says: "__mode"),
        .init("a poisoned metatable of texts", "getmetatable('').__index = {}", .callerScriptMalformed),
        .init(
            "nested parentheses", "local x = " + String(repeating: "(", count: 100_000), .callerScriptMalformed,
            says: "overflow"),
        .init(
            "a pattern with many stars", "('a'):rep(30):find(('a*'):rep(12) .. 'b')", .callerScriptMalformed,
            says: "10000000 steps"),
        .init("33 captures", "('x'):rep(99):find(('(x)'):rep(33))", .callerScriptMalformed, says: "captures"),
        .init(
            "a chain of closes",
            """
            local last = coroutine.create(function() end)
            for i = 1, 900 do
              local next = last
              last = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function() coroutine.close(next) end})
                coroutine.yield()
              end)
              coroutine.resume(last)
            end
            coroutine.close(last)
            error("the host lives", 0)
            """, .callerScriptMalformed, says: "the host lives"),
        .init(
            "a coroutine in a coroutine in …",
            "local function f() coroutine.wrap(f)() end f()", .callerScriptMalformed, says: "nested"),
        .init(
            "declarations without end", "for i = 1, 1e9 do keyring('k' .. i) end", .callerScriptMalformed,
            says: "10000 declarations"),
        .init(
            "a huge table", "local t = {} for i = 1, 200000 do t[i] = i end keyring 'k' { consumers = t }",
            .callerScriptMalformed, says: "too many values"),
        .init(
            "a table shared a billion times",
            "local t = {} for i = 1, 20 do t = {t, t, t, t} end keyring 'k' { consumers = t }", .callerScriptMalformed,
            says: "too many values"),
        .init(
            "a deep table", "local t = {} for i = 1, 100 do t = {t} end keyring 'k' { consumers = t }",
            .callerScriptMalformed, says: "too deeply"),
        .init(
            "a large text many times",
            "local s = ('x'):rep(1 << 20) for i = 1, 40 do keyring('k' .. i) { core = s } end", .callerLimitExceeded),
    ]
}

struct HostileScriptTests {
    /// Short limits, so that what has no end of its own ends soon.
    private static let limits = WorkerLimits(processorTime: .milliseconds(200), time: .seconds(20))

    /// A configuration that ends well has something to say.
    private static let preamble = "database 'sqlite:a.db'; "

    @Test(arguments: HostileScript.endless)
    func whatHasNoEndIsStopped(script: HostileScript) async throws {
        let error = try await loadError(Self.preamble + script.text, limits: Self.limits)
        #expect(error?.code == script.code, "\(error?.message ?? "no error")")
    }

    @Test(arguments: HostileScript.greedy)
    func whatIsTooMuchIsRefused(script: HostileScript) async throws {
        let limits = WorkerLimits(processorTime: .seconds(10), time: .seconds(60))
        let error = try await loadError(Self.preamble + script.text, limits: limits)
        #expect(error?.code == script.code, "\(error?.message ?? "no error")")
        let message = error?.message ?? ""
        #expect(script.says.isEmpty || message.contains(script.says), "\(message)")
    }

    @Test(
        arguments: [
            [0x1B, 0x4C, 0x75, 0x61, 0x54, 0, 0x19, 0x93], [0, 0, 0, 0], Array("database 'sqlite:a.db' \0".utf8),
            [0xFF, 0xFE, 0x64, 0], [0xC3, 0x28],
        ] as [[UInt8]])
    func whatIsNoTextIsRefused(bytes: [UInt8]) async throws {
        let error = try #require(try await loadError(bytes: bytes))
        #expect(error.code == .callerScriptMalformed, "\(error.message)")
        #expect(!error.message.utf8.contains { $0 < 0x20 })
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func junkOfAMebibyteGivesOneError(seed: UInt64) async throws {
        var state = seed
        let junk = (0..<1 << 20).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        let error = try #require(try await loadError(bytes: junk), "seed \(seed)")
        #expect(error.code == .callerScriptMalformed, "seed \(seed): \(error.message)")
    }

    @Test func theWorkerIsKilledFromOutside() async throws {
        // With more processor time than time, nothing inside stops a loop in C.
        let limits = WorkerLimits(processorTime: .seconds(60), time: .seconds(3))
        let chain = "local f = print for i = 1, 200000 do f = setmetatable({}, {__call = f}) end f()"
        let error = try #require(try await loadError(chain, limits: limits))
        #expect(error.code == .callerLimitExceeded)
        // A loaded machine may use up the time before the chain is called.
        let says = error.message.contains("was killed") || error.message.contains("took too long")
        #expect(says, "\(error.message)")
    }

    @Test func manyWorkersAtOnceDoNotDisturbEachOther() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<20 {
                group.addTask {
                    let text = index.isMultiple(of: 4) ? "while true do end" : "database 'sqlite:\(index).db'"
                    let error = try await loadError(text, limits: Self.limits)
                    return (error != nil) == index.isMultiple(of: 4)
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }
}
