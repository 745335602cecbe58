extension HostileCase {
    /// Raises unless what stands there is refused with an error.
    private static func refuses(_ text: String) -> String {
        "assert(not pcall(function() \(text) end), 'it was let through')"
    }

    /// What would reach outside, or into what is not the script's.
    static let reaching: [HostileCase] = [
        HostileCase(
            "07", "a finalizer that loops", .refused(["__gc"]),
            "setmetatable({}, {__gc = function() while true do end end})"),
        HostileCase(
            "08", "a finalizer left for the end", .refused(["__gc"]),
            "kept = setmetatable({}, {__gc = function() while true do end end})"),
        HostileCase(
            "08b", "a finalizer put in later", .refused(["__gc"]),
            "local m = {__gc = true} local t = setmetatable({}, m) m.__gc = function() while true do end end"),
        HostileCase(
            "08c", "a finalizer added after setmetatable", .good,
            """
            local m = {}
            for i = 1, 1000 do setmetatable({}, m) end
            m.__gc = function() while true do end end
            for i = 1, 100000 do local t = {} end
            """),
        HostileCase("29", "compiled code", .refused(["nil value", "text"]), "return string.dump(print)"),
        HostileCase("29b", "compiled code as a text", .refused(["binary", "text"]), "assert(load('\\27Lua'))"),
        HostileCase(
            "30", "a reader without end", .refused(["text"]), "load(function() return 'x = 1 ' end)"),
        HostileCase(
            "32", "xpcall of yield, then close", .good,
            """
            local co = coroutine.create(function() xpcall(coroutine.yield, print) end)
            coroutine.resume(co)
            coroutine.close(co)
            """),
        HostileCase(
            "34", "a weak metatable", .refused(["__mode"]),
            "setmetatable({}, {__mode = 'k', __newindex = function() end})"),
        HostileCase(
            "36", "poisoning the metatable of texts", .good,
            refuses("getmetatable('').__index = {}") + "\n" + refuses("string.rep = nil")
                + "\nassert(('x'):rep(3) == 'xxx')"),
        HostileCase(
            "36b", "poisoning what Keyturn provides", .good,
            refuses("math.floor = nil") + "\n" + refuses("setmetatable(_G, {})") + "\n"
                + refuses("rawset(string, 'x', 1)") + "\n" + refuses("setmetatable(table, {})")),
        HostileCase(
            "37", "taking away pcall and tostring", .good, "saved = pcall pcall = nil tostring = nil",
            "pcall = saved tostring = function() return 'x' end assert(pcall)"),
        HostileCase("40", "ending the process", .refused(["nil value"]), "os.exit(1)"),
        HostileCase("41", "starting a program", .refused(["nil value"]), "io.popen('id')"),
        HostileCase("42", "disarming the limits", .refused(["nil value"]), "debug.sethook()"),
        HostileCase("43", "the registry", .refused(["nil value"]), "debug.getregistry()"),
        HostileCase(
            "43b", "files, packages, the collector", .good,
            """
            for _, name in ipairs {"io", "os", "debug", "package", "require", "dofile", "loadfile", "collectgarbage",
              "warn", "rawset", "getfenv", "module", "newproxy"} do
              assert(_G[name] == nil, name)
            end
            """),
        HostileCase(
            "43c", "a path behind every table and function", .good,
            """
            local seen, queue = {}, {_G}
            local forbidden = {io = 1, os = 1, debug = 1, package = 1, dofile = 1, loadfile = 1, require = 1, dump = 1}
            while #queue > 0 do
              local value = table.remove(queue)
              if type(value) == "table" and not seen[value] then
                seen[value] = true
                for name, entry in pairs(value) do
                  assert(not forbidden[name], name)
                  queue[#queue + 1] = entry
                end
                local meta = getmetatable(value)
                if type(meta) == "table" then queue[#queue + 1] = meta end
              end
            end
            """),
        HostileCase("48", "a loop of collections", .refused(["nil value"]), "while true do collectgarbage() end"),
        HostileCase(
            "49", "a file of another folder by use", .refused(["use:"]), "use '../../../etc/passwd'"),
        HostileCase(
            "49b", "another environment", .refused(["environment"]), "load('x = 1', 'n', 't', {})"),
        HostileCase(
            "73", "a name of a chunk with escapes", .good,
            """
            local _, message = load('x = = 1', '=\\27[2J\\27]0;owned\\7\\0')
            assert(not message:find('%c'), 'a control character came through')
            """),
        HostileCase(
            "74", "printing escapes and zeros", .good, "print('\\27[2J\\27]0;owned\\7 \\0 \\255\\254')"),
        HostileCase(
            "75", "returning escapes and zeros", .good, "return '\\27[2J\\0\\255', {['\\255'] = '\\27]0;owned\\7'}"),
    ]
}
