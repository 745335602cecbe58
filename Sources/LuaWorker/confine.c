#include "confine.h"

#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel.h"

/// Nobody, by number: a name would have to be looked up.
enum { NOBODY = 65534 };

static bool set_limit(int resource, rlim_t most) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0) return false;
    if (limit.rlim_max < most) most = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = most;
    return setrlimit(resource, &limit) == 0;
}

static void close_strangers(void) {
    if (syscall(SYS_close_range, CHANNEL + 1, ~0U, 0) == 0) return;
    for (int descriptor = CHANNEL + 1; descriptor < 65536; descriptor++) close(descriptor);
}

/// A worker that crashes ends at once: a handler that a runtime has put in place would wait for system calls it may not make.
static void forget_handlers(void) {
    for (int number = 1; number < SIGRTMIN; number++) signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
}

void confine_start(void) {
    close_strangers();
    forget_handlers();
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_NOFILE, 8);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/// Best effort: where nobody has no number here, the filter of system calls still holds.
static void give_up_root(void) {
    if (geteuid() != 0) return;
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0) return;
    if (setresuid(NOBODY, NOBODY, NOBODY) != 0) return;
}

bool confine_limits(int64_t memory_bytes, int64_t cpu_ms) {
    const rlim_t besides_lua = 192 << 20;
    give_up_root();
    bool is_limited = set_limit(RLIMIT_AS, (rlim_t)memory_bytes + besides_lua)
        && set_limit(RLIMIT_CPU, (rlim_t)(cpu_ms / 1000 + 2)) && set_limit(RLIMIT_STACK, 8 << 20)
        && set_limit(RLIMIT_NPROC, 0);
    // After the change of user, which clears the one and may set the other.
    return is_limited && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
