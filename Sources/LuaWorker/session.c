#include "session.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "declare.h"
#include "export.h"
#include "host.h"
#include "import.h"
#include "inspect.h"
#include "libraries.h"

enum {
    /// How long after its limit a script may still be stuck in a C function of Lua.
    GRACE_MS = 150,
    TRACEBACK_MOST = 4096,
    HINT_ROOM = 512,
    CODE_ROOM = 64,
    RESULT_NODES = 50000,
};

/// A function that is to be run and what came of it.
typedef struct {
    host *host;
    sandbox *box;
    const request *asked;
    lua_State *thread;
    int status;
    int results;
    /// Whether the values must be data; otherwise they are shown as well as they can be.
    bool wants_data;
    bool is_incomplete;
    const char *file;
    sandbox_outcome outcome;
    char code[CODE_ROOM];
    char hint[HINT_ROOM];
    buffer answer;
} attempt;

// What a table that was raised says of itself.

/// Copies a text from the table on top of the stack; leaves `to` as it is where there is none.
static void copy_field(lua_State *L, const char *name, char *to, size_t room) {
    size_t length;
    lua_pushstring(L, name);
    if (lua_rawget(L, -2) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &length);
        if (length > room - 1) length = room - 1;
        memcpy(to, text, length);
        to[length] = 0;
    }
    lua_pop(L, 1);
}

/// stack of the thread: …, the error
static void describe_raised(attempt *self) {
    lua_State *L = self->thread;
    if (L == NULL || self->outcome.kind == NULL || strcmp(self->outcome.kind, "runtime") != 0) return;
    if (self->status == LUA_YIELD || lua_type(L, -1) != LUA_TTABLE || !lua_checkstack(L, 4)) return;
    copy_field(L, "message", self->outcome.message, sizeof self->outcome.message);
    copy_field(L, "code", self->code, sizeof self->code);
    copy_field(L, "hint", self->hint, sizeof self->hint);
}

// The answer. All of it is made in protected calls, since texts of Lua are made on the way.

static void pack_values(attempt *self, lua_State *L) {
    lua_State *from = self->thread;
    int first = lua_gettop(from) - self->results + 1;
    pack_array(&self->answer, (uint32_t)self->results);
    inspector shown = inspector_make(&self->answer);
    exporter packing = {.out = &self->answer, .nodes_most = RESULT_NODES, .refuses_types = true};
    for (int i = 0; i < self->results; i++) {
        lua_pushvalue(from, first + i);
        lua_xmove(from, L, 1);
        const char *failure = NULL;
        if (self->wants_data) failure = export_value(&packing, L, lua_gettop(L));
        else inspect_value(&shown, L, lua_gettop(L));
        if (failure != NULL) luaL_error(L, "what the function gives back: %s", failure);
        lua_pop(L, 1);
    }
}

static void pack_counts(attempt *self) {
    buffer *out = &self->answer;
    pack_string(out, "output_was_cut");
    pack_bool(out, self->box->output_was_cut);
    pack_string(out, "cpu_ms");
    pack_integer(out, sandbox_cpu_ms(self->box));
    pack_string(out, "memory_bytes");
    pack_integer(out, self->box->memory_used);
}

static void pack_head(attempt *self, bool is_ok, uint32_t count) {
    buffer *out = &self->answer;
    buffer_clear(out);
    pack_map(out, count);
    pack_string(out, "kind");
    pack_string(out, "done");
    pack_string(out, "id");
    pack_integer(out, self->asked->id);
    pack_string(out, "ok");
    pack_bool(out, is_ok);
}

/// Remembers the first result of an interactive run as `_`.
static void keep_last(const attempt *self, lua_State *L) {
    if (!self->asked->is_interactive || self->results == 0) return;
    lua_pushvalue(self->thread, lua_gettop(self->thread) - self->results + 1);
    lua_xmove(self->thread, L, 1);
    lua_setglobal(L, "_");
}

static int pack_success(lua_State *L) {
    attempt *self = lua_touserdata(L, 1);
    keep_last(self, L);
    pack_head(self, true, 8);
    pack_string(&self->answer, "incomplete");
    pack_bool(&self->answer, self->is_incomplete);
    pack_counts(self);
    pack_string(&self->answer, "values");
    pack_values(self, L);
    if (self->answer.refused) luaL_error(L, "the result is larger than 16 MiB");
    return 0;
}

static int push_traceback(lua_State *L) {
    attempt *self = lua_touserdata(L, 1);
    luaL_traceback(L, self->thread, NULL, 0);
    return 1;
}

static void pack_field(buffer *out, const char *name, const char *text) {
    pack_string(out, name);
    pack_string(out, text);
}

static void pack_failure(attempt *self, const char *traceback) {
    buffer *out = &self->answer;
    const sandbox_outcome *outcome = &self->outcome;
    pack_head(self, false, 7);
    pack_counts(self);
    pack_string(out, "error");
    pack_map(out, 7);
    pack_field(out, "kind", outcome->kind);
    pack_field(out, "message", outcome->message);
    pack_field(out, "file", self->file);
    pack_field(out, "code", self->code);
    pack_field(out, "hint", self->hint);
    pack_string(out, "traceback");
    size_t length = strlen(traceback);
    pack_text(out, traceback, length < TRACEBACK_MOST ? length : TRACEBACK_MOST);
    pack_string(out, "line");
    pack_integer(out, outcome->line);
}

/// Fails with a message of our own, made after the script had ended.
static void fail(attempt *self, const char *kind, const char *message) {
    self->outcome.kind = kind;
    self->outcome.line = 0;
    size_t length = strlen(message);
    if (length > sizeof self->outcome.message - 1) length = sizeof self->outcome.message - 1;
    memcpy(self->outcome.message, message, length);
    self->outcome.message[length] = 0;
}

static void answer_failure(attempt *self) {
    lua_State *L = self->box->state;
    const char *traceback = "";
    bool has_stack = self->thread != NULL && self->outcome.kind != NULL && strcmp(self->outcome.kind, "runtime") == 0;
    if (has_stack) {
        lua_pushcfunction(L, push_traceback);
        lua_pushlightuserdata(L, self);
        if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING) traceback = lua_tostring(L, -1);
    }
    pack_failure(self, traceback);
}

static void answer(attempt *self) {
    lua_State *L = self->box->state;
    if (self->outcome.kind == NULL) {
        // What is packed is not the script's any more.
        lua_sethook(L, NULL, 0, 0);
        lua_pushcfunction(L, pack_success);
        lua_pushlightuserdata(L, self);
        int status = lua_pcall(L, 1, 0, 0);
        if (status == LUA_ERRMEM) fail(self, "memory", "there is no memory left for the result");
        else if (status != LUA_OK)
            fail(self, "runtime", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "the result cannot be read");
    }
    if (self->outcome.kind != NULL) {
        describe_raised(self);
        answer_failure(self);
    }
    host_flush(self->host, true);
    if (!channel_write(&self->answer)) _exit(1);
}

// Runs.

static void begin_clock(const sandbox_limits *limits) {
    channel_arm_exit(limits->cpu_ms + GRACE_MS, EXIT_PROCESSOR_TIME);
    channel_watch_peer(true);
}

static void end_clock(void) {
    channel_disarm_deadline();
    channel_watch_peer(false);
}

static bool ends_with_end_of_text(lua_State *thread) {
    static const char mark[] = "<eof>";
    size_t length;
    const char *message = lua_tolstring(thread, -1, &length);
    return message != NULL && length >= sizeof mark - 1 && strcmp(message + length - (sizeof mark - 1), mark) == 0;
}

/// Loads an interactive text as an expression; NULL where it is none, also where it is the beginning of one.
static lua_State *load_expression(attempt *self, const request_source *source) {
    static const char before[] = "return ";
    buffer text = buffer_make(source->count + sizeof before);
    buffer_append(&text, before, sizeof before - 1);
    buffer_append(&text, source->text, source->count);
    int status = LUA_ERRMEM;
    lua_State *thread = NULL;
    if (!text.refused) thread = sandbox_load(self->box, (const char *)text.bytes, text.count, source->name, &status);
    buffer_free(&text);
    self->is_incomplete = thread != NULL && status == LUA_ERRSYNTAX && ends_with_end_of_text(thread);
    return status == LUA_OK ? thread : NULL;
}

static void load_text(attempt *self) {
    const request_source *source = &self->asked->sources[0];
    self->file = source->name;
    self->status = LUA_OK;
    if (self->asked->is_interactive) self->thread = load_expression(self, source);
    if (self->thread != NULL) return;
    lua_settop(self->box->state, 0);
    self->thread = sandbox_load(self->box, source->text, source->count, source->name, &self->status);
    if (self->thread == NULL || self->status != LUA_ERRSYNTAX) self->is_incomplete = false;
    else if (self->asked->is_interactive && ends_with_end_of_text(self->thread)) self->is_incomplete = true;
}

static int put_arguments(lua_State *L) {
    const attempt *self = lua_touserdata(L, 1);
    unpacker in = self->asked->arguments;
    if (in.at == NULL) return 0;
    import_value(L, &in);
    lua_setglobal(L, "arg");
    return 0;
}

static void resume(attempt *self, int arguments) {
    if (self->thread != NULL && self->status == LUA_OK) {
        sandbox_watch(self->box, self->thread);
        self->status = lua_resume(self->thread, self->box->state, arguments, &self->results);
    }
    end_clock();
    lua_State *told = self->thread != NULL ? self->thread : self->box->state;
    sandbox_describe(self->box, told, self->status, self->file, &self->outcome);
}

static void run(host *self, sandbox *box, const request *asked) {
    attempt attempt = {.host = self, .box = box, .asked = asked, .file = "", .answer = buffer_make(FRAME_LIMIT)};
    lua_State *L = box->state;
    sandbox_begin(box, asked->limits);
    host_begin(self, box, asked->id);
    begin_clock(&asked->limits);
    lua_pushcfunction(L, put_arguments);
    lua_pushlightuserdata(L, &attempt);
    attempt.status = lua_pcall(L, 1, 0, 0);
    lua_settop(L, 0);
    if (attempt.status == LUA_OK) load_text(&attempt);
    if (attempt.is_incomplete) {
        end_clock();
        attempt.results = 0;
    } else {
        resume(&attempt, 0);
    }
    answer(&attempt);
    buffer_free(&attempt.answer);
    lua_settop(L, 0);
    if (box->memory_used > box->limits.memory_bytes / 4) lua_gc(L, LUA_GCCOLLECT);
}

// Evaluations.

/// Whether what is asked for depends on its argument alone: what says when a schedule is due, but not what it does.
static bool wants_pure(const request *asked) {
    return strcmp(asked->word, "schedule") == 0 && strcmp(asked->function, "action") != 0;
}

/// Pushes the function that is asked for and its argument onto a new thread. Arguments: the attempt, the host's functions.
static int prepare_evaluation(lua_State *L) {
    attempt *self = lua_touserdata(L, 1);
    const request *asked = self->asked;
    if (!wants_pure(asked)) {
        host_push_functions(L, *(unpacker *)lua_touserdata(L, 2));
        declare_add_globals(L);
        lua_pushglobaltable(L);
        libraries_push_time(L);
        lua_setfield(L, -2, "time");
    }
    if (strcmp(asked->word, "hook") == 0) declare_push_hook(L, asked->name, asked->index);
    else declare_push_schedule(L, asked->name, asked->function);
    if (lua_type(L, -1) != LUA_TFUNCTION) return luaL_error(L, "there is no such function in the configuration");
    unpacker argument = asked->argument;
    if (argument.at == NULL) lua_pushnil(L);
    else import_value(L, &argument);
    self->thread = lua_newthread(L);
    lua_insert(L, -3);
    lua_xmove(L, self->thread, 2);
    return 1;
}

static void evaluate_in(attempt *self, unpacker functions) {
    lua_State *L = self->box->state;
    sandbox_begin(self->box, self->asked->limits);
    host_begin(self->host, self->box, self->asked->id);
    begin_clock(&self->asked->limits);
    lua_pushcfunction(L, prepare_evaluation);
    lua_pushlightuserdata(L, self);
    lua_pushlightuserdata(L, &functions);
    self->status = lua_pcall(L, 2, 1, 0);
    if (self->status != LUA_OK) self->thread = NULL;
    resume(self, 1);
}

/// How long a configuration may take to be read before a function of it is called.
static const sandbox_limits reading_limits = {
    .instructions = INT64_MAX / 4, .cpu_ms = 5000, .wall_ms = 10000, .calls = 1,
};

static void evaluate(host *self, unpacker functions, const request *asked) {
    sandbox box;
    declarations declared;
    attempt attempt = {
        .host = self, .box = &box, .asked = asked, .file = "", .answer = buffer_make(FRAME_LIMIT),
        .wants_data = wants_pure(asked),
    };
    request reading = *asked;
    reading.limits = reading_limits;
    reading.limits.memory_bytes = asked->limits.memory_bytes;
    reading.limits.output_bytes = asked->limits.output_bytes;
    begin_clock(&reading.limits);
    const char *file = declare_all(self, &box, &declared, &reading, &attempt.outcome);
    if (file == NULL) {
        evaluate_in(&attempt, functions);
    } else {
        end_clock();
        attempt.file = file;
    }
    answer(&attempt);
    // A state whose script was stopped is not trusted to be freed.
    bool was_stopped = box.stop != NULL;
    if (was_stopped) exit(0);
    sandbox_close(&box);
    buffer_free(&declared.scratch);
    buffer_free(&attempt.answer);
}

// The session.

/// Puts the host's functions, `use`, `time` and `secret.prompt` behind the globals. Argument: their names.
static int put_functions(lua_State *L) {
    unpacker names = *(unpacker *)lua_touserdata(L, 1);
    lua_pushglobaltable(L);
    lua_pushcfunction(L, host_use);
    lua_setfield(L, -2, "use");
    libraries_push_time(L);
    lua_setfield(L, -2, "time");
    lua_createtable(L, 0, 2);
    host_push_functions(L, names);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 0;
}

static bool open_session(sandbox *box, const request *asked) {
    if (!sandbox_open(box, asked->limits, false)) return false;
    unpacker names = asked->functions;
    lua_pushcfunction(box->state, put_functions);
    lua_pushlightuserdata(box->state, &names);
    return lua_pcall(box->state, 1, 0, 0) == LUA_OK;
}

void session_serve(const request *asked) {
    sandbox box;
    bool is_open = false;
    host self = {.run = 0};
    buffer frame = buffer_make(FRAME_LIMIT);
    request *next = malloc(sizeof *next);
    while (next != NULL && channel_read(&frame)) {
        if (!request_read(&frame, next)) return;
        bool is_run = strcmp(next->kind, "run") == 0;
        if (is_run && !is_open) is_open = open_session(&box, asked);
        if (is_run && (!is_open || next->source_count != 1)) return;
        self.sources = asked->sources;
        self.source_count = asked->source_count;
        if (is_run) run(&self, &box, next);
        else if (strcmp(next->kind, "evaluate") == 0) evaluate(&self, asked->functions, next);
        // Others are replies and cancellations that came too late.
    }
}
