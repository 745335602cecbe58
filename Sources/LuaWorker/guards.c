// Safer forms of functions whose originals loop in C where no hook fires, or hand out what must not be handed out.
#include <lauxlib.h>
#include <string.h>

#include "libraries.h"
#include "sandbox.h"

enum {
    REPEAT_COUNT_MOST = 1 << 24,
    REPEAT_BYTES_MOST = 16 << 20,
    RANGE_MOST = 1000000,
    SORT_MOST = 100000,
    COROUTINE_DEPTH_MOST = 16,
};

/// Calls the original, the first upvalue, with all arguments.
static int call_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/// Wraps the function of this name in the table on top.
static void guard(lua_State *L, const char *name, lua_CFunction wrapper) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, wrapper, 1);
    lua_setfield(L, -2, name);
}

static int repeat(lua_State *L) {
    size_t length, separator_length = 0;
    luaL_checklstring(L, 1, &length);
    lua_Integer count = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) luaL_checklstring(L, 3, &separator_length);
    if (count > REPEAT_COUNT_MOST) return luaL_error(L, "string.rep: more than %d times", REPEAT_COUNT_MOST);
    // Neither length exceeds the memory of the sandbox, so that the product stays below 2^62.
    if (count > 0 && (lua_Integer)(length + separator_length) * count > REPEAT_BYTES_MOST)
        return luaL_error(L, "string.rep: the result is larger than 16 MiB");
    return call_original(L);
}

void libraries_guard_string(lua_State *L) {
    guard(L, "rep", repeat);
}

static void check_plain_table(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TTABLE);
    if (luaL_getmetafield(L, index, "__len") != LUA_TNIL) luaL_argerror(L, index, "table with __len refused");
}

static void check_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (last < first) return;
    if ((lua_Unsigned)last - (lua_Unsigned)first >= RANGE_MOST)
        luaL_error(L, "range of more than %d elements refused", RANGE_MOST);
}

static int plain_table(lua_State *L) {
    check_plain_table(L, 1);
    return call_original(L);
}

static int move(lua_State *L) {
    check_plain_table(L, 1);
    check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return call_original(L);
}

/// table.unpack, where the range stands second and third.
static int unpack(lua_State *L) {
    check_plain_table(L, 1);
    lua_Integer last = lua_isnoneornil(L, 3) ? (lua_Integer)lua_rawlen(L, 1) : luaL_checkinteger(L, 3);
    check_range(L, luaL_optinteger(L, 2, 1), last);
    return call_original(L);
}

/// table.concat, where the range stands third and fourth.
static int concat(lua_State *L) {
    check_plain_table(L, 1);
    lua_Integer last = lua_isnoneornil(L, 4) ? (lua_Integer)lua_rawlen(L, 1) : luaL_checkinteger(L, 4);
    check_range(L, luaL_optinteger(L, 3, 1), last);
    return call_original(L);
}

static int sort(lua_State *L) {
    check_plain_table(L, 1);
    if (lua_rawlen(L, 1) > SORT_MOST) return luaL_error(L, "table.sort: more than %d elements", SORT_MOST);
    return call_original(L);
}

void libraries_guard_table(lua_State *L) {
    guard(L, "concat", concat);
    guard(L, "insert", plain_table);
    guard(L, "move", move);
    guard(L, "remove", plain_table);
    guard(L, "sort", sort);
    guard(L, "unpack", unpack);
}

/// Calls the original with a bound on the nesting: Lua 5.4.4 overflows the C stack on a chain of closes.
static int nested(lua_State *L) {
    sandbox *box = sandbox_of(L);
    if (box->coroutine_depth >= COROUTINE_DEPTH_MOST)
        return luaL_error(L, "coroutines nested more than %d levels deep", COROUTINE_DEPTH_MOST);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    box->coroutine_depth++;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    box->coroutine_depth--;
    int stopped = sandbox_stop_if_due(L);
    if (stopped >= 0) return stopped;
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int wrap(lua_State *L) {
    call_original(L);
    lua_pushcclosure(L, nested, 1);
    return 1;
}

void libraries_guard_coroutine(lua_State *L) {
    guard(L, "close", nested);
    guard(L, "resume", nested);
    guard(L, "wrap", wrap);
}

/// Refuses finalizers, which run with hooks off, and weak metatables, which Lua 5.4.4 frees while in use.
static int set_metatable(lua_State *L) {
    if (lua_type(L, 2) == LUA_TTABLE) {
        static const char *const refused[] = {"__gc", "__mode"};
        for (int i = 0; i < 2; i++) {
            lua_pushstring(L, refused[i]);
            if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "a metatable with %s is refused", refused[i]);
            lua_pop(L, 1);
        }
    }
    return call_original(L);
}

/// Ends xpcall: the handler runs after unwinding, under the hook like all other code. stack: handler, results
static int finish_call(lua_State *L, int status, lua_KContext context) {
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) {
        lua_pushboolean(L, 1);
        lua_replace(L, 1);
        return lua_gettop(L);
    }
    // stack: handler, …, error
    lua_pushvalue(L, 1);
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int protected_call(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_copy(L, 2, 1);
    lua_replace(L, 2);
    // stack: handler, function, arguments
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_call);
    return finish_call(L, status, 0);
}

/// Keeps the output to its limit; what is beyond it is dropped, and that is said once.
static void keep_output(sandbox *box, const char *text, size_t count) {
    if (box->output_was_cut) return;
    size_t room = box->output.limit - box->output.count;
    if (count > room) {
        box->output_was_cut = true;
        count = room;
    }
    buffer_append(&box->output, text, count);
}

static int print(lua_State *L) {
    sandbox *box = sandbox_of(L);
    int count = lua_gettop(L);
    for (int i = 1; i <= count; i++) {
        size_t length;
        const char *text = luaL_tolstring(L, i, &length);
        if (i > 1) keep_output(box, "\t", 1);
        keep_output(box, text, length);
        lua_pop(L, 1);
    }
    keep_output(box, "\n", 1);
    return 0;
}

void libraries_put_base(lua_State *L) {
    lua_pushcfunction(L, print);
    lua_setfield(L, -2, "print");
    lua_pushcfunction(L, protected_call);
    lua_setfield(L, -2, "xpcall");
    lua_getglobal(L, "setmetatable");
    lua_pushcclosure(L, set_metatable, 1);
    lua_setfield(L, -2, "setmetatable");
}
