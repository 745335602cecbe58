#include "configure.h"

#include <lauxlib.h>
#include <string.h>

#include "channel.h"
#include "export.h"

enum {
    DECLARATIONS_MOST = 10000,
    /// As many as a frame may hold.
    NODES_MOST = 100000,
    /// Values of the answer round a declaration's name and body.
    NODES_A_DECLARATION = 3,
};

/// Places in the record of a declaration.
enum { KIND = 1, LINE, NAME, BODY };

typedef struct {
    /// Values are packed here before Lua takes them over.
    buffer scratch;
    int64_t nodes;
    int count;
} declarations;

/// The key of the list of records in the registry.
static const char records_key = 0;

static const char *const words[] = {"database", "keyring", "column", "provider", "schedule", "hook", "role",
                                    "webhook", "command", NULL};

/// The line from which a declaration was made, also through pcall.
static int calling_line(lua_State *L) {
    lua_Debug activation;
    for (int level = 1; lua_getstack(L, level, &activation) != 0; level++) {
        lua_getinfo(L, "l", &activation);
        if (activation.currentline > 0) return activation.currentline;
    }
    return 0;
}

/// Packs a value as it is now and stores the bytes in the record at an index.
static void keep(lua_State *L, const char *word, int value, int record, int place) {
    declarations *self = sandbox_of(L)->mode;
    buffer_clear(&self->scratch);
    exporter packing = {.out = &self->scratch, .nodes = self->nodes, .nodes_most = NODES_MOST};
    const char *failure = export_value(&packing, L, value);
    if (failure != NULL) luaL_error(L, "%s: %s", word, failure);
    self->nodes = packing.nodes;
    lua_pushlstring(L, (const char *)self->scratch.bytes, self->scratch.count);
    lua_rawseti(L, record, place);
}

/// The second call of `word "name" { … }`. Upvalues: the word, the record.
static int take_body(lua_State *L) {
    const char *word = lua_tostring(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    if (lua_rawgeti(L, 2, BODY) != LUA_TNIL) return luaL_error(L, "%s: two values follow one name", word);
    keep(L, word, 1, 2, BODY);
    return 0;
}

/// Pushes a new record, already in the list.
static void push_record(lua_State *L, const char *word) {
    declarations *self = sandbox_of(L)->mode;
    if (self->count >= DECLARATIONS_MOST) luaL_error(L, "%s: more than %d declarations", word, DECLARATIONS_MOST);
    self->nodes += NODES_A_DECLARATION;
    lua_createtable(L, BODY, 0);
    lua_pushstring(L, word);
    lua_rawseti(L, -2, KIND);
    lua_pushinteger(L, calling_line(L));
    lua_rawseti(L, -2, LINE);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, ++self->count);
    lua_pop(L, 1);
}

/// A word of the configuration. Upvalue: the word.
static int declare(lua_State *L) {
    const char *word = lua_tostring(L, lua_upvalueindex(1));
    int count = lua_gettop(L);
    if (count > 2) return luaL_error(L, "%s: takes a name and one value, %d were given", word, count);
    lua_settop(L, 2);
    push_record(L, word);
    keep(L, word, 1, 3, NAME);
    if (count == 2) {
        keep(L, word, 2, 3, BODY);
        return 0;
    }
    if (strcmp(word, "database") == 0) return 0;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, take_body, 2);
    return 1;
}

/// Refuses a name that means nothing, which would otherwise be nil: a text without its quotes, a misspelt word.
static int refuse_unknown(lua_State *L) {
    return luaL_error(L, "unknown name \"%s\"", lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

static int put_words(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &records_key);
    lua_pushglobaltable(L);
    for (const char *const *word = words; *word != NULL; word++) {
        lua_pushstring(L, *word);
        lua_pushcclosure(L, declare, 1);
        lua_setfield(L, -2, *word);
    }
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, refuse_unknown);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 0;
}

/// Appends bytes that are packed already. stack: …, record
static void append_packed(lua_State *L, buffer *out, int place) {
    size_t length;
    lua_rawgeti(L, -1, place);
    const char *bytes = lua_tolstring(L, -1, &length);
    buffer_append(out, bytes, length);
    lua_pop(L, 1);
}

/// stack: …, record
static void pack_declaration(lua_State *L, buffer *out) {
    bool has_body = lua_rawgeti(L, -1, BODY) != LUA_TNIL;
    lua_rawgeti(L, -2, LINE);
    lua_rawgeti(L, -3, KIND);
    // stack: …, record, body, line, kind
    pack_map(out, has_body ? 4 : 3);
    pack_string(out, "kind");
    pack_string(out, lua_tostring(L, -1));
    pack_string(out, "line");
    pack_integer(out, lua_tointeger(L, -2));
    lua_pop(L, 3);
    pack_string(out, "name");
    append_packed(L, out, NAME);
    if (!has_body) return;
    pack_string(out, "body");
    append_packed(L, out, BODY);
}

static void pack_answer(sandbox *box, const declarations *self, buffer *out) {
    lua_State *L = box->state;
    pack_map(out, 4);
    pack_string(out, "ok");
    pack_bool(out, true);
    pack_string(out, "output");
    pack_text(out, box->output.bytes, box->output.count);
    pack_string(out, "output_was_cut");
    pack_bool(out, box->output_was_cut);
    pack_string(out, "declarations");
    pack_array(out, (uint32_t)self->count);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    for (int i = 1; i <= self->count; i++) {
        lua_rawgeti(L, -1, i);
        pack_declaration(L, out);
        lua_pop(L, 1);
    }
}

/// The text without the mark that some editors put before UTF-8.
static void skip_byte_order_mark(const char **source, size_t *count) {
    if (*count < 3 || memcmp(*source, "\xEF\xBB\xBF", 3) != 0) return;
    *source += 3;
    *count -= 3;
}

void configure(sandbox_limits limits, const char *source, size_t count, const char *chunk_name) {
    declarations self = {.scratch = buffer_make(FRAME_LIMIT), .nodes = 8};
    sandbox box;
    sandbox_outcome outcome;
    bool is_ready = sandbox_open(&box, limits);
    box.mode = &self;
    if (is_ready) {
        lua_pushcfunction(box.state, put_words);
        is_ready = lua_pcall(box.state, 0, 0, 0) == LUA_OK;
    }
    if (!is_ready) {
        channel_write_error("memory", "there is no memory for the libraries", 0);
        return;
    }
    skip_byte_order_mark(&source, &count);
    sandbox_run(&box, source, count, chunk_name, &outcome);
    channel_disarm_deadline();
    if (outcome.kind != NULL) {
        channel_write_error(outcome.kind, outcome.message, outcome.line);
        return;
    }
    buffer answer = buffer_make(FRAME_LIMIT);
    pack_answer(&box, &self, &answer);
    if (answer.refused) channel_write_error("memory", "the declarations are larger than 16 MiB", 0);
    else channel_write(&answer);
}
