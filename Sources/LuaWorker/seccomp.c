#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "channel.h"
#include "confine.h"

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the filter of system calls is written for x86_64 and aarch64"
#endif

/// Numbers from here on are the x32 calls, under which every filtered call could be had a second time.
#define X32_FIRST 0x40000000U

/// What computing needs: memory that is not executable, clocks, random bytes for malloc, and an end.
static const int allowed[] = {
    SYS_munmap,       SYS_mremap,         SYS_brk,           SYS_madvise,      SYS_futex,
    SYS_clock_gettime, SYS_gettimeofday,  SYS_getrandom,     SYS_setitimer,    SYS_rt_sigprocmask,
    SYS_rt_sigaction, SYS_rt_sigreturn,   SYS_restart_syscall, SYS_exit,       SYS_exit_group,
    SYS_ppoll,
};

enum { ALLOWED_COUNT = sizeof allowed / sizeof allowed[0], PROGRAM_MOST = 32 + 2 * ALLOWED_COUNT };

typedef struct {
    struct sock_filter steps[PROGRAM_MOST];
    unsigned short count;
} program;

static void add(program *self, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
    self->steps[self->count++] = (struct sock_filter)BPF_JUMP(code, value, if_true, if_false);
}

static void load(program *self, uint32_t offset) {
    add(self, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void answer(program *self, uint32_t verdict) {
    add(self, BPF_RET | BPF_K, verdict, 0, 0);
}

/// The low half of an argument; both architectures are little-endian.
static uint32_t argument(int index) {
    return (uint32_t)offsetof(struct seccomp_data, args) + 8 * (uint32_t)index;
}

static void check_architecture(program *self) {
    load(self, offsetof(struct seccomp_data, arch));
    add(self, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0);
    answer(self, SECCOMP_RET_KILL_PROCESS);
    load(self, offsetof(struct seccomp_data, nr));
    add(self, BPF_JMP | BPF_JGE | BPF_K, X32_FIRST, 0, 1);
    answer(self, SECCOMP_RET_KILL_PROCESS);
}

/// Allows reading and writing on the channel alone.
static void allow_on_channel(program *self, int number) {
    add(self, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
    load(self, argument(0));
    add(self, BPF_JMP | BPF_JEQ | BPF_K, CHANNEL, 0, 1);
    answer(self, SECCOMP_RET_ALLOW);
    answer(self, SECCOMP_RET_ERRNO | EPERM);
}

/// Allows memory that cannot be executed.
static void allow_plain_memory(program *self) {
    add(self, BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4);
    load(self, argument(2));
    add(self, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0);
    answer(self, SECCOMP_RET_ALLOW);
    answer(self, SECCOMP_RET_ERRNO | EPERM);
}

static void allow(program *self, int number) {
    add(self, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1);
    answer(self, SECCOMP_RET_ALLOW);
}

bool confine_system_calls(void) {
    program filter = {.count = 0};
    check_architecture(&filter);
    allow_on_channel(&filter, SYS_read);
    allow_on_channel(&filter, SYS_write);
    allow_on_channel(&filter, SYS_recvfrom);
    allow_plain_memory(&filter);
    for (int i = 0; i < ALLOWED_COUNT; i++) allow(&filter, allowed[i]);
    answer(&filter, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog handed_over = {.len = filter.count, .filter = filter.steps};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &handed_over, 0, 0) == 0;
}
