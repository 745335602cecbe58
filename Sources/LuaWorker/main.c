// keyturn-lua: Lua states behind frames.
//
// Started by Keyturn alone, with a socket on descriptor 3 and nothing else. It reads one request and takes every right
// from itself that computing does not need. Requests are maps:
//
//   {kind="probe"}                                              see probe.h
//   {kind="configure", sources={name, text, …}, limits}         see configure.h
//   {kind="session", sources, functions={name, …}, limits}      see session.h; the others are answered once
//
// where limits are {memory_bytes, instructions, cpu_ms, wall_ms, output_bytes, calls}. Failures are
// `{ok=false, error={kind, message, file, line}}`, where kind is one of syntax, runtime, memory, limit (of the script) and
// request, confinement (of the worker). No key material is ever sent here.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "configure.h"
#include "confine.h"
#include "probe.h"
#include "request.h"
#include "session.h"

/// How long after its own limit a script may still be stuck in a C function of Lua.
enum { GRACE_MS = 250 };

static bool confine(const sandbox_limits *limits) {
    if (confine_limits(limits->memory_bytes, limits->cpu_ms) && confine_system_calls()) return true;
    channel_write_error("confinement", "the kernel does not let the worker confine itself", "", 0);
    return false;
}

static int run_probe(const request *asked) {
    probe_results free = probe_run();
    if (!confine(&asked->limits)) return 1;
    probe_results confined = probe_run();
    probe_answer(&free, &confined);
    return 0;
}

static int run_configure(const request *asked) {
    if (!confine(&asked->limits)) return 1;
    channel_arm_deadline(asked->limits.cpu_ms + GRACE_MS, "the script took too much processor time");
    configure(asked);
    return 0;
}

static int run_session(const request *asked) {
    if (!confine(&asked->limits)) return 1;
    session_serve(asked);
    return 0;
}

int main(void) {
    confine_start();
    buffer frame = buffer_make(FRAME_LIMIT);
    if (!channel_read(&frame)) {
        static const char refusal[] = "keyturn-lua is started by keyturn; it has no use of its own\n";
        fputs(refusal, stderr);
        return 64;
    }
    request *asked = malloc(sizeof *asked);
    if (asked == NULL || !request_read(&frame, asked)) {
        channel_write_error("request", "the request cannot be read", "", 0);
        return 1;
    }
    if (strcmp(asked->kind, "probe") == 0) return run_probe(asked);
    if (strcmp(asked->kind, "configure") == 0) return run_configure(asked);
    if (strcmp(asked->kind, "session") == 0) return run_session(asked);
    channel_write_error("request", "the request has no known kind", "", 0);
    return 1;
}
