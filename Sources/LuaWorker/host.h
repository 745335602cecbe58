// The host's functions as a script sees them, and the exchange with the supervisor while it runs.
#ifndef KEYTURN_HOST_H
#define KEYTURN_HOST_H

#include "request.h"

/// The run in hand and its frames; `mode` of a sandbox whose script may call the host, or print to it.
typedef struct {
    sandbox *box;
    /// The number of the run, by which a request to end it is recognised.
    int64_t run;
    /// The number of the last call to the host.
    int64_t call;
    /// How much of the output has been handed on, and when something was last.
    size_t output_sent;
    int64_t output_sent_us;
    /// Whether what is printed stays here.
    bool is_silent;
    buffer out;
    buffer in;
    /// Texts that `use` finds: those named `scripts/NAME.lua`.
    const request_source *sources;
    int source_count;
    /// What the words of a configuration keep; see declare.h.
    void *declared;
} host;

/// Begins to serve a run of a sandbox; the output of the one before is forgotten.
void host_begin(host *self, sandbox *box, int64_t run);

/// Hands on what was printed; all of it, or as far as whole characters go.
void host_flush(host *self, bool is_last);

/// Pushes a table of the host's functions: for `keyrings.list` a table `keyrings` with a function `list`.
///
/// All tables in it are read-only. A name that is a prefix of others can be called, too.
void host_push_functions(lua_State *L, unpacker names);

/// The name of a function of the host; NULL for anything else.
const char *host_name(lua_State *L, int index);

/// The name of a table of the host's functions; NULL for anything else. Leaves nothing on the stack and calls nothing.
const char *host_space_name(lua_State *L, int index);

/// The function `use`: gives the value of a text of the instance, run once.
int host_use(lua_State *L);

/// The host of the sandbox to which a thread belongs.
host *host_of(lua_State *L);

#endif
