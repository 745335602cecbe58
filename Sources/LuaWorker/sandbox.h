// One Lua state with bounded memory, time and output, and no library that reaches outside.
#ifndef KEYTURN_SANDBOX_H
#define KEYTURN_SANDBOX_H

#include <lua.h>

#include "buffer.h"

typedef struct {
    int64_t memory_bytes;
    int64_t instructions;
    int64_t cpu_ms;
    int64_t wall_ms;
    int64_t output_bytes;
    /// Calls to the host.
    int64_t calls;
} sandbox_limits;

typedef struct sandbox {
    lua_State *state;
    sandbox_limits limits;
    int64_t memory_used;
    bool memory_is_limited;
    int64_t instructions;
    int64_t cpu_start_ms;
    int64_t wall_start_ms;
    int64_t next_look_us;
    /// Why the script must not go on; NULL while it may. Once set it stays until the next run.
    const char *stop;
    /// Called about once a millisecond while a script runs; may set `stop`. NULL where nothing has to be done.
    void (*look)(struct sandbox *self);
    /// Coroutines made since they were last counted, and those that lived then.
    int coroutines;
    /// The calls to the host that this run has made.
    int64_t calls;
    /// Nested calls of coroutine.resume, wrap and close.
    int coroutine_depth;
    /// What the script printed.
    buffer output;
    bool output_was_cut;
    /// What the mode of the worker keeps with the sandbox.
    void *mode;
} sandbox;

/// Makes a state with the allowed libraries; false where there is no memory for it. The sandbox must not move.
///
/// A pure sandbox has nothing by which the same text could do different things twice: no random numbers, no `load`.
bool sandbox_open(sandbox *self, sandbox_limits limits, bool is_pure);

/// Frees the state; for a sandbox whose script was not stopped.
void sandbox_close(sandbox *self);

/// Begins a run: limits count anew, what was printed is forgotten. The bound on memory stays that of the sandbox.
void sandbox_begin(sandbox *self, sandbox_limits limits);

/// Sets the hook that looks at the limits on a thread, whatever hook it had.
void sandbox_watch(sandbox *self, lua_State *thread);

/// Pushes a coroutine that is to run a text; never raises.
///
/// Where the text is no Lua the error lies on the coroutine's stack. Without memory for a coroutine it is NULL, and the error
/// is what was pushed.
lua_State *sandbox_load(sandbox *self, const char *source, size_t count, const char *chunk_name, int *status);

/// Keeps output to its limit; what is beyond it is dropped, and `output_was_cut` says so.
void sandbox_print(sandbox *self, const char *text, size_t count);

/// The milliseconds of processor time that the run has used.
int64_t sandbox_cpu_ms(const sandbox *self);

/// The sandbox to which a thread of Lua belongs.
sandbox *sandbox_of(lua_State *L);

/// Why a script ended.
typedef struct {
    /// NULL where it ran to its end; else "syntax", "runtime", "memory" or "limit".
    const char *kind;
    /// At most so many bytes; one line.
    char message[1024];
    /// The line of the script, 0 where unknown.
    int line;
} sandbox_outcome;

/// Says why a thread ended; `kind` is NULL where it ended well.
void sandbox_describe(const sandbox *self, lua_State *thread, int status, const char *chunk_name,
                      sandbox_outcome *outcome);

/// Begins a run of a text and runs it to its end, in a coroutine of its own that is abandoned when a limit is reached.
void sandbox_run(sandbox *self, const char *source, size_t count, const char *chunk_name, sandbox_outcome *outcome);

/// The line that a thread is running, or the nearest one below it on the stack; 0 where unknown.
int sandbox_line(lua_State *L);

/// Ends the script, whose `stop` is set. Returns what a C function of Lua returns.
int sandbox_stop_now(lua_State *L);

/// Ends the script where a limit has been reached: yields out of it, or raises where it cannot yield.
///
/// Returns what a C function of Lua returns where the script was stopped, and -1 where it may go on.
int sandbox_stop_if_due(lua_State *L);

#endif
