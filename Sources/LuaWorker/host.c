#include "host.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "export.h"
#include "import.h"
#include "libraries.h"

enum {
    /// Bytes of output in one frame.
    PIECE = 64 << 10,
    /// As long as a line that was printed may wait for others.
    OUTPUT_DELAY_US = 50000,
    ARGUMENT_NODES = 50000,
};

/// The name in a table of functions under which the function lies that is called like the table.
static const char own_function[] = "\0call";

/// The key in the registry of the values that `use` has given.
static const char used_key = 0;

host *host_of(lua_State *L) {
    return sandbox_of(L)->mode;
}

static int64_t now_us(void) {
    struct timespec time = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/// A worker that cannot be heard has nothing left to do.
static void send(const buffer *frame) {
    if (!channel_write(frame)) _exit(1);
}

/// How much of a text ends with a whole character: an incomplete one at its end may be completed later.
static size_t whole_characters(const uint8_t *bytes, size_t count) {
    for (size_t back = 1; back <= 3 && back <= count; back++) {
        uint8_t byte = bytes[count - back];
        if (byte < 0x80) return count;
        size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 0;
        if (length > 0) return length > back ? count - back : count;
    }
    return count;
}

void host_flush(host *self, bool is_last) {
    const buffer *output = &self->box->output;
    while (!self->is_silent && self->output_sent < output->count) {
        size_t left = output->count - self->output_sent;
        const uint8_t *bytes = output->bytes + self->output_sent;
        size_t count = left < PIECE ? left : PIECE;
        if (!is_last || count < left) count = whole_characters(bytes, count);
        if (count == 0) break;
        buffer_clear(&self->out);
        pack_map(&self->out, 2);
        pack_string(&self->out, "kind");
        pack_string(&self->out, "output");
        pack_string(&self->out, "text");
        pack_text(&self->out, bytes, count);
        send(&self->out);
        self->output_sent += count;
    }
    self->output_sent_us = now_us();
}

/// What a frame that arrives during a run holds.
typedef struct {
    bool is_reply;
    bool is_cancel;
    int64_t id;
    unpacker value;
    unpacker error;
} message;

static bool read_message(host *self, message *got) {
    *got = (message){.id = -1};
    unpacker in = {self->in.bytes, self->in.bytes + self->in.count};
    uint32_t count;
    if (!unpack_map(&in, &count)) return false;
    while (count-- > 0) {
        const char *name;
        size_t length;
        if (!unpack_bytes(&in, &name, &length)) return false;
        unpacker value = in;
        if (!unpack_skip(&in)) return false;
        value.end = in.at;
        const char *kind;
        size_t kind_length;
        if (length == 2 && memcmp(name, "id", 2) == 0) {
            if (!unpack_integer(&value, &got->id)) return false;
        } else if (length == 4 && memcmp(name, "kind", 4) == 0) {
            if (!unpack_bytes(&value, &kind, &kind_length)) return false;
            got->is_reply = kind_length == 5 && memcmp(kind, "reply", 5) == 0;
            got->is_cancel = kind_length == 6 && memcmp(kind, "cancel", 6) == 0;
        } else if (length == 5 && memcmp(name, "value", 5) == 0) {
            got->value = value;
        } else if (length == 5 && memcmp(name, "error", 5) == 0) {
            got->error = value;
        }
    }
    return true;
}

/// Reads the next frame; one that cannot be read ends the worker, as a supervisor that has gone does.
static message receive(host *self) {
    message got;
    if (!channel_read(&self->in) || !read_message(self, &got)) _exit(1);
    if (got.is_cancel && got.id == self->run && self->box->stop == NULL) self->box->stop = "was interrupted";
    return got;
}

static void look(sandbox *box) {
    host *self = box->mode;
    bool has_output = self->output_sent < box->output.count;
    if (has_output && now_us() - self->output_sent_us > OUTPUT_DELAY_US) host_flush(self, false);
    if (channel_has_input()) receive(self);
}

void host_begin(host *self, sandbox *box, int64_t run) {
    self->box = box;
    self->run = run;
    self->output_sent = 0;
    self->is_silent = false;
    self->output_sent_us = now_us();
    self->out.limit = self->in.limit = FRAME_LIMIT;
    box->mode = self;
    box->look = look;
}

static int error_text(lua_State *L) {
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_pushliteral(L, "message");
        if (lua_rawget(L, 1) == LUA_TSTRING) return 1;
    }
    lua_pushliteral(L, "the host refused");
    return 1;
}

/// Raises the host's refusal as a table with code, message and hint that can be printed.
static int raise_refusal(lua_State *L, unpacker *error) {
    import_value(L, error);
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_createtable(L, 0, 3);
        lua_pushcfunction(L, error_text);
        lua_setfield(L, -2, "__tostring");
        lua_pushliteral(L, "error");
        lua_setfield(L, -2, "__name");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_setmetatable(L, -2);
    }
    return lua_error(L);
}

static void pack_call(host *self, lua_State *L, const char *name, int count) {
    buffer_clear(&self->out);
    pack_map(&self->out, 4);
    pack_string(&self->out, "kind");
    pack_string(&self->out, "call");
    pack_string(&self->out, "id");
    pack_integer(&self->out, ++self->call);
    pack_string(&self->out, "name");
    pack_string(&self->out, name);
    pack_string(&self->out, "arguments");
    pack_array(&self->out, (uint32_t)count);
    exporter packing = {.out = &self->out, .nodes_most = ARGUMENT_NODES, .refuses_types = true};
    for (int i = 1; i <= count; i++) {
        const char *entry = strcmp(name, "help") != 0 ? NULL : lua_istable(L, i) ? host_space_name(L, i) : host_name(L, i);
        if (entry != NULL) {
            pack_text(&self->out, entry, strlen(entry));
            continue;
        }
        const char *failure = export_value(&packing, L, i);
        if (failure != NULL) luaL_error(L, "%s: argument %d: %s", name, i, failure);
    }
}

/// A function of the host. Upvalue: its name.
///
/// It waits where it stands: the worker has nothing else to do meanwhile, and so it works also where no yield can cross, as
/// in a comparison of sort, a callback of gsub or a metamethod.
static int call_host(lua_State *L) {
    host *self = host_of(L);
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    int count = lua_gettop(L);
    if (++self->box->calls > self->box->limits.calls) {
        self->box->stop = "called the host too often";
        return sandbox_stop_now(L);
    }
    host_flush(self, false);
    pack_call(self, L, name, count);
    send(&self->out);
    message got;
    do {
        got = receive(self);
        if (self->box->stop != NULL) return sandbox_stop_now(L);
    } while (!got.is_reply || got.id != self->call);
    if (got.error.at != NULL) return raise_refusal(L, &got.error);
    lua_settop(L, 0);
    if (got.value.at == NULL) lua_pushnil(L);
    else import_value(L, &got.value);
    int stopped = sandbox_stop_if_due(L);
    return stopped >= 0 ? stopped : 1;
}

const char *host_name(lua_State *L, int index) {
    if (lua_tocfunction(L, index) != call_host || lua_getupvalue(L, index, 1) == NULL) return NULL;
    // The function holds the name on.
    const char *name = lua_tostring(L, -1);
    lua_pop(L, 1);
    return name;
}

/// The key, by its address, in the metatable of a table of functions under which its name lies; no script can make one.
static const char space_key = 0;

const char *host_space_name(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return NULL;
    lua_rawgetp(L, -1, &space_key);
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 2);
    return name;
}

/// Pushes the table under a name in the table on top, made where there is none. A function there moves into it.
static void push_space(lua_State *L, const char *name, size_t length) {
    lua_pushlstring(L, name, length);
    int type = lua_rawget(L, -2);
    if (type == LUA_TTABLE) return;
    lua_newtable(L);
    lua_insert(L, -2);
    // stack: space, new space, function or nil
    lua_pushlstring(L, own_function, sizeof own_function - 1);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pushlstring(L, name, length);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
}

/// stack: functions
static void put_function(lua_State *L, const char *name, size_t length) {
    int top = lua_gettop(L);
    const char *part = name, *end = name + length, *dot;
    lua_pushvalue(L, top);
    while ((dot = memchr(part, '.', (size_t)(end - part))) != NULL) {
        push_space(L, part, (size_t)(dot - part));
        part = dot + 1;
    }
    lua_pushlstring(L, part, (size_t)(end - part));
    if (lua_rawget(L, -2) == LUA_TTABLE) lua_pushlstring(L, own_function, sizeof own_function - 1);
    else lua_pop(L, 1), lua_pushlstring(L, part, (size_t)(end - part));
    lua_pushlstring(L, name, length);
    lua_pushcclosure(L, call_host, 1);
    lua_rawset(L, -3);
    lua_settop(L, top);
}

/// Calls what a space of functions stands for itself. Upvalue: the function. Arguments: the space, the caller's.
static int call_own(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_replace(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/// Replaces the table on top, and all in it, by read-only ones.
static void seal(lua_State *L) {
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_type(L, -1) != LUA_TTABLE) {
            lua_pop(L, 1);
            continue;
        }
        seal(L);
        // stack: …, table, name, sealed
        if (lua_getmetatable(L, -1)) {
            lua_pushvalue(L, -3);
            lua_rawsetp(L, -2, &space_key);
            lua_pop(L, 1);
        }
        // Giving a new value to a present name is allowed while passing over a table.
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_pushlstring(L, own_function, sizeof own_function - 1);
    lua_rawget(L, -2);
    lua_insert(L, -2);
    lua_pushlstring(L, own_function, sizeof own_function - 1);
    lua_pushnil(L);
    lua_rawset(L, -3);
    libraries_make_read_only(L);
    // stack: …, own function or nil, sealed
    if (!lua_isnil(L, -2) && lua_getmetatable(L, -1)) {
        lua_pushvalue(L, -3);
        lua_pushcclosure(L, call_own, 1);
        lua_setfield(L, -2, "__call");
        lua_pop(L, 1);
    }
    lua_remove(L, -2);
}

void host_push_functions(lua_State *L, unpacker names) {
    uint32_t count = 0;
    lua_newtable(L);
    if (names.at != NULL && !unpack_array(&names, &count)) luaL_error(L, "the host's functions cannot be read");
    while (count-- > 0) {
        const char *name;
        size_t length;
        if (!unpack_bytes(&names, &name, &length)) luaL_error(L, "the host's functions cannot be read");
        put_function(L, name, length);
    }
    seal(L);
}

/// The text named `scripts/NAME.lua`, or nil.
static const request_source *source_named(const host *self, const char *name) {
    for (int i = 0; i < self->source_count; i++) {
        const char *at = self->sources[i].name;
        size_t length = strlen(name);
        if (strncmp(at, "scripts/", 8) == 0 && strncmp(at + 8, name, length) == 0 && strcmp(at + 8 + length, ".lua") == 0)
            return &self->sources[i];
    }
    return NULL;
}

/// Pushes the table of values that `use` has given.
static void push_used(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &used_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &used_key);
}

int host_use(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    push_used(L);
    const request_source *source = source_named(host_of(L), name);
    if (source == NULL) return luaL_error(L, "use: there is no \"%s\" in the instance's folder scripts", name);
    // stack: name, used. A text that is being run has the value false.
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) return luaL_error(L, "use: \"%s\" uses itself", name);
    if (!lua_isnil(L, -1)) return 1;
    lua_pop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 0);
    lua_rawset(L, 2);
    lua_pushfstring(L, "@%s", source->name);
    int status = luaL_loadbufferx(L, source->text, source->count, lua_tostring(L, -1), "t");
    if (status == LUA_OK) status = lua_pcall(L, 0, 1, 0);
    if (status != LUA_OK) {
        lua_pushvalue(L, 1);
        lua_pushnil(L);
        lua_rawset(L, 2);
        return lua_error(L);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}
