#ifndef CPROCESS_H
#define CPROCESS_H

#include "CEvents.h"
#include "CSocket.h"

#include <spawn.h>
#include <stdint.h>
#include <sys/types.h>

/// What Swift cannot call itself, or not in every build: variable arguments, GNU's own functions, clocks.

/// Forbids core dumps of this process and tracing by other processes of the same user.
/// Returns 0, or -1 with errno set.
int kt_process_forbid_dumps(void);

/// Makes a pipe whose ends no program that is started inherits. Returns 0, or -1 with errno set.
int kt_process_pipe(int ends[2]);

/// Has a program begin in a folder: adds that to what posix_spawn does first. Returns 0 or the number of an error.
int kt_process_begin_in(posix_spawn_file_actions_t *actions, const char *folder);

/// The processor time that a process has used since it began, in nanoseconds; 0 where it cannot be asked.
int64_t kt_process_nanoseconds(pid_t process);

/// The system's monotonic clock in nanoseconds.
int64_t kt_monotonic_nanoseconds(void);

#endif
