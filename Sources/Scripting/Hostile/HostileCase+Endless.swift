extension HostileCase {
    /// What would go on for ever.
    static let endless: [HostileCase] = [
        HostileCase("01", "a loop", .stopped, "while true do end"),
        HostileCase("02", "a loop round pcall", .stopped, "while true do pcall(function() while true do end end) end"),
        HostileCase(
            "03", "a loop in a coroutine, resumed in a loop", .stopped,
            """
            while true do
              coroutine.resume(coroutine.create(function() pcall(function() while true do end end) end))
            end
            """),
        HostileCase(
            "04", "pcall of wrap of pcall", .stopped,
            """
            local function spin() while true do pcall(function() while true do end end) end end
            pcall(coroutine.wrap(function() pcall(coroutine.wrap(spin)) end))
            while true do pcall(coroutine.wrap(spin)) end
            """),
        HostileCase(
            "05", "a loop in the handler of xpcall", .stopped,
            "xpcall(function() while true do end end, function() while true do end end)"),
        HostileCase(
            "06", "a loop in __close after an error", .refused(["now"]),
            """
            local x <close> = setmetatable({}, {__close = function() while true do end end})
            error("now")
            """),
        HostileCase("10", "an empty text repeated 2^63 times", .refused(["string.rep"]), "(''):rep(math.maxinteger)"),
        HostileCase(
            "13", "a pattern that backtracks", .refused(["steps", "took too"]),
            "return (('a'):rep(3000)):find('.-.-.-.-b$')"),
        HostileCase(
            "14", "a pattern of optional letters", .ended,
            "return ('a'):rep(29):find(('a?'):rep(28) .. ('a'):rep(29) .. 'b')"),
        HostileCase(
            "15", "a pattern of stars", .refused(["steps", "took too"]),
            "return ('a'):rep(40):find(('a*'):rep(12) .. 'b')"),
        HostileCase(
            "16", "gsub that backtracks", .refused(["steps", "took too"]), "return ('a'):rep(3000):gsub('.-.-.-b', '')"),
        HostileCase(
            "16b", "patterns that backtrack, in a loop", .stopped,
            "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-.-b$') end"),
        HostileCase(
            "17", "moving 2^63 elements", .refused(["range"]), "table.move({}, 1, math.maxinteger - 1, 2)"),
        HostileCase(
            "18", "a table that lies about its length", .refused(["__len"]),
            "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)"),
        HostileCase(
            "19", "joining what lies about its length", .refused(["__len"]),
            "table.concat(setmetatable({}, {__len = function() return 1 << 40 end, __index = function() return 'x' end}))"
        ),
        HostileCase(
            "20", "sorting by an order that is none", .ended,
            "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function() return true end)"),
        HostileCase("24", "a loop of tail calls", .stopped, "local function f() return f() end f()"),
        HostileCase(
            "44", "a loop in a for iterator", .stopped,
            "for _ in function() while true do end end do end"),
        HostileCase("45", "goto without end", .stopped, "::a:: goto a"),
        HostileCase(
            "51", "a loop in a comparison of sort", .stopped,
            "table.sort({1, 2, 3}, function() while true do end end)"),
        HostileCase(
            "52", "a loop in a callback of gsub", .stopped, "('a'):gsub('a', function() while true do end end)"),
        HostileCase(
            "53", "xpcall in a loop in a comparison", .stopped,
            "table.sort({1, 2, 3}, function() while true do xpcall(function() while true do end end, print) end end)"),
        HostileCase(
            "54", "pcall in a loop in a comparison", .stopped,
            "table.sort({1, 2, 3}, function() while true do pcall(function() while true do end end) end end)"),
        HostileCase(
            "55", "a loop in __index under pcall", .stopped,
            """
            local t = setmetatable({}, {__index = function() while true do end end})
            while true do pcall(function() return t.x end) end
            """),
        HostileCase(
            "56", "resuming what has been stopped", .stopped,
            """
            local co = coroutine.create(function() while true do end end)
            while true do coroutine.resume(co) end
            """),
        HostileCase(
            "57", "coroutines in a comparison", .stopped,
            """
            table.sort({1, 2, 3}, function()
              while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end
            end)
            """),
        HostileCase(
            "58", "__close that loops when stopped", .stopped,
            """
            local x <close> = setmetatable({}, {__close = function() while true do end end})
            while true do end
            """),
        HostileCase(
            "63", "balanced brackets that are not", .ended, "return ('('):rep(200000):find('^(.-)%b()$')"),
        HostileCase(
            "64", "a chain of 100,000 __call", .ended,
            """
            local f = function() end
            for i = 1, 100000 do f = setmetatable({}, {__call = f}) end
            for i = 1, 100 do pcall(f) end
            """),
        HostileCase(
            "84", "printing without end", .stopped, "while true do print(('x'):rep(1000)) end"),
        HostileCase(
            "92", "wraps whose __close raises", .ended,
            """
            local function f(n)
              local x <close> = setmetatable({}, {__close = function() error("again") end})
              if n > 0 then coroutine.wrap(f)(n - 1) end
              error("once")
            end
            pcall(f, 100)
            """),
    ]
}
