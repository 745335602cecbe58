#include "libraries.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stddef.h>

typedef struct {
    const char *name;
    lua_CFunction open;
    const char *const *functions;
    void (*guard)(lua_State *L);
} library;

static const char *const base_functions[] = {
    "_VERSION", "assert", "error",    "getmetatable", "ipairs",   "next", "pairs", "pcall",
    "rawequal", "rawget", "rawlen",   "select",       "tonumber", "tostring", "type", NULL,
};
static const char *const math_functions[] = {
    "abs", "acos", "asin", "atan", "ceil",       "cos",       "deg", "exp", "floor", "fmod",      "huge", "log",
    "max", "maxinteger", "min",  "mininteger", "modf", "pi",  "rad", "sin", "sqrt",  "tan", "tointeger", "type",
    "ult", NULL,
};
static const char *const random_functions[] = {"random", "randomseed", NULL};
static const char *const string_functions[] = {
    "byte", "char",  "find", "format",   "gmatch", "gsub",    "len",    "lower", "match",
    "pack", "packsize", "rep", "reverse", "sub",   "unpack", "upper", NULL,
};
static const char *const table_functions[] = {
    "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL,
};
static const char *const utf8_functions[] = {
    "char", "charpattern", "codepoint", "codes", "len", "offset", NULL,
};
static const char *const coroutine_functions[] = {
    "close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield", NULL,
};

static const library libraries[] = {
    {LUA_MATHLIBNAME, luaopen_math, math_functions, NULL},
    {LUA_STRLIBNAME, luaopen_string, string_functions, libraries_guard_string},
    {LUA_TABLIBNAME, luaopen_table, table_functions, libraries_guard_table},
    {LUA_UTF8LIBNAME, luaopen_utf8, utf8_functions, NULL},
    {LUA_COLIBNAME, luaopen_coroutine, coroutine_functions, libraries_guard_coroutine},
};

/// Copies named fields from the table below the top to the one on top.
static void keep(lua_State *L, const char *const *names) {
    for (; *names != NULL; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
}

/// Pushes a new table with the named fields of the table on top, in whose place it stands.
static void keep_only(lua_State *L, const char *const *names, const char *const *more) {
    lua_newtable(L);
    keep(L, names);
    if (more != NULL) keep(L, more);
    lua_remove(L, -2);
}

static int refuse_write(lua_State *L) {
    return luaL_error(L, "what Keyturn provides cannot be changed");
}

/// The step of pairs over a library; the library itself is an upvalue, so that the script never holds it.
static int next_entry(lua_State *L) {
    lua_settop(L, 2);
    return lua_next(L, lua_upvalueindex(1)) != 0 ? 2 : (lua_pushnil(L), 1);
}

static int pairs_of_library(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_entry, 1);
    return 1;
}

void libraries_make_read_only(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, pairs_of_library, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/// Makes ("x"):rep find the guarded function too, and hides the metatable of strings. stack: string library
static void lock_strings(lua_State *L) {
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

/// stack: globals
static void open_library(lua_State *L, const library *self, bool is_pure) {
    luaL_requiref(L, self->name, self->open, 0);
    bool takes_random = !is_pure && self->open == luaopen_math;
    keep_only(L, self->functions, takes_random ? random_functions : NULL);
    if (self->guard != NULL) self->guard(L);
    if (self->open == luaopen_string) lock_strings(L);
    libraries_make_read_only(L);
    lua_setfield(L, -2, self->name);
}

void libraries_open(lua_State *L, bool is_pure) {
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    keep_only(L, base_functions, NULL);
    libraries_put_base(L, is_pure);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, LUA_GNAME);
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) open_library(L, &libraries[i], is_pure);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
