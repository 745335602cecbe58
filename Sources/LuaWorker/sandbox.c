#include "sandbox.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libraries.h"

/// Instructions between two looks at the limits; a larger number would not be faster.
enum { HOOK_STEP = 1000 };

_Static_assert(LUA_EXTRASPACE >= sizeof(sandbox *), "the pointer to the sandbox stands in the extra space");

static void *allocate(void *owner, void *block, size_t old_size, size_t new_size) {
    sandbox *self = owner;
    // Without a block the old size is the type of what is made.
    int64_t old = block == NULL ? 0 : (int64_t)old_size;
    if (new_size == 0) {
        free(block);
        self->memory_used -= old;
        return NULL;
    }
    int64_t growth = (int64_t)new_size - old;
    if (growth > 0 && self->memory_is_limited && self->memory_used + growth > self->limits.memory_bytes) return NULL;
    void *moved = realloc(block, new_size);
    if (moved == NULL) return growth <= 0 ? block : NULL;
    self->memory_used += growth;
    return moved;
}

static int64_t now_us(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) return 0;
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int64_t now_ms(clockid_t clock) {
    return now_us(clock) / 1000;
}

int64_t sandbox_cpu_ms(const sandbox *self) {
    return now_ms(CLOCK_PROCESS_CPUTIME_ID) - self->cpu_start_ms;
}

/// Cheap until a millisecond has passed since the last look.
static void look_at_limits(sandbox *self) {
    if (self->stop != NULL) return;
    if (self->instructions > self->limits.instructions) self->stop = "took too many instructions";
    int64_t now = now_us(CLOCK_MONOTONIC);
    if (self->stop != NULL || now < self->next_look_us) return;
    self->next_look_us = now + 1000;
    if (sandbox_cpu_ms(self) > self->limits.cpu_ms) self->stop = "took too much processor time";
    else if (now / 1000 - self->wall_start_ms > self->limits.wall_ms) self->stop = "took too long";
    else if (self->look != NULL) self->look(self);
}

static void on_count(lua_State *L, lua_Debug *activation) {
    (void)activation;
    sandbox *self = sandbox_of(L);
    self->instructions += HOOK_STEP;
    look_at_limits(self);
    if (self->stop == NULL) return;
    // From now on every instruction raises, so that a loop round pcall unwinds too.
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    if (lua_isyieldable(L)) lua_yield(L, 0);
    else luaL_error(L, "the script %s", self->stop);
}

sandbox *sandbox_of(lua_State *L) {
    sandbox *self;
    memcpy(&self, lua_getextraspace(L), sizeof self);
    return self;
}

int sandbox_stop_now(lua_State *L) {
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    if (lua_isyieldable(L)) return lua_yield(L, 0);
    return luaL_error(L, "the script %s", sandbox_of(L)->stop);
}

int sandbox_stop_if_due(lua_State *L) {
    sandbox *self = sandbox_of(L);
    look_at_limits(self);
    return self->stop == NULL ? -1 : sandbox_stop_now(L);
}

void sandbox_watch(sandbox *self, lua_State *thread) {
    lua_sethook(thread, on_count, LUA_MASKCOUNT, self->stop == NULL ? HOOK_STEP : 1);
}

static int open_libraries(lua_State *L) {
    libraries_open(L, lua_toboolean(L, 1));
    return 0;
}

bool sandbox_open(sandbox *self, sandbox_limits limits, bool is_pure) {
    memset(self, 0, sizeof *self);
    self->limits = limits;
    self->output = buffer_make((size_t)limits.output_bytes);
    self->state = lua_newstate(allocate, self);
    if (self->state == NULL) return false;
    memcpy(lua_getextraspace(self->state), &self, sizeof self);
    lua_pushcfunction(self->state, open_libraries);
    lua_pushboolean(self->state, is_pure);
    if (lua_pcall(self->state, 1, 0, 0) != LUA_OK) return false;
    self->memory_is_limited = true;
    sandbox_begin(self, limits);
    return true;
}

void sandbox_close(sandbox *self) {
    if (self->state != NULL) lua_close(self->state);
    self->state = NULL;
    buffer_free(&self->output);
}

void sandbox_begin(sandbox *self, sandbox_limits limits) {
    limits.memory_bytes = self->limits.memory_bytes;
    limits.output_bytes = self->limits.output_bytes;
    self->limits = limits;
    self->instructions = 0;
    self->calls = 0;
    self->coroutine_depth = 0;
    self->stop = NULL;
    self->next_look_us = 0;
    buffer_clear(&self->output);
    self->output_was_cut = false;
    self->cpu_start_ms = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    self->wall_start_ms = now_ms(CLOCK_MONOTONIC);
    sandbox_watch(self, self->state);
}

void sandbox_print(sandbox *self, const char *text, size_t count) {
    if (self->output_was_cut) return;
    size_t room = self->output.limit - self->output.count;
    if (count > room) {
        self->output_was_cut = true;
        count = room;
    }
    buffer_append(&self->output, text, count);
}

int sandbox_line(lua_State *L) {
    lua_Debug activation;
    for (int level = 0; lua_getstack(L, level, &activation) != 0; level++) {
        if (lua_getinfo(L, "l", &activation) != 0 && activation.currentline > 0) return activation.currentline;
    }
    return 0;
}

/// Cuts `NAME:LINE: ` from the front of a message and keeps the line.
static const char *without_place(const char *message, const char *chunk_name, int *line) {
    size_t length = strlen(chunk_name);
    if (strncmp(message, chunk_name, length) != 0 || message[length] != ':') return message;
    char *end;
    long number = strtol(message + length + 1, &end, 10);
    if (end == message + length + 1 || strncmp(end, ": ", 2) != 0) return message;
    *line = (int)number;
    return end + 2;
}

static void describe_failure(lua_State *L, int status, const char *chunk_name, sandbox_outcome *outcome) {
    outcome->kind = status == LUA_ERRSYNTAX ? "syntax" : "runtime";
    outcome->line = sandbox_line(L);
    const char *message = "it raised a value that is no text";
    char written[64];
    if (lua_type(L, -1) == LUA_TSTRING) message = without_place(lua_tostring(L, -1), chunk_name, &outcome->line);
    else if (lua_type(L, -1) == LUA_TTABLE) message = "it raised a table instead of a text";
    else if (lua_isinteger(L, -1)) {
        snprintf(written, sizeof written, "%lld", (long long)lua_tointeger(L, -1));
        message = written;
    }
    snprintf(outcome->message, sizeof outcome->message, "%s", message);
}

static void describe_memory(const sandbox *self, sandbox_outcome *outcome) {
    outcome->kind = "memory";
    snprintf(outcome->message, sizeof outcome->message, "the script needs more than %lld KiB of memory",
             (long long)(self->limits.memory_bytes >> 10));
}

void sandbox_describe(const sandbox *self, lua_State *L, int status, const char *chunk_name,
                      sandbox_outcome *outcome) {
    outcome->kind = NULL;
    outcome->line = 0;
    if (self->stop != NULL) {
        outcome->kind = "limit";
        outcome->line = sandbox_line(L);
        snprintf(outcome->message, sizeof outcome->message, "the script %s", self->stop);
        return;
    }
    if (status == LUA_OK) return;
    if (status == LUA_YIELD) {
        outcome->kind = "runtime";
        outcome->line = sandbox_line(L);
        snprintf(outcome->message, sizeof outcome->message, "attempt to yield from outside a coroutine");
        return;
    }
    describe_failure(L, status, chunk_name, outcome);
    if (status == LUA_ERRMEM || strcmp(outcome->message, "not enough memory") == 0) describe_memory(self, outcome);
}

/// Makes the coroutine and loads the text into it. Arguments: the text, its length, its name.
static int prepare(lua_State *L) {
    const char *source = lua_touserdata(L, 1);
    size_t count = (size_t)lua_tointeger(L, 2);
    lua_State *coroutine = lua_newthread(L);
    lua_pushfstring(L, "@%s", (const char *)lua_touserdata(L, 3));
    int status = luaL_loadbufferx(coroutine, source, count, lua_tostring(L, -1), "t");
    lua_pop(L, 1);
    lua_pushinteger(L, status);
    return 2;
}

lua_State *sandbox_load(sandbox *self, const char *source, size_t count, const char *chunk_name, int *status) {
    lua_State *L = self->state;
    lua_pushcfunction(L, prepare);
    lua_pushlightuserdata(L, (void *)source);
    lua_pushinteger(L, (lua_Integer)count);
    lua_pushlightuserdata(L, (void *)chunk_name);
    *status = lua_pcall(L, 3, 2, 0);
    if (*status != LUA_OK) return NULL;
    // stack: coroutine, status of loading
    *status = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return lua_tothread(L, -1);
}

void sandbox_run(sandbox *self, const char *source, size_t count, const char *chunk_name, sandbox_outcome *outcome) {
    int status, results;
    lua_State *coroutine = sandbox_load(self, source, count, chunk_name, &status);
    if (coroutine != NULL && status == LUA_OK) status = lua_resume(coroutine, self->state, 0, &results);
    sandbox_describe(self, coroutine != NULL ? coroutine : self->state, status, chunk_name, outcome);
}
