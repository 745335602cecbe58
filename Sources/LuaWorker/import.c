#include "import.h"

#include <lauxlib.h>

/// As many places are made at once, whatever an array or a map claims.
enum { RESERVED_MOST = 4096 };

static void import_at(lua_State *L, unpacker *in, int depth);

static int reserved(size_t count) {
    return count < RESERVED_MOST ? (int)count : RESERVED_MOST;
}

static void import_array(lua_State *L, unpacker *in, size_t count, int depth) {
    lua_createtable(L, reserved(count), 0);
    for (size_t i = 1; i <= count; i++) {
        import_at(L, in, depth + 1);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
}

static void import_map(lua_State *L, unpacker *in, size_t count, int depth) {
    lua_createtable(L, 0, reserved(count));
    while (count-- > 0) {
        const char *name;
        size_t length;
        if (!unpack_bytes(in, &name, &length)) luaL_error(L, "the host's answer cannot be read");
        lua_pushlstring(L, name, length);
        import_at(L, in, depth + 1);
        lua_rawset(L, -3);
    }
}

static void import_at(lua_State *L, unpacker *in, int depth) {
    unpacked value;
    luaL_checkstack(L, 4, NULL);
    if (depth > MSGPACK_DEPTH || !unpack_next(in, &value)) luaL_error(L, "the host's answer cannot be read");
    switch (value.kind) {
    case UNPACKED_NIL: lua_pushnil(L); break;
    case UNPACKED_BOOL: lua_pushboolean(L, value.integer != 0); break;
    case UNPACKED_INTEGER: lua_pushinteger(L, value.integer); break;
    case UNPACKED_DOUBLE: lua_pushnumber(L, value.number); break;
    case UNPACKED_BYTES: lua_pushlstring(L, value.bytes, value.count); break;
    case UNPACKED_ARRAY: import_array(L, in, value.count, depth); break;
    case UNPACKED_MAP: import_map(L, in, value.count, depth); break;
    }
}

void import_value(lua_State *L, unpacker *in) {
    import_at(L, in, 0);
}
