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
    FORMAT_MOST = 1 << 20,
    COROUTINE_DEPTH_MOST = 16,
    COROUTINES_MOST = 1000,
    LOAD_MOST = 64 << 10,
    NAME_MOST = 40,
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

static int format(lua_State *L) {
    size_t length;
    luaL_checklstring(L, 1, &length);
    if (length > FORMAT_MOST) return luaL_error(L, "string.format: the format is larger than 1 MiB");
    return call_original(L);
}

void libraries_guard_string(lua_State *L) {
    guard(L, "rep", repeat);
    guard(L, "format", format);
    libraries_put_patterns(L);
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

/// The key in the registry of the table of all coroutines that have not been collected.
static const char coroutines_key = 0;

static int count_coroutines(lua_State *L) {
    int count = 0;
    lua_gc(L, LUA_GCCOLLECT);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &coroutines_key);
    lua_pushnil(L);
    for (; lua_next(L, -2) != 0; count++) lua_pop(L, 1);
    lua_pop(L, 1);
    return count;
}

/// Makes sure that one more coroutine may live.
static void make_room_for_coroutine(lua_State *L) {
    sandbox *box = sandbox_of(L);
    if (box->coroutines >= COROUTINES_MOST) box->coroutines = count_coroutines(L);
    if (box->coroutines >= COROUTINES_MOST) luaL_error(L, "more than %d coroutines at once", COROUTINES_MOST);
    box->coroutines++;
}

/// stack: …, the new coroutine
static void note_coroutine(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &coroutines_key);
    lua_pushvalue(L, -2);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int create(lua_State *L) {
    make_room_for_coroutine(L);
    call_original(L);
    note_coroutine(L);
    return 1;
}

/// Calls the original with a bound on the nesting: Lua 5.4.4 overflows the C stack on a chain of closes.
///
/// The coroutine is the second upvalue, or the first argument; its hook is set anew, since it may be one of an earlier run.
static int nested(lua_State *L) {
    sandbox *box = sandbox_of(L);
    if (box->coroutine_depth >= COROUTINE_DEPTH_MOST)
        return luaL_error(L, "coroutines nested more than %d levels deep", COROUTINE_DEPTH_MOST);
    lua_State *coroutine = lua_tothread(L, lua_upvalueindex(2));
    if (coroutine == NULL) coroutine = lua_tothread(L, 1);
    if (coroutine != NULL) sandbox_watch(box, coroutine);
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
    make_room_for_coroutine(L);
    call_original(L);
    lua_getupvalue(L, -1, 1);
    note_coroutine(L);
    // stack: …, the function that resumes, the coroutine
    lua_pushcclosure(L, nested, 2);
    return 1;
}

void libraries_guard_coroutine(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &coroutines_key);
    guard(L, "close", nested);
    guard(L, "create", create);
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

/// The key in the registry of the last traceback.
static const char traceback_key = 0;

/// Runs where the error was raised, before the stack is unwound, and leaves the error as it is.
static int keep_traceback(lua_State *L) {
    luaL_traceback(L, L, NULL, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
    return 1;
}

/// stack: …, what the handler gave, or the error that it raised
static int finish_handler(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/// Ends xpcall: the handler runs after unwinding, under the hook like all other code, with the error and a traceback.
///
/// stack: handler, keep_traceback, results or error
static int finish_call(lua_State *L, int status, lua_KContext context) {
    (void)context;
    int stopped = sandbox_stop_if_due(L);
    if (stopped >= 0) return stopped;
    if (status == LUA_OK || status == LUA_YIELD) {
        lua_pushboolean(L, 1);
        lua_replace(L, 2);
        return lua_gettop(L) - 1;
    }
    lua_pushvalue(L, 1);
    lua_insert(L, -2);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key);
    return finish_handler(L, lua_pcallk(L, 2, 1, 0, 0, finish_handler), 0);
}

static int protected_call(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_insert(L, 1);
    lua_pushcfunction(L, keep_traceback);
    lua_insert(L, 2);
    lua_remove(L, 4);
    // stack: handler, keep_traceback, function, arguments
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, finish_call);
    return finish_call(L, status, 0);
}

/// Lua's load for text alone: no function that hands out pieces, no compiled code, no other environment.
static int load_text(lua_State *L) {
    size_t length;
    if (lua_type(L, 1) != LUA_TSTRING) return luaL_argerror(L, 1, "only a text can be loaded");
    const char *text = lua_tolstring(L, 1, &length);
    if (length > LOAD_MOST) return luaL_error(L, "load: the text is larger than %d KiB", LOAD_MOST >> 10);
    if (strchr(luaL_optstring(L, 3, "t"), 't') == NULL) return luaL_error(L, "load: only text can be loaded");
    if (!lua_isnone(L, 4)) return luaL_error(L, "load: another environment is refused");
    const char *given = luaL_optstring(L, 2, "load");
    if (*given == '=' || *given == '@') given++;
    char name[NAME_MOST + 2] = "=";
    for (int i = 0; i < NAME_MOST && given[i] != 0; i++) name[i + 1] = given[i] >= ' ' && given[i] < 0x7F ? given[i] : '?';
    if (luaL_loadbufferx(L, text, length, name, "t") == LUA_OK) return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/// The KiB of memory that the state uses.
static int memory(lua_State *L) {
    lua_pushinteger(L, sandbox_of(L)->memory_used >> 10);
    return 1;
}

static int print(lua_State *L) {
    sandbox *box = sandbox_of(L);
    int count = lua_gettop(L);
    for (int i = 1; i <= count; i++) {
        size_t length;
        const char *text = luaL_tolstring(L, i, &length);
        if (i > 1) sandbox_print(box, "\t", 1);
        sandbox_print(box, text, length);
        lua_pop(L, 1);
    }
    sandbox_print(box, "\n", 1);
    return 0;
}

void libraries_put_base(lua_State *L, bool is_pure) {
    if (!is_pure) {
        lua_pushcfunction(L, load_text);
        lua_setfield(L, -2, "load");
        lua_pushcfunction(L, memory);
        lua_setfield(L, -2, "mem");
    }
    lua_pushcfunction(L, print);
    lua_setfield(L, -2, "print");
    lua_pushcfunction(L, protected_call);
    lua_setfield(L, -2, "xpcall");
    lua_getglobal(L, "setmetatable");
    lua_pushcclosure(L, set_metatable, 1);
    lua_setfield(L, -2, "setmetatable");
}
