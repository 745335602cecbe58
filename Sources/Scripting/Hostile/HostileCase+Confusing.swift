extension HostileCase {
    /// What would confuse whoever takes the results, or the next script.
    static let confusing: [HostileCase] = [
        HostileCase(
            "38", "an error that prints itself in a loop", .ended,
            "error(setmetatable({}, {__tostring = function() while true do end end}))"),
        HostileCase(
            "38b", "a result that prints itself in a loop", .good,
            "return setmetatable({}, {__tostring = function() while true do end end, __index = function() while true do end end})"
        ),
        HostileCase(
            "39", "an error that is a function, a coroutine, nothing", .ended,
            "pcall(error) pcall(error, print) error(coroutine.create(print))"),
        HostileCase(
            "39b", "an error that claims to be the host's", .refused(["forged"]),
            "error({code = 'callerNotAllowed', message = 'forged', hint = {}})"),
        HostileCase(
            "83", "a coroutine of one line, resumed on the next", .stopped,
            "co = coroutine.create(function() while true do coroutine.yield() while true do end end end)",
            "coroutine.resume(co) coroutine.resume(co)"),
        HostileCase(
            "83b", "a coroutine that was stopped, on the next line", .good,
            "n = 0 co = coroutine.wrap(function() while true do n = n + 1 coroutine.yield(n) end end) co()",
            "assert(co() == 2 and co() == 3)"),
        HostileCase("85", "a table that holds itself", .good, "local t = {} t.t = t t[1] = {t} return t"),
        HostileCase(
            "85b", "a table of a million values", .good, "local t = {} for i = 1, 1000000 do t[i] = i end return t"),
        HostileCase(
            "85c", "a table shared a billion times", .good,
            "local t = {} for i = 1, 20 do t = {t, t, t, t} end return t"),
        HostileCase(
            "85d", "a deep table", .good, "local t = {} for i = 1, 10000 do t = {t} end return t"),
        HostileCase(
            "85e", "keys and numbers of all kinds", .good,
            """
            return {[true] = 1, [2.5] = 2, [print] = 3, [{}] = 4, ["[1]"] = 5, [1] = 6, [math.mininteger] = 7,
              nan = 0 / 0, inf = 1 / 0, least = math.mininteger, ["\\255"] = 8, ["\\254"] = 9}
            """),
        HostileCase(
            "85f", "a text of 16 MiB", .good, "local s = ('\\255x'):rep(1 << 23) return s, s, s"),
        HostileCase(
            "94", "names that are code, paths and marks", .ended,
            "pcall(load, '\\\"); os.exit() --', '../../x') error('\\226\\128\\174\\n\\27[31m' .. ('k'):rep(4096))"),
    ]
}
