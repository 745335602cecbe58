import CLua
import Foundation
import Frames
import Testing

@testable import Scripting

/// The worker's own matcher beside that of liblua5.4, on the same seeded random patterns.
struct PatternTests {
    /// Calls a function of the string library many times and gives back a line for each.
    ///
    /// Both sides run this text; the random numbers are its own.
    private static let text = """
        local seed, count = ...
        local state = seed
        local function random(n)
          state = (state * 6364136223846793005 + 1442695040888963407)
          return (state >> 33) % n + 1
        end
        local pieces = {
          "a", "b", "c", "ab", ".", "%a", "%d", "%w", "%s", "%p", "%A", "%S", "%u", "%x", "%c", "%g", "%l", "%z", "%%", "%.",
          "[abc]", "[^a]", "[a-c]", "[%a_]", "[]]", "[^]]", "[a-]", "[%]]", "[^%s]", "[b-a]", "[%w-]", "[%a-z]", "[a%-c]",
          "*", "+", "-", "?", "*", "+", "-", "?", "(", ")", "(", ")", "()", "%1", "%2", "%0", "%9", "^", "$", "%b()", "%bab",
          "%f[%w]", "%f[^a]", "%f", "[", "%", "%b", "%b(", "\\0", "\\255", " ", "x", "1",
        }
        local letters = {"a", "b", "c", "ab", "aab", "1", " ", "(", ")", "x", "\\0", "\\255", "_", "-", ".", "%", "]", "A"}
        local function text(from, most)
          local parts = {}
          for i = 1, random(most) - 1 do parts[i] = from[random(#from)] end
          return table.concat(parts)
        end
        local replacements = {
          "<%0>", "%1", "%2%1", "%%", "%", "%x", "plain", "", {a = "A", b = false, c = 3}, {}, 7, 2.5,
          function(...) return select("#", ...) end, function() end, function() return {} end, true, function(a) return a end,
        }
        local lines = {}
        local function note(...)
          local parts = {}
          for i = 1, select("#", ...) do
            local value = select(i, ...)
            -- A function has a name in messages only where it is known by one.
            if ... == false and i == 2 then value = value:gsub("to '.-'", "") end
            parts[i] = type(value) .. " " .. tostring(value)
          end
          lines[#lines + 1] = table.concat(parts, ", ")
        end
        local function gather(...)
          local found = {}
          for a, b, c in string.gmatch(...) do
            found[#found + 1] = tostring(a) .. "/" .. tostring(b) .. "/" .. tostring(c)
            if #found > 50 then break end
          end
          return table.concat(found, ";")
        end
        for _ = 1, count do
          local subject, pattern = text(letters, 16), text(pieces, 8)
          local first = random(4) == 1 and random(30) - 15 or nil
          local kind = random(4)
          if kind == 1 then note(pcall(string.find, subject, pattern, first, random(8) == 1))
          elseif kind == 2 then note(pcall(string.match, subject, pattern, first))
          elseif kind == 3 then note(pcall(gather, subject, pattern, first))
          else note(pcall(string.gsub, subject, pattern, replacements[random(#replacements)], random(3) == 1 and random(4) - 1 or nil))
          end
        end
        return table.concat(lines, "\\n")
        """

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [Int])
    func patternsMeanWhatTheyMeanInLua(seed: Int) async throws {
        let count = 4000
        let expected = try Self.inLua(seed, count).split(separator: "\n", omittingEmptySubsequences: false)
        let session = TestSession()
        _ = try await session.session.run(
            text: "function compare(...) \(Self.text) end", name: "patterns", isInteractive: false, limits: .test)
        guard case .string(let found) = try await session.run("compare(\(seed), \(count))", limits: .patient).first
        else {
            Issue.record("no text")
            return
        }
        let lines = found.split(separator: "\n", omittingEmptySubsequences: false)
        try #require(lines.count == expected.count && expected.count >= count)
        let worked = expected.count { $0.hasPrefix("boolean true") && !$0.hasSuffix("nil") }
        #expect(worked > count / 4, "most patterns would prove nothing")
        for (index, line) in lines.enumerated() where line != expected[index] {
            Issue.record("seed \(seed), line \(index): \(line) instead of \(expected[index])")
            break
        }
    }

    /// Runs the text in liblua5.4 itself; bytes that are no UTF-8 are written as the worker writes them.
    private static func inLua(_ seed: Int, _ count: Int) throws -> String {
        let state = try #require(luaL_newstate())
        defer { lua_close(state) }
        luaL_openlibs(state)
        guard luaL_loadbufferx(state, text, text.utf8.count, "@patterns", nil) == LUA_OK else {
            throw CancellationError()
        }
        lua_pushinteger(state, lua_Integer(seed))
        lua_pushinteger(state, lua_Integer(count))
        guard lua_pcallk(state, 2, 1, 0, 0, nil) == LUA_OK else {
            throw ScriptingError(.callerScriptMalformed, String(cString: lua_tolstring(state, -1, nil)))
        }
        var length = 0
        let start = try #require(lua_tolstring(state, -1, &length))
        let bytes = UnsafeRawBufferPointer(start: start, count: length)
        // The subjects hold 0xFF as the only byte that is no UTF-8.
        return String(decoding: bytes.flatMap { $0 == 0xFF ? Array("\\xFF".utf8) : [$0] }, as: UTF8.self)
    }

    @Test(arguments: [
        "('a'):rep(3000):find('.-.-.-.-b$')",
        "(('a?'):rep(28) .. ('a'):rep(29)):find(('a?'):rep(28) .. ('a'):rep(28) .. 'b')",
        "('a'):rep(40):find(('a*'):rep(12) .. 'b')", "('a'):rep(3000):gsub('.-.-.-b', '')",
        "('('):rep(200000):find('^(.-)%b()$')", "for _ in ('a'):rep(3000):gmatch('.-.-.-.-b$') do end",
    ])
    func aPatternWithoutEndEnds(text: String) async throws {
        let error = try #require(try await TestSession().error(text, limits: .patient) as? RaisedError)
        #expect(error.message.contains("steps"), "\(error.message)")
    }
}

extension ScriptLimits {
    static let patient = ScriptLimits(processorTime: .seconds(20), time: .seconds(120))
}
