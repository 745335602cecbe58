#include "inspect.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "host.h"

enum {
    NODES = 90000,
    BYTES = 1 << 20,
    /// Levels that frames have round a value.
    DEPTH_MOST = MSGPACK_DEPTH - 4,
};

typedef struct {
    int64_t entries;
    int64_t texts;
    lua_Integer last;
    bool has_others;
} table_shape;

inspector inspector_make(buffer *out) {
    return (inspector){.out = out, .nodes = NODES, .bytes = BYTES};
}

static table_shape shape_of(lua_State *L, int index) {
    table_shape shape = {0, 0, 0, false};
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        shape.entries++;
        if (lua_type(L, -1) == LUA_TSTRING) shape.texts++;
        else if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1) shape.has_others = true;
        else if (lua_tointeger(L, -1) > shape.last) shape.last = lua_tointeger(L, -1);
    }
    return shape;
}

/// The text at an index as valid UTF-8, pushed; other bytes are escaped, and so is all that would hide it from the end on.
static const char *push_readable(inspector *self, lua_State *L, int index, size_t *length) {
    const char *text = lua_tolstring(L, index, length);
    luaL_Buffer readable;
    luaL_buffinit(L, &readable);
    size_t left = (int64_t)*length > self->bytes ? (size_t)self->bytes : *length;
    bool is_cut = left < *length;
    while (left > 0) {
        size_t valid = utf8_valid_count((const uint8_t *)text, left);
        luaL_addlstring(&readable, text, valid);
        text += valid;
        left -= valid;
        if (left == 0) break;
        // A character that the cut went through is dropped.
        if (is_cut && left < 4) break;
        char escaped[5];
        snprintf(escaped, sizeof escaped, "\\x%02X", (unsigned char)*text);
        luaL_addlstring(&readable, escaped, 4);
        text++;
        left--;
    }
    if (is_cut) luaL_addstring(&readable, "…");
    luaL_pushresult(&readable);
    text = lua_tolstring(L, -1, length);
    self->bytes = self->bytes > (int64_t)*length ? self->bytes - (int64_t)*length : 0;
    return text;
}

static void inspect_text(inspector *self, lua_State *L, int index) {
    size_t length;
    const char *text = push_readable(self, L, index, &length);
    pack_text(self->out, text, length);
    lua_pop(L, 1);
}

static void pack_mark(inspector *self, const char *what) {
    char mark[32];
    pack_text(self->out, mark, (size_t)snprintf(mark, sizeof mark, "<%s>", what));
}

static void pack_rest(inspector *self, int64_t count) {
    char mark[48];
    pack_text(self->out, mark, (size_t)snprintf(mark, sizeof mark, "<%lld more>", (long long)count));
}

/// How many entries are shown; room for them is taken at once, so that what they hold cannot leave none for the others.
static int64_t take_room(inspector *self, int64_t entries) {
    int64_t shown = entries <= self->nodes ? entries : self->nodes > 0 ? self->nodes - 1 : 0;
    self->nodes -= entries <= self->nodes ? entries : self->nodes;
    return shown;
}

static void inspect_list(inspector *self, lua_State *L, int index, int64_t count) {
    int64_t shown = take_room(self, count);
    pack_array(self->out, (uint32_t)(shown < count ? shown + 1 : shown));
    for (int64_t i = 1; i <= shown; i++) {
        lua_rawgeti(L, index, i);
        inspect_value(self, L, lua_gettop(L));
        lua_pop(L, 1);
    }
    if (shown < count) pack_rest(self, count - shown);
}

/// A key that is a text, in a table where all are: as it is, with what is no UTF-8 escaped and made unique by its number.
static void inspect_name(inspector *self, lua_State *L, int index, bool is_mixed) {
    size_t length;
    const char *name = lua_tolstring(L, index, &length);
    bool is_plain = utf8_valid_count((const uint8_t *)name, length) == length && (int64_t)length <= self->bytes;
    if (is_plain && !(is_mixed && length > 0 && *name == '[') && !(length > 0 && *name == '<')) {
        pack_text(self->out, name, length);
        self->bytes -= (int64_t)length;
        return;
    }
    const char *readable = push_readable(self, L, index, &length);
    lua_pushfstring(L, "<%d> %s", ++self->keys, readable);
    name = lua_tolstring(L, -1, &length);
    pack_text(self->out, name, length);
    lua_pop(L, 2);
}

static void inspect_key(inspector *self, lua_State *L, int index, bool is_mixed) {
    char key[48];
    int length;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: inspect_name(self, L, index, is_mixed); return;
    case LUA_TBOOLEAN: length = snprintf(key, sizeof key, "[%s]", lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) length = snprintf(key, sizeof key, "[%lld]", (long long)lua_tointeger(L, index));
        else length = snprintf(key, sizeof key, "[%.17g]", (double)lua_tonumber(L, index));
        break;
    default: length = snprintf(key, sizeof key, "[%s %d]", luaL_typename(L, index), ++self->keys);
    }
    pack_text(self->out, key, (size_t)length);
}

static void inspect_map(inspector *self, lua_State *L, int index, const table_shape *shape) {
    int64_t shown = take_room(self, shape->entries), left = shown;
    bool is_mixed = shape->texts < shape->entries;
    pack_map(self->out, (uint32_t)(shown < shape->entries ? shown + 1 : shown));
    lua_pushnil(L);
    while (left > 0 && lua_next(L, index) != 0) {
        int top = lua_gettop(L);
        inspect_key(self, L, top - 1, is_mixed);
        inspect_value(self, L, top);
        lua_pop(L, 1);
        if (--left == 0) lua_pop(L, 1);
    }
    // Nothing was asked for a next key, so that the first one is still there.
    if (shown == 0) lua_pop(L, 1);
    if (shown == shape->entries) return;
    pack_mark(self, "cut");
    pack_rest(self, shape->entries - shown);
}

/// What is no data: by the name that the host's API gives it, else by its type.
static void pack_function(inspector *self, lua_State *L, int index) {
    const char *name = host_name(L, index);
    char mark[64];
    if (name == NULL) pack_mark(self, luaL_typename(L, index));
    else pack_text(self->out, mark, (size_t)snprintf(mark, sizeof mark, "<function %.40s>", name));
}

static void inspect_table(inspector *self, lua_State *L, int index) {
    const void *table = lua_topointer(L, index);
    for (int i = 0; i < self->depth; i++) {
        if (self->ancestors[i] == table) {
            pack_mark(self, "cycle");
            return;
        }
    }
    if (self->depth >= DEPTH_MOST || self->nodes <= 0 || !lua_checkstack(L, 12)) {
        pack_mark(self, "table");
        return;
    }
    const char *space = host_space_name(L, index);
    if (space != NULL) {
        char mark[64];
        pack_text(self->out, mark, (size_t)snprintf(mark, sizeof mark, "<entries %.40s>", space));
        return;
    }
    table_shape shape = shape_of(L, index);
    self->ancestors[self->depth++] = table;
    bool is_list = shape.entries > 0 && shape.texts == 0 && !shape.has_others && shape.last == shape.entries;
    if (is_list) inspect_list(self, L, index, shape.entries);
    else inspect_map(self, L, index, &shape);
    self->depth--;
}

void inspect_value(inspector *self, lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TNIL: pack_nil(self->out); break;
    case LUA_TBOOLEAN: pack_bool(self->out, lua_toboolean(L, index) != 0); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) pack_integer(self->out, lua_tointeger(L, index));
        else pack_double(self->out, lua_tonumber(L, index));
        break;
    case LUA_TSTRING: inspect_text(self, L, index); break;
    case LUA_TTABLE: inspect_table(self, L, index); break;
    default: pack_function(self, L, index);
    }
}
