#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "msgpack.h"

static int outcome(long result) {
    return result < 0 ? errno : 0;
}

static int try_open(void) {
    int descriptor = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    int result = outcome(descriptor);
    if (descriptor >= 0) close(descriptor);
    return result;
}

static int try_create(void) {
    int descriptor = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int result = outcome(descriptor);
    if (descriptor >= 0) close(descriptor);
    return result;
}

static int try_socket(void) {
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = outcome(descriptor);
    if (descriptor >= 0) close(descriptor);
    return result;
}

static int try_fork(void) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    int result = outcome(child);
    if (child > 0) waitpid(child, NULL, 0);
    return result;
}

/// A folder cannot be executed: free, this ends with EACCES.
static int try_execute(void) {
    char *const nothing[] = {NULL};
    return outcome(execve("/", nothing, nothing));
}

/// There is no process 0: free, this ends with ESRCH.
static int try_trace(void) {
    return outcome(ptrace(PTRACE_ATTACH, 0, NULL, NULL));
}

static int try_signal(void) {
    return outcome(kill(getpid(), 0));
}

static int try_executable_memory(void) {
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return errno;
    munmap(memory, 4096);
    return 0;
}

static int try_other_descriptor(void) {
    char nothing;
    return outcome(read(STDIN_FILENO, &nothing, 0));
}

/// No such ring: free, this ends with EFAULT, or with ENOSYS or EPERM where the kernel has none to give.
static int try_ring(void) {
    return outcome(syscall(SYS_io_uring_setup, 1, NULL));
}

static const struct {
    const char *name;
    int (*run)(void);
} attempts[PROBE_COUNT] = {
    {"open", try_open},
    {"create", try_create},
    {"socket", try_socket},
    {"fork", try_fork},
    {"execve", try_execute},
    {"ptrace", try_trace},
    {"kill", try_signal},
    {"executable memory", try_executable_memory},
    {"other descriptor", try_other_descriptor},
    {"io_uring", try_ring},
};

probe_results probe_run(void) {
    probe_results results;
    for (int i = 0; i < PROBE_COUNT; i++) results.errors[i] = attempts[i].run();
    return results;
}

static void pack_results(buffer *out, const char *name, const probe_results *results) {
    pack_string(out, name);
    pack_array(out, PROBE_COUNT);
    for (int i = 0; i < PROBE_COUNT; i++) {
        pack_map(out, 2);
        pack_string(out, "name");
        pack_string(out, attempts[i].name);
        pack_string(out, "errno");
        pack_integer(out, results->errors[i]);
    }
}

void probe_answer(const probe_results *free, const probe_results *confined) {
    buffer out = buffer_make(FRAME_LIMIT);
    pack_map(&out, 3);
    pack_string(&out, "ok");
    pack_bool(&out, true);
    pack_results(&out, "free", free);
    pack_results(&out, "confined", confined);
    channel_write(&out);
}
