extension HostileCase {
    private static let memory = ["KiB of memory", "not enough memory"]

    /// What would take all memory, or the whole stack.
    static let greedy: [HostileCase] = [
        HostileCase("09", "a text repeated 10^10 times", .refused(["string.rep"]), "return ('x'):rep(10000000000)"),
        HostileCase("11", "doubling a text", .refused(memory), "local s = 'x' while true do s = s .. s end"),
        HostileCase(
            "12", "filling the memory under pcall", .stopped,
            "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end"),
        HostileCase(
            "21", "sorting two million numbers", .refused(["table.sort"]),
            "local t = {} for i = 1, 2000000 do t[i] = i * 7919 % 2000003 end table.sort(t)"),
        HostileCase("22", "unpacking 10^7 values", .refused(["range"]), "return table.unpack({}, 1, 10000000)"),
        HostileCase(
            "23", "a recursion without end", .refused(memory + ["stack overflow"]),
            "local function f() return 1 + f() end f()"),
        HostileCase(
            "25", "100,000 brackets in load", .refused(["larger than"]),
            "assert(load('return ' .. ('('):rep(100000)))"),
        HostileCase(
            "25b", "brackets that fit", .refused(["overflow"]), "assert(load('return ' .. ('('):rep(60000)))"),
        HostileCase(
            "26", "a coroutine in a coroutine in …", .refused(["nested"]),
            "local function f() coroutine.wrap(f)() end f()"),
        HostileCase(
            "27", "a million coroutines", .refused(["coroutines at once"]),
            "local t = {} for i = 1, 1000000 do t[i] = coroutine.create(print) end"),
        HostileCase(
            "28", "a million tables", .refused(memory),
            "local t = {} for i = 1, 10000000 do t[i] = {i} end"),
        HostileCase(
            "31", "a chain of closes", .refused(["coroutines at once"]),
            """
            local last = coroutine.create(function() end)
            for i = 1, 30000 do
              local next = last
              last = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function() coroutine.close(next) end})
                coroutine.yield()
              end)
              coroutine.resume(last)
            end
            coroutine.close(last)
            """),
        HostileCase(
            "31b", "a chain of closes that fits", .good,
            """
            local last = coroutine.create(function() end)
            for i = 1, 500 do
              local next = last
              last = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function() coroutine.close(next) end})
                coroutine.yield()
              end)
              coroutine.resume(last)
            end
            coroutine.close(last)
            """),
        HostileCase("46", "a huge format", .refused(["format", "memory"]), "return (('%s'):rep(1 << 20)):format()"),
        HostileCase(
            "47", "joining a million large texts", .refused(memory),
            "local s, t = ('x'):rep(1 << 20), {} for i = 1, 100 do t[i] = s end return table.concat(t)"),
        HostileCase(
            "60", "a recursion of gsub", .refused(["overflow"]),
            "local function f() return (('a'):gsub('a', f)) end f()"),
        HostileCase(
            "61", "a recursion of sort", .refused(["overflow"]),
            "local function f() table.sort({1, 2}, f) end f()"),
        HostileCase(
            "65", "a recursion of __index", .refused(["overflow"]),
            """
            local t = setmetatable({}, {})
            getmetatable(t).__index = function(_, k) return t[k .. 'x'] end
            local x = t.a
            """),
        HostileCase(
            "66", "a recursion of __concat", .refused(["overflow"]),
            "local t = {} setmetatable(t, {__concat = function() return t .. t end}) local x = t .. t"),
        HostileCase(
            "67", "a recursion of tostring", .refused(["overflow"]),
            "local t = {} setmetatable(t, {__tostring = function() return tostring(t) end}) tostring(t)"),
        HostileCase("68", "a recursion of pcall", .ended, "local function f() return pcall(f) end f()"),
        HostileCase(
            "69", "a recursion of __eq and __lt", .refused(["overflow"]),
            "local m = {} m.__lt = function(a, b) return a < b end local x = setmetatable({}, m) < setmetatable({}, m)"),
        HostileCase(
            "70", "a recursion of load", .ended,
            "local function f() return load('return ...')(f()) end f()"),
        HostileCase(
            "71", "a handler of xpcall that recurses", .ended,
            "local function h() return xpcall(error, h) end xpcall(error, h)"),
        HostileCase("62", "33 captures", .refused(["captures"]), "return ('x'):rep(99):find(('(x)'):rep(33))"),
        HostileCase(
            "82", "a number of arguments that no stack holds", .refused(["too many", "overflow", "range"]),
            "return select('#', table.unpack({}, 1, 1000000))"),
    ]
}
