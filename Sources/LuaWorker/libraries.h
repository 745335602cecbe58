// What a script finds: an allow-list of Lua's own libraries, and safer forms of some of their functions.
#ifndef KEYTURN_LIBRARIES_H
#define KEYTURN_LIBRARIES_H

#include <lua.h>
#include <stdbool.h>

/// Puts a fresh table of globals in place that holds the allowed functions and nothing else.
///
/// Not there: io, os, package, require, debug, dofile, loadfile, collectgarbage, warn, rawset, string.dump. A pure state
/// also lacks load, mem, math.random and math.randomseed, so that the same text always does the same.
void libraries_open(lua_State *L, bool is_pure);

/// Puts print, xpcall and setmetatable, in their safer forms, into the table on top of the stack.
void libraries_put_base(lua_State *L, bool is_pure);

/// Puts find, match, gmatch and gsub, with patterns whose steps are counted, into the table on top of the stack.
void libraries_put_patterns(lua_State *L);

/// Replaces functions of the table on top of the stack, a copy of Lua's string, table or coroutine library.
void libraries_guard_string(lua_State *L);
void libraries_guard_table(lua_State *L);
void libraries_guard_coroutine(lua_State *L);

/// Pushes `time`: now, parse, format; in UTC, from the clock alone.
void libraries_push_time(lua_State *L);

/// Replaces the table on top by an empty one that shows its entries and takes no others.
void libraries_make_read_only(lua_State *L);

#endif
