// What a script finds: an allow-list of Lua's own libraries, and safer forms of some of their functions.
#ifndef KEYTURN_LIBRARIES_H
#define KEYTURN_LIBRARIES_H

#include <lua.h>

/// Puts a fresh table of globals in place that holds the allowed functions and nothing else.
///
/// Not there: io, os, package, require, debug, dofile, loadfile, load, collectgarbage, warn, rawset, string.dump,
/// and math.random, since the same text must always declare the same.
void libraries_open(lua_State *L);

/// Puts print, xpcall and setmetatable, in their safer forms, into the table on top of the stack.
void libraries_put_base(lua_State *L);

/// Replaces functions of the table on top of the stack, a copy of Lua's string, table or coroutine library.
void libraries_guard_string(lua_State *L);
void libraries_guard_table(lua_State *L);
void libraries_guard_coroutine(lua_State *L);

#endif
