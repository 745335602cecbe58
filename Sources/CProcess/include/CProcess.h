#ifndef CPROCESS_H
#define CPROCESS_H

#include "CEvents.h"
#include "CSocket.h"

#include <spawn.h>

/// What Swift cannot call itself: C functions with a variable number of arguments.

/// Forbids core dumps of this process and tracing by other processes of the same user.
/// Returns 0, or -1 with errno set.
int kt_process_forbid_dumps(void);

/// Makes a pipe whose ends no program that is started inherits. Returns 0, or -1 with errno set.
int kt_process_pipe(int ends[2]);

/// Has a program begin in a folder: adds that to what posix_spawn does first. Returns 0 or the number of an error.
int kt_process_begin_in(posix_spawn_file_actions_t *actions, const char *folder);

#endif
