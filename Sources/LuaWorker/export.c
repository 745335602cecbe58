#include "export.h"

#include <string.h>

typedef struct {
    uint32_t entries;
    uint32_t texts;
    lua_Integer last;
} table_shape;

static const char *measure(lua_State *L, int index, table_shape *shape) {
    *shape = (table_shape){0, 0, 0};
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        shape->entries++;
        if (lua_type(L, -1) == LUA_TSTRING) shape->texts++;
        else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1) {
            if (lua_tointeger(L, -1) > shape->last) shape->last = lua_tointeger(L, -1);
        } else {
            lua_pop(L, 1);
            return "a key of a table is neither a text nor a place in a list";
        }
    }
    if (shape->texts != 0 && shape->texts != shape->entries) return "a table holds values with and without a name";
    if (shape->texts == 0 && shape->last != (lua_Integer)shape->entries) return "a list has gaps";
    return NULL;
}

static const char *export_list(exporter *self, lua_State *L, int index, uint32_t count) {
    pack_array(self->out, count);
    const char *failure = NULL;
    for (uint32_t i = 1; i <= count && failure == NULL; i++) {
        lua_rawgeti(L, index, i);
        failure = export_value(self, L, lua_gettop(L));
        lua_pop(L, 1);
    }
    return failure;
}

static const char *export_name(exporter *self, lua_State *L, int index) {
    size_t length;
    const char *name = lua_tolstring(L, index, &length);
    if (utf8_valid_count((const uint8_t *)name, length) != length) return "a name in a table is not valid UTF-8";
    pack_text(self->out, name, length);
    return NULL;
}

static const char *export_map(exporter *self, lua_State *L, int index, uint32_t count) {
    pack_map(self->out, count);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        const char *failure = export_name(self, L, lua_gettop(L) - 1);
        if (failure == NULL) failure = export_value(self, L, lua_gettop(L));
        if (failure != NULL) {
            lua_pop(L, 2);
            return failure;
        }
        lua_pop(L, 1);
    }
    return NULL;
}

static const char *export_table(exporter *self, lua_State *L, int index) {
    const void *table = lua_topointer(L, index);
    for (int i = 0; i < self->depth; i++) {
        if (self->ancestors[i] == table) return "a table holds itself";
    }
    if (self->depth >= MSGPACK_DEPTH - 4) return "tables are nested too deeply";
    if (!lua_checkstack(L, 8)) return "tables are nested too deeply";
    table_shape shape;
    const char *failure = measure(L, index, &shape);
    if (failure != NULL) return failure;
    // Before the elements are looked at, so that a huge table costs one pass.
    if (self->nodes + (int64_t)shape.entries > self->nodes_most) return "the declarations hold too many values";
    self->ancestors[self->depth++] = table;
    if (shape.entries > 0 && shape.texts == 0) failure = export_list(self, L, index, shape.entries);
    else failure = export_map(self, L, index, shape.entries);
    self->depth--;
    return failure;
}

static void export_type(exporter *self, const char *type) {
    pack_map(self->out, 1);
    pack_text(self->out, EXPORT_TYPE_NAME, sizeof EXPORT_TYPE_NAME - 1);
    pack_string(self->out, type);
}

static void export_text(exporter *self, lua_State *L, int index) {
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    pack_bytes(self->out, text, length);
}

const char *export_value(exporter *self, lua_State *L, int index) {
    if (++self->nodes > self->nodes_most) return "the declarations hold too many values";
    switch (lua_type(L, index)) {
    case LUA_TNIL: pack_nil(self->out); break;
    case LUA_TBOOLEAN: pack_bool(self->out, lua_toboolean(L, index) != 0); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) pack_integer(self->out, lua_tointeger(L, index));
        else pack_double(self->out, lua_tonumber(L, index));
        break;
    case LUA_TSTRING: export_text(self, L, index); break;
    case LUA_TTABLE: return export_table(self, L, index);
    default:
        if (self->refuses_types) return "it holds what is no data: a function, a coroutine or a userdata";
        export_type(self, lua_typename(L, lua_type(L, index)));
    }
    return self->out->refused ? "the declarations are larger than 16 MiB" : NULL;
}
