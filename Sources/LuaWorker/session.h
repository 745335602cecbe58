// The mode that serves a session: one Lua state whose variables persist from run to run.
#ifndef KEYTURN_SESSION_H
#define KEYTURN_SESSION_H

#include "request.h"

/// The status with which a worker ends that used up its processor time where no hook could fire.
enum { EXIT_PROCESSOR_TIME = 75 };

/// Serves frames until the supervisor closes the channel. From it come
///
///   {kind="run", id, sources={name, text}, is_interactive, arguments, limits}
///   {kind="evaluate", id, sources, word="hook"|"schedule", name, function, index, argument, limits}
///   {kind="reply", id, value} or {kind="reply", id, error={code, message, hint}}    to a call, during a run
///   {kind="cancel", id}                                                             during the run of that number
///
/// and to it go, during a run, `{kind="output", text}` and `{kind="call", id, name, arguments}`, and at its end
///
///   {kind="done", id, ok=true, values, incomplete, output_was_cut, cpu_ms, memory_bytes}
///   {kind="done", id, ok=false, error={kind, message, file, line, code, hint, traceback}, …}
///
/// A run without an opened session (`asked` is the request that opened it) works on the session's state; an evaluation makes
/// a state of its own from its texts, so that no call leaves anything behind for the next.
void session_serve(const request *asked);

#endif
