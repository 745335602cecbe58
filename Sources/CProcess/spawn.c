#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static int limit(int resource, uint64_t most)
{
    struct rlimit current;
    if (getrlimit(resource, &current) != 0)
        return -1;
    if (current.rlim_max != RLIM_INFINITY && current.rlim_max < most)
        most = current.rlim_max;
    const struct rlimit wanted = {most, most};
    return setrlimit(resource, &wanted);
}

/// Says why the program was not started, and ends the child.
static void give_up(int report)
{
    const int error = errno;
    if (write(report, &error, sizeof error) < 0)
        _exit(126);
    _exit(126);
}

/// Puts the child's signals back to what a program expects: nothing ignored, nothing blocked.
static void reset_signals(void)
{
    struct sigaction standard = {0};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/// Moves the descriptors that the program gets to 0, 1 and 2, those that it needs until it runs to 3 and 4, and closes
/// all others. Every one of them is above 4 before.
static int arrange_descriptors(const struct pipes *pipes, int executable)
{
    if (dup2(pipes->input[0], 0) < 0 || dup2(pipes->output[1], 1) < 0 || dup2(pipes->errors[1], 2) < 0)
        return -1;
    if (dup3(pipes->report[1], 3, O_CLOEXEC) < 0)
        return -1;
    if (executable >= 0 && dup3(executable, 4, O_CLOEXEC) < 0)
        return -1;
    return close_range(executable >= 0 ? 5 : 4, ~0U, 0);
}

/// Becomes the program; only calls that are safe between fork and exec.
static void become(const kt_program *program, const struct pipes *pipes, pid_t host)
{
    if (arrange_descriptors(pipes, program->executable) != 0)
        give_up(pipes->report[1]);
    // The thread that forked lives as long as the host.
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up(3);
    if (getppid() != host)
        _exit(126);
    if (limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_AS, program->address_space) != 0 ||
        limit(RLIMIT_FSIZE, program->file_size) != 0 || limit(RLIMIT_NOFILE, program->descriptors) != 0)
        give_up(3);
    if (program->directory != NULL && chdir(program->directory) != 0)
        give_up(3);
    reset_signals();
    umask(077);
    if (program->executable >= 0)
        fexecve(4, program->arguments, program->environment);
    else
        execve(program->path, program->arguments, program->environment);
    give_up(3);
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
static int wait_for_exec(int report)
{
    int error = 0;
    ssize_t count;
    do
        count = read(report, &error, sizeof error);
    while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof error ? error : 0;
}

/// Takes the host's ends out of the pipes, so that they are not closed with them.
static void keep_host_ends(struct pipes *pipes, kt_child *child)
{
    child->input = pipes->input[1];
    child->output = pipes->output[0];
    child->errors = pipes->errors[0];
    pipes->input[1] = pipes->output[0] = pipes->errors[0] = -1;
}

static int start(const kt_program *program, kt_child *child, struct pipes *pipes, int executable)
{
    if (open_pipe(pipes->input) != 0 || open_pipe(pipes->output) != 0 || open_pipe(pipes->errors) != 0 ||
        open_pipe(pipes->report) != 0)
        return -1;
    kt_program moved = *program;
    moved.executable = executable;
    const pid_t host = getpid();
    const pid_t pid = _Fork();
    if (pid < 0)
        return -1;
    if (pid == 0)
        become(&moved, pipes, host);
    close(pipes->report[1]);
    pipes->report[1] = -1;
    const int error = wait_for_exec(pipes->report[0]);
    const int pidfd = error == 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0) {
        const int reason = error != 0 ? error : errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        errno = reason;
        return -1;
    }
    child->pid = pid;
    child->pidfd = pidfd;
    keep_host_ends(pipes, child);
    return 0;
}

static int spawn(const kt_program *program, kt_child *child)
{
    struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    int executable = -1;
    if (program->executable >= 0) {
        executable = fcntl(program->executable, F_DUPFD_CLOEXEC, 10);
        if (executable < 0)
            return -1;
    }
    const int result = start(program, child, &pipes, executable);
    const int error = errno;
    close_pipes(&pipes);
    if (executable >= 0)
        close(executable);
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
