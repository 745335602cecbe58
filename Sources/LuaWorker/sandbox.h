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
} sandbox_limits;

typedef struct {
    lua_State *state;
    sandbox_limits limits;
    int64_t memory_used;
    bool memory_is_limited;
    int64_t instructions;
    int64_t cpu_start_ms;
    int64_t wall_start_ms;
    /// Why the script must not go on; NULL while it may. Once set it stays.
    const char *stop;
    /// Nested calls of coroutine.resume, wrap and close.
    int coroutine_depth;
    /// What the script printed.
    buffer output;
    bool output_was_cut;
    /// What the mode of the worker keeps with the sandbox.
    void *mode;
} sandbox;

/// Makes a state with the allowed libraries; false where there is no memory for it. The sandbox must not move.
bool sandbox_open(sandbox *self, sandbox_limits limits);

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

/// Runs a text to its end, in a coroutine of its own that is abandoned when a limit is reached.
void sandbox_run(sandbox *self, const char *source, size_t count, const char *chunk_name, sandbox_outcome *outcome);

/// Ends the script where a limit has been reached: yields out of it, or raises where it cannot yield.
///
/// Returns what a C function of Lua returns where the script was stopped, and -1 where it may go on.
int sandbox_stop_if_due(lua_State *L);

#endif
