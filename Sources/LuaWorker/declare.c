#include "declare.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "export.h"

enum {
    DECLARATIONS_MOST = 10000,
    /// As many as a frame may hold.
    NODES_MOST = 100000,
    /// Values of the answer round a declaration's name and body.
    NODES_A_DECLARATION = 4,
};

/// Places in the record of a declaration; the last holds a hook's function, or those of a schedule by name.
enum { KIND = 1, FILE_NAME, LINE, NAME, BODY, TITLE, FUNCTIONS, PLACES = FUNCTIONS };

/// The keys in the registry of the list of records and of the table of further globals.
static const char records_key = 0, globals_key = 0;

static const char *const words[] = {"database", "keyring", "column", "provider", "schedule", "hook", "role", "backup",
                                    "webhook", "command", NULL};
static const char *const schedule_functions[] = {"when", "next", "action", NULL};

static declarations *declared_in(lua_State *L) {
    return host_of(L)->declared;
}

/// Keeps the place from which a declaration was made, also through pcall. stack: …, record
static void keep_place(lua_State *L) {
    lua_Debug activation = {.currentline = 0};
    const char *file = "";
    for (int level = 1; lua_getstack(L, level, &activation) != 0; level++) {
        lua_getinfo(L, "Sl", &activation);
        if (activation.currentline <= 0) continue;
        file = *activation.source == '@' ? activation.source + 1 : activation.source;
        break;
    }
    lua_pushinteger(L, activation.currentline > 0 ? activation.currentline : 0);
    lua_rawseti(L, -2, LINE);
    lua_pushstring(L, file);
    lua_rawseti(L, -2, FILE_NAME);
}

/// Packs a value as it is now and stores the bytes in the record at an index.
static void keep(lua_State *L, const char *word, int value, int record, int place) {
    declarations *self = declared_in(L);
    buffer_clear(&self->scratch);
    exporter packing = {.out = &self->scratch, .nodes = self->nodes, .nodes_most = NODES_MOST};
    const char *failure = export_value(&packing, L, value);
    if (failure != NULL) luaL_error(L, "%s: %s", word, failure);
    self->nodes = packing.nodes;
    lua_pushlstring(L, (const char *)self->scratch.bytes, self->scratch.count);
    lua_rawseti(L, record, place);
}

/// Keeps the functions of a body, which is what can be called later.
static void keep_functions(lua_State *L, const char *word, int body, int record) {
    if (strcmp(word, "hook") == 0 && lua_type(L, body) == LUA_TFUNCTION) {
        lua_pushvalue(L, body);
        lua_rawseti(L, record, FUNCTIONS);
    } else if (strcmp(word, "hook") == 0 && lua_type(L, body) == LUA_TTABLE) {
        lua_pushliteral(L, "run");
        lua_rawget(L, body);
        lua_rawseti(L, record, FUNCTIONS);
    } else if (strcmp(word, "schedule") == 0 && lua_type(L, body) == LUA_TTABLE) {
        lua_createtable(L, 0, 2);
        for (const char *const *name = schedule_functions; *name != NULL; name++) {
            lua_pushstring(L, *name);
            lua_pushvalue(L, -1);
            lua_rawget(L, body);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, record, FUNCTIONS);
    }
}

static void keep_body(lua_State *L, const char *word, int body, int record) {
    keep(L, word, body, record, BODY);
    keep_functions(L, word, body, record);
}

/// The second call of `word "name" { … }`. Upvalues: the word, the record.
static int take_body(lua_State *L) {
    const char *word = lua_tostring(L, lua_upvalueindex(1));
    if (declared_in(L)->is_complete) return luaL_error(L, "%s: a configuration declares while it is read", word);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    if (lua_rawgeti(L, 2, BODY) != LUA_TNIL) return luaL_error(L, "%s: two values follow one name", word);
    keep_body(L, word, 1, 2);
    return 0;
}

/// Pushes a new record, already in the list.
static void push_record(lua_State *L, const char *word) {
    declarations *self = declared_in(L);
    if (self->is_complete) luaL_error(L, "%s: a configuration declares while it is read", word);
    if (self->count >= DECLARATIONS_MOST) luaL_error(L, "%s: more than %d declarations", word, DECLARATIONS_MOST);
    self->nodes += NODES_A_DECLARATION;
    lua_createtable(L, PLACES, 0);
    lua_pushstring(L, word);
    lua_rawseti(L, -2, KIND);
    keep_place(L);
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
    lua_pushvalue(L, 1);
    lua_rawseti(L, 3, TITLE);
    if (count == 2) {
        keep_body(L, word, 2, 3);
        return 0;
    }
    if (strcmp(word, "database") == 0) return 0;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, take_body, 2);
    return 1;
}

/// Refuses a name that means nothing, which would otherwise be nil: a text without its quotes, a misspelt word.
static int find_global(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        if (lua_gettable(L, -2) != LUA_TNIL) return 1;
    }
    return luaL_error(L, "unknown name \"%s\"", lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

void declare_add_globals(lua_State *L) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);
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
    lua_pushcfunction(L, host_use);
    lua_setfield(L, -2, "use");
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, find_global);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 0;
}

/// The text without the mark that some editors put before UTF-8.
static void run_source(sandbox *box, request_source source, sandbox_outcome *outcome) {
    if (source.count >= 3 && memcmp(source.text, "\xEF\xBB\xBF", 3) == 0) {
        source.text += 3;
        source.count -= 3;
    }
    sandbox_run(box, source.text, source.count, source.name, outcome);
}

/// Runs a text of the folder `scripts` as `use` does, so that none is run twice.
static void use_source(sandbox *box, const request_source *source, sandbox_outcome *outcome) {
    char text[NAME_ROOM + 16];
    size_t length = strlen(source->name) - strlen("scripts/") - strlen(".lua");
    int count = snprintf(text, sizeof text, "use [==[%.*s]==]", (int)length, source->name + strlen("scripts/"));
    sandbox_run(box, text, (size_t)count, source->name, outcome);
}

const char *declare_all(host *self, sandbox *box, declarations *declared, const request *asked,
                        sandbox_outcome *outcome) {
    *declared = (declarations){.scratch = buffer_make(FRAME_LIMIT), .nodes = 8};
    *outcome = (sandbox_outcome){.kind = "memory", .message = "there is no memory for the libraries"};
    bool is_ready = sandbox_open(box, asked->limits, true);
    host_begin(self, box, asked->id);
    self->declared = declared;
    self->is_silent = true;
    self->sources = asked->sources;
    self->source_count = asked->source_count;
    if (is_ready) {
        lua_pushcfunction(box->state, put_words);
        is_ready = lua_pcall(box->state, 0, 0, 0) == LUA_OK;
    }
    if (!is_ready) return "";
    outcome->kind = NULL;
    for (int i = 0; i < asked->source_count && outcome->kind == NULL; i++) {
        const request_source *source = &asked->sources[i];
        if (strncmp(source->name, "scripts/", 8) == 0) use_source(box, source, outcome);
        else run_source(box, *source, outcome);
        if (outcome->kind != NULL) return source->name;
    }
    declared->is_complete = true;
    return NULL;
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
    lua_rawgeti(L, -4, FILE_NAME);
    // stack: …, record, body, line, kind, file
    pack_map(out, has_body ? 5 : 4);
    pack_string(out, "kind");
    pack_string(out, lua_tostring(L, -2));
    pack_string(out, "file");
    pack_string(out, lua_tostring(L, -1));
    pack_string(out, "line");
    pack_integer(out, lua_tointeger(L, -3));
    lua_pop(L, 4);
    pack_string(out, "name");
    append_packed(L, out, NAME);
    if (!has_body) return;
    pack_string(out, "body");
    append_packed(L, out, BODY);
}

void declare_pack(sandbox *box, const declarations *self, buffer *out) {
    lua_State *L = box->state;
    pack_array(out, (uint32_t)self->count);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    for (int i = 1; i <= self->count; i++) {
        lua_rawgeti(L, -1, i);
        pack_declaration(L, out);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/// Whether the record on top is of this word and title.
static bool is_record(lua_State *L, const char *word, const char *title) {
    lua_rawgeti(L, -1, KIND);
    lua_rawgeti(L, -2, TITLE);
    bool is_wanted = strcmp(lua_tostring(L, -2), word) == 0 && lua_type(L, -1) == LUA_TSTRING
        && strcmp(lua_tostring(L, -1), title) == 0;
    lua_pop(L, 2);
    return is_wanted;
}

/// Pushes what the n-th record of this word and title keeps of its functions, or nil.
static void push_functions(lua_State *L, const char *word, const char *title, int64_t number) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TTABLE; i++) {
        if (is_record(L, word, title) && --number == 0) {
            lua_rawgeti(L, -1, FUNCTIONS);
            lua_insert(L, -3);
            lua_pop(L, 2);
            return;
        }
        lua_pop(L, 1);
    }
    lua_remove(L, -2);
}

void declare_push_hook(lua_State *L, const char *stage, int64_t number) {
    push_functions(L, "hook", stage, number);
}

void declare_push_schedule(lua_State *L, const char *name, const char *function) {
    push_functions(L, "schedule", name, 1);
    if (lua_type(L, -1) != LUA_TTABLE) return;
    lua_pushstring(L, function);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}
