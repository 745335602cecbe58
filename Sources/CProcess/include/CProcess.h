#ifndef CPROCESS_H
#define CPROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CEvents.h"
#include "CSocket.h"

#include <spawn.h>

/// What Swift cannot call itself, or not in every build: variable arguments, fork, GNU's own functions, clocks.

/// Forbids core dumps of this process and tracing by other processes of the same user.
/// Returns 0, or -1 with errno set.
int kt_process_forbid_dumps(void);

/// The descriptor on which a program finds its secret.
#define KT_SECRET_DESCRIPTOR 5

/// A program to start.
typedef struct kt_program {
    /// The file to execute, an open descriptor; -1 where `path` is executed.
    int executable;
    /// The path to execute where `executable` is -1.
    const char *path;
    /// An open descriptor that the program gets as KT_SECRET_DESCRIPTOR; -1 where it gets none.
    int secret;
    /// Its arguments, with NULL at the end.
    char *const *arguments;
    /// Its whole environment, with NULL at the end.
    char *const *environment;
    /// The directory that it starts in; not NULL.
    const char *directory;
    /// Its most bytes of address space, of one file that it writes, and its most descriptors.
    uint64_t address_space, file_size, descriptors;
} kt_program;

/// A child process with the host's ends of its pipes.
typedef struct kt_child {
    pid_t pid;
    /// The child of this process that stands guard over it, with another guard between the two: the leader of the program's
    /// group. It ends as the program did, once everything is gone that the program has started; SIGHUP has it end all that
    /// at once. Where either guard is killed, the other ends everything.
    pid_t guard;
    /// Becomes readable when the guard has ended.
    int pidfd;
    /// The child's standard input, output and error.
    int input, output, errors;
} kt_child;

/// Starts a program in a process group of its own, with nothing of this process but the three pipes and the secret.
///
/// The program and everything that it starts end with this process, however that ends. All guards are forked by one thread
/// that lives as long as the process, so that the kernel can tell them. They are this process's executable, started anew.
/// Returns 0, or -1 with errno set; a program that could not be executed counts as not started.
int kt_spawn(const kt_program *program, kt_child *child);

/// Makes an empty file in memory that can be executed. Returns a descriptor, or -1 with errno set.
int kt_memory_file(const char *name);

/// Forbids every change to a file in memory, for ever. Returns 0, or -1 with errno set.
int kt_memory_file_seal(int descriptor);

/// Makes a pipe whose ends no program that is started inherits. Returns 0, or -1 with errno set.
int kt_process_pipe(int ends[2]);

/// Has a program begin in a folder: adds that to what posix_spawn does first. Returns 0 or the number of an error.
int kt_process_begin_in(posix_spawn_file_actions_t *actions, const char *folder);

/// The processor time that a process has used since it began, in nanoseconds; 0 where it cannot be asked.
int64_t kt_process_nanoseconds(pid_t process);

/// The system's monotonic clock in nanoseconds.
int64_t kt_monotonic_nanoseconds(void);

#endif
