#define _GNU_SOURCE
#include "CProcess.h"
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// Both ends of the pipes of one child; [0] is read from, [1] is written to.
struct pipes {
    int input[2], output[2], errors[2], report[2];
};

/// One request to the thread that forks.
struct request {
    const kt_program *program;
    kt_child *child;
    int result, error;
    bool is_done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct request *pending;
static bool has_thread;

static void close_pair(const int pair[2])
{
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
}

static void close_pipes(const struct pipes *pipes)
{
    close_pair(pipes->input);
    close_pair(pipes->output);
    close_pair(pipes->errors);
    close_pair(pipes->report);
}

/// Says why the guard was not started, and ends the child.
static void give_up(int descriptor)
{
    const struct report said = {errno, 0};
    if (write(descriptor, &said, sizeof said) < 0)
        _exit(126);
    _exit(126);
}

/// Puts a descriptor in a place; where there is none, nothing is there.
static int put(int descriptor, int place)
{
    if (descriptor >= 0)
        return dup2(descriptor, place);
    close(place);
    return place;
}

/// Moves the descriptors that the guard gets to 0 to 5, and closes all others. Every one of them is above 5 before.
static int arrange_descriptors(const struct pipes *pipes, int executable, int secret)
{
    if (dup2(pipes->input[0], 0) < 0 || dup2(pipes->output[1], 1) < 0 || dup2(pipes->errors[1], 2) < 0)
        return -1;
    if (dup2(pipes->report[1], REPORT) < 0 || put(executable, EXECUTABLE) < 0 || put(secret, SECRET) < 0)
        return -1;
    return close_range(SECRET + 1, ~0U, 0);
}

/// Becomes the guard; only calls that are safe between fork and exec.
static void become_guard(char **arguments, const kt_program *program, const struct pipes *pipes)
{
    if (arrange_descriptors(pipes, program->executable, program->secret) != 0)
        give_up(pipes->report[1]);
    // The guard waits for its signals. The thread that forked lives as long as the host.
    sigset_t all;
    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, NULL) != 0 || setpgid(0, 0) != 0)
        give_up(REPORT);
    execve("/proc/self/exe", arguments, program->environment);
    give_up(REPORT);
}

/// Opens a pipe whose ends are above the descriptors that a child arranges.
static int open_pipe(int pair[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return -1;
    for (int end = 0; end < 2; end++) {
        pair[end] = fcntl(low[end], F_DUPFD_CLOEXEC, 10);
        if (pair[end] < 0) {
            const int error = errno;
            close_pair(low);
            errno = error;
            return -1;
        }
    }
    close_pair(low);
    return 0;
}

/// Waits until the program runs; returns 0, or the error that kept it from running.
static int wait_for_exec(int descriptor, pid_t *program)
{
    struct report said;
    *program = 0;
    for (;;) {
        const ssize_t count = read(descriptor, &said, sizeof said);
        if (count < 0 && errno == EINTR)
            continue;
        if (count != (ssize_t)sizeof said)
            return *program != 0 ? 0 : EIO;
        if (said.error != 0)
            return said.error;
        *program = said.program;
    }
}

/// Takes the host's ends out of the pipes, so that they are not closed with them.
static void keep_host_ends(struct pipes *pipes, kt_child *child)
{
    child->input = pipes->input[1];
    child->output = pipes->output[0];
    child->errors = pipes->errors[0];
    pipes->input[1] = pipes->output[0] = pipes->errors[0] = -1;
}

static int start(char **arguments, const kt_program *program, kt_child *child, struct pipes *pipes)
{
    if (open_pipe(pipes->input) != 0 || open_pipe(pipes->output) != 0 || open_pipe(pipes->errors) != 0 ||
        open_pipe(pipes->report) != 0)
        return -1;
    const pid_t guard = _Fork();
    if (guard < 0)
        return -1;
    if (guard == 0)
        become_guard(arguments, program, pipes);
    close(pipes->report[1]);
    pipes->report[1] = -1;
    const int error = wait_for_exec(pipes->report[0], &child->pid);
    const int pidfd = error == 0 ? (int)syscall(SYS_pidfd_open, guard, 0) : -1;
    if (pidfd < 0) {
        const int reason = error != 0 ? error : errno;
        // It ends with whatever it has started; where it is on its way to its own end, this changes nothing.
        kill(guard, SIGHUP);
        while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
            continue;
        errno = reason;
        return -1;
    }
    child->guard = guard;
    child->pidfd = pidfd;
    keep_host_ends(pipes, child);
    return 0;
}

/// The arguments of the guard, of which each number has its place in `numbers`; to be freed. NULL with errno set.
static char **guard_arguments(const kt_program *program, char numbers[4][24])
{
    size_t count = 0;
    while (program->arguments[count] != NULL)
        count++;
    char **const arguments = calloc(GUARD_ARGUMENTS + count + 1, sizeof *arguments);
    if (arguments == NULL)
        return NULL;
    snprintf(numbers[0], sizeof numbers[0], "%d", (int)getpid());
    snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, program->address_space);
    snprintf(numbers[2], sizeof numbers[2], "%" PRIu64, program->file_size);
    snprintf(numbers[3], sizeof numbers[3], "%" PRIu64, program->descriptors);
    char *const own[GUARD_ARGUMENTS] = {GUARD_NAME,  numbers[0], (char *)program->directory,
                                        numbers[1],  numbers[2], numbers[3],
                                        program->executable >= 0 ? "" : (char *)program->path};
    for (size_t place = 0; place < GUARD_ARGUMENTS; place++)
        arguments[place] = own[place];
    for (size_t place = 0; place < count; place++)
        arguments[GUARD_ARGUMENTS + place] = program->arguments[place];
    return arguments;
}

static int spawn_moved(const kt_program *program, kt_child *child)
{
    struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    char numbers[4][24];
    char **const arguments = guard_arguments(program, numbers);
    const int result = arguments != NULL ? start(arguments, program, child, &pipes) : -1;
    const int error = errno;
    free(arguments);
    close_pipes(&pipes);
    errno = error;
    return result;
}

/// Has a descriptor of its own above those that a child arranges; -1 where there is none.
static bool move_up(int *descriptor)
{
    if (*descriptor < 0)
        return true;
    *descriptor = fcntl(*descriptor, F_DUPFD_CLOEXEC, 10);
    return *descriptor >= 0;
}

static int spawn(const kt_program *program, kt_child *child)
{
    kt_program moved = *program;
    const bool has_executable = move_up(&moved.executable);
    const bool has_secret = has_executable && move_up(&moved.secret);
    const int result = has_secret ? spawn_moved(&moved, child) : -1;
    const int error = errno;
    if (has_executable && moved.executable >= 0)
        close(moved.executable);
    if (has_secret && moved.secret >= 0)
        close(moved.secret);
    errno = error;
    return result;
}

static void *serve(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (pending == NULL || pending->is_done)
            pthread_cond_wait(&changed, &lock);
        struct request *const request = pending;
        pthread_mutex_unlock(&lock);
        request->result = spawn(request->program, request->child);
        request->error = errno;
        pthread_mutex_lock(&lock);
        request->is_done = true;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

/// Starts the thread that forks, once.
static int begin_thread(void)
{
    if (has_thread)
        return 0;
    pthread_t thread;
    const int error = pthread_create(&thread, NULL, serve, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    pthread_detach(thread);
    has_thread = true;
    return 0;
}

int kt_spawn(const kt_program *program, kt_child *child)
{
    struct request request = {program, child, -1, 0, false};
    pthread_mutex_lock(&lock);
    if (begin_thread() != 0) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    while (pending != NULL)
        pthread_cond_wait(&changed, &lock);
    pending = &request;
    pthread_cond_broadcast(&changed);
    while (!request.is_done)
        pthread_cond_wait(&changed, &lock);
    pending = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    errno = request.error;
    return request.result;
}
