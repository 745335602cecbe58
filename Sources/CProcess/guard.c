#define _GNU_SOURCE
#include "guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/// Two guards, one the child of the other, stand between the host and a program that it started: whatever the program starts in
/// turn, and however far that removes itself, it is ended with the program or with the host.
///
/// What loses its parent becomes a guard's child: the inner one's, or the outer one's where the program, which may be a process
/// of the same user, has killed the inner one. The outer guard leads the program's group, the inner one a group of its own,
/// so that no signal to a group ends both. The kernel tells a guard by SIGHUP that its own parent is gone; the host does so
/// to have everything ended. They are the host's own executable, started anew, so that they share no memory with the host.

static void report(int error, pid_t program)
{
    const struct report said = {error, program};
    if (write(REPORT, &said, sizeof said) < 0)
        _exit(126);
}

/// Says why the program was not started, and ends the process.
static void give_up(void)
{
    report(errno, 0);
    _exit(126);
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

/// Puts the signals back to what a program expects: nothing ignored, nothing blocked.
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

/// Becomes the program.
static void become(char **arguments, char **environment, pid_t guard)
{
    const bool has_path = arguments[6][0] != '\0';
    if (fcntl(REPORT, F_SETFD, FD_CLOEXEC) != 0 || (!has_path && fcntl(EXECUTABLE, F_SETFD, FD_CLOEXEC) != 0))
        give_up();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up();
    if (getppid() != guard)
        _exit(126);
    if (limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_AS, strtoull(arguments[3], NULL, 10)) != 0 ||
        limit(RLIMIT_FSIZE, strtoull(arguments[4], NULL, 10)) != 0 ||
        limit(RLIMIT_NOFILE, strtoull(arguments[5], NULL, 10)) != 0)
        give_up();
    if (chdir(arguments[2]) != 0)
        give_up();
    reset_signals();
    umask(077);
    if (has_path)
        execve(arguments[6], arguments + GUARD_ARGUMENTS, environment);
    else
        fexecve(EXECUTABLE, arguments + GUARD_ARGUMENTS, environment);
    give_up();
}

/// The parent of a process; 0 where that cannot be told any more.
static pid_t parent_of(const char *process)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", process);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    const ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0)
        return 0;
    text[count] = '\0';
    // The name before it may hold anything.
    const char *const end = strrchr(text, ')');
    int parent = 0;
    return end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/// Kills the children that the kernel lists; whatever else may look at this process does not matter for that.
static bool kill_listed_children(void)
{
    FILE *const list = fopen("/proc/thread-self/children", "re");
    if (list == NULL)
        return false;
    for (int child; fscanf(list, "%d", &child) == 1;)
        kill(child, SIGKILL);
    fclose(list);
    return true;
}

/// Kills all children that can be found.
static void kill_children(void)
{
    if (kill_listed_children())
        return;
    DIR *const processes = opendir("/proc");
    if (processes == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == getpid())
            kill(atoi(entry->d_name), SIGKILL);
    }
    closedir(processes);
}

/// Ends whatever is left; what loses its parent by that comes next.
static void end_all(pid_t program, bool is_over, int *status)
{
    // The program is known by its number, whether or not it is seen in /proc.
    if (!is_over)
        kill(program, SIGKILL);
    for (;;) {
        kill_children();
        int one = 0;
        const pid_t ended = waitpid(-1, &one, 0);
        if (ended < 0 && errno != EINTR)
            return;
        if (ended == program)
            *status = one;
    }
}

/// Waits until the program has ended, or until it shall; returns how it ended.
static int watch(pid_t program)
{
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGHUP);
    int status = 0;
    bool is_over = false;
    while (!is_over) {
        const int number = sigwaitinfo(&awaited, NULL);
        if (number == SIGHUP)
            break;
        int one = 0;
        for (pid_t ended; (ended = waitpid(-1, &one, WNOHANG)) > 0;) {
            if (ended != program)
                continue;
            status = one;
            is_over = true;
        }
    }
    end_all(program, is_over, &status);
    return status;
}

/// Ends as the program did.
static void end_like(int status)
{
    if (!WIFSIGNALED(status))
        _exit(WEXITSTATUS(status));
    const int number = WTERMSIG(status);
    limit(RLIMIT_CORE, 0);
    signal(number, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    kill(getpid(), number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    _exit(128 + number);
}

/// Makes this process a guard that is told when its parent is gone.
static void become_guard_of(pid_t parent)
{
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGHUP) != 0)
        give_up();
    if (getppid() != parent)
        _exit(126);
}

/// Lets go of all descriptors, waits for the end of what is guarded, and ends as it did.
static void guard(pid_t guarded)
{
    close_range(0, ~0U, 0);
    end_like(watch(guarded));
}

/// The inner guard: starts the program and tells the host its number.
static void guard_program(char **arguments, char **environment, pid_t outer)
{
    become_guard_of(outer);
    const pid_t inner = getpid();
    const pid_t program = fork();
    if (program < 0)
        give_up();
    if (program == 0)
        become(arguments, environment, inner);
    if (setpgid(0, 0) != 0)
        give_up();
    report(0, program);
    guard(program);
}

__attribute__((constructor)) static void stand_guard(int count, char **arguments, char **environment)
{
    if (count <= GUARD_ARGUMENTS || strcmp(arguments[0], GUARD_NAME) != 0)
        return;
    // All signals are blocked since before the guard's start.
    become_guard_of(atoi(arguments[1]));
    const pid_t outer = getpid();
    const pid_t inner = fork();
    if (inner < 0)
        give_up();
    if (inner == 0)
        guard_program(arguments, environment, outer);
    guard(inner);
}
