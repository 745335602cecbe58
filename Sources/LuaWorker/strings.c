// find, match, gmatch and gsub on the matcher that counts its steps.
#include <lauxlib.h>
#include <string.h>

#include "libraries.h"
#include "pattern.h"

/// A place in a text as Lua counts: from 1, or from the end where it is below zero.
static size_t place_of(lua_Integer position, size_t length) {
    if (position > 0) return (size_t)position;
    if (position == 0 || position < -(lua_Integer)length) return 1;
    return length + (size_t)position + 1;
}

/// Begins to match anew; the steps go on being counted.
static const char *match_at(pattern_search *search, const char *place, const char *p) {
    search->depth = 0;
    search->count = 0;
    return pattern_match(search, place, p);
}

static bool is_plain(const char *pattern, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (pattern[i] != 0 && strchr("^$*+?.([%-", pattern[i]) != NULL) return false;
    }
    return true;
}

static int find_plain(lua_State *L, const char *subject, size_t length, size_t first, const char *wanted, size_t count) {
    const char *found = memmem(subject + first, length - first, wanted, count);
    if (found == NULL) return lua_pushnil(L), 1;
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)count);
    return 2;
}

static int search_once(lua_State *L, bool finds) {
    size_t length, pattern_length;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *pattern = luaL_checklstring(L, 2, &pattern_length);
    size_t first = place_of(luaL_optinteger(L, 3, 1), length) - 1;
    if (first > length) return lua_pushnil(L), 1;
    if (finds && (lua_toboolean(L, 4) || is_plain(pattern, pattern_length)))
        return find_plain(L, subject, length, first, pattern, pattern_length);
    bool is_anchored = pattern_length > 0 && pattern[0] == '^';
    const char *p = pattern + (is_anchored ? 1 : 0);
    pattern_search search = pattern_begin(L, subject, length, pattern + pattern_length);
    for (const char *place = subject + first; place <= subject + length; place++) {
        const char *end = match_at(&search, place, p);
        if (end != NULL && !finds) return pattern_push_captures(&search, place, end, true);
        if (end != NULL) {
            lua_pushinteger(L, place - subject + 1);
            lua_pushinteger(L, end - subject);
            return pattern_push_captures(&search, NULL, NULL, false) + 2;
        }
        if (is_anchored) break;
    }
    return lua_pushnil(L), 1;
}

static int find(lua_State *L) {
    return search_once(L, true);
}

static int match(lua_State *L) {
    return search_once(L, false);
}

/// Where gmatch stands: kept in a userdata, since the texts are upvalues beside it.
typedef struct {
    size_t place;
    /// Where the last match ended; a place that is none before the first.
    size_t last_end;
} gmatch_state;

static int next_match(lua_State *L) {
    size_t length, pattern_length;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &length);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &pattern_length);
    gmatch_state *state = lua_touserdata(L, lua_upvalueindex(3));
    pattern_search search = pattern_begin(L, subject, length, pattern + pattern_length);
    for (; state->place <= length; state->place++) {
        const char *start = subject + state->place;
        const char *end = match_at(&search, start, pattern);
        if (end == NULL || (size_t)(end - subject) == state->last_end) continue;
        state->place = state->last_end = (size_t)(end - subject);
        return pattern_push_captures(&search, start, end, true);
    }
    return 0;
}

static int gmatch(lua_State *L) {
    size_t length;
    luaL_checklstring(L, 1, &length);
    luaL_checkstring(L, 2);
    size_t first = place_of(luaL_optinteger(L, 3, 1), length) - 1;
    lua_settop(L, 2);
    gmatch_state *state = lua_newuserdatauv(L, sizeof *state, 0);
    *state = (gmatch_state){.place = first > length ? length + 1 : first, .last_end = SIZE_MAX};
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/// Writes the text that replaces a match, with what its % signs stand for.
static void add_text(pattern_search *search, luaL_Buffer *result, const char *start, const char *end) {
    size_t length;
    const char *text = lua_tolstring(search->L, 3, &length);
    const char *text_end = text + length;
    while (text < text_end) {
        const char *escape = memchr(text, '%', (size_t)(text_end - text));
        luaL_addlstring(result, text, (size_t)((escape != NULL ? escape : text_end) - text));
        if (escape == NULL) return;
        char kind = escape + 1 < text_end ? escape[1] : 0;
        if (kind == '%') {
            luaL_addchar(result, '%');
        } else if (kind == '0') {
            luaL_addlstring(result, start, (size_t)(end - start));
        } else if (kind >= '1' && kind <= '9') {
            pattern_push_capture(search, kind - '1', start, end);
            luaL_tolstring(search->L, -1, NULL);
            lua_remove(search->L, -2);
            luaL_addvalue(result);
        } else {
            luaL_error(search->L, "invalid use of '%%' in replacement string");
        }
        text = escape + 2;
    }
}

/// Writes what takes the place of a match; false where the match stays.
static bool add_replacement(pattern_search *search, luaL_Buffer *result, const char *start, const char *end) {
    lua_State *L = search->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, pattern_push_captures(search, start, end, true), 1);
        break;
    case LUA_TTABLE:
        pattern_push_capture(search, 0, start, end);
        lua_gettable(L, 3);
        break;
    default: return add_text(search, result, start, end), true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(result, start, (size_t)(end - start));
        return false;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(result);
    return true;
}

static int gsub(lua_State *L) {
    size_t length, pattern_length;
    const char *subject = luaL_checklstring(L, 1, &length), *subject_end = subject + length;
    const char *pattern = luaL_checklstring(L, 2, &pattern_length);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                     "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1), count = 0;
    bool is_anchored = pattern_length > 0 && pattern[0] == '^', is_changed = false;
    pattern_search search = pattern_begin(L, subject, length, pattern + pattern_length);
    const char *place = subject, *last_end = NULL;
    luaL_Buffer result;
    luaL_buffinit(L, &result);
    while (count < most) {
        const char *end = match_at(&search, place, pattern + (is_anchored ? 1 : 0));
        if (end != NULL && end != last_end) {
            count++;
            is_changed = add_replacement(&search, &result, place, end) || is_changed;
            place = last_end = end;
        } else if (place < subject_end) {
            luaL_addchar(&result, *place++);
        } else {
            break;
        }
        if (is_anchored) break;
    }
    if (is_changed) {
        luaL_addlstring(&result, place, (size_t)(subject_end - place));
        luaL_pushresult(&result);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

void libraries_put_patterns(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"find", find}, {"gmatch", gmatch}, {"gsub", gsub}, {"match", match}, {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
