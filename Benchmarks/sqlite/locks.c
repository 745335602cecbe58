/* Watches how long the write lock of a SQLite database in WAL mode is held, without ever taking it.
 *
 * The lock is byte 120 of the -shm file (https://www.sqlite.org/walformat.html, WAL_WRITE_LOCK). F_OFD_GETLK asks the kernel
 * who holds it and takes nothing, so the watched program is not slowed by waiting for us. A span reaches from the last
 * look that found the lock free to the first one that found it free again: never shorter than the lock was held.
 *
 * usage: locks FILE-shm STOP      looks until the file STOP exists, then prints one span a line, in microseconds
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_LOCK = 120, PAUSE_NS = 50000, LOOKS_BETWEEN_CHECKS = 200 };

static double microseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

/* 1 held, 0 free, -1 cannot tell. */
static int held(int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WRITE_LOCK, .l_len = 1};
    if (fcntl(file, F_OFD_GETLK, &lock) != 0) return -1;
    return lock.l_type != F_UNLCK;
}

static int watch(int file, const char *stop)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    double free_since = microseconds();
    int was_held = 0;
    for (unsigned long looks = 0; looks % LOOKS_BETWEEN_CHECKS != 0 || access(stop, F_OK) != 0; looks++) {
        int is_held = held(file);
        double time = microseconds();
        if (is_held < 0) return 0;
        if (was_held && !is_held) printf("%.0f\n", time - free_since);
        if (!is_held) free_since = time;
        was_held = is_held;
        nanosleep(&pause, NULL);
    }
    return 1;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: locks FILE-shm STOP\n");
        return 64;
    }
    int file = open(words[1], O_RDWR | O_CLOEXEC);
    if (file < 0 || !watch(file, words[2])) {
        fprintf(stderr, "locks: %s: %s\n", words[1], strerror(errno));
        return 1;
    }
    return 0;
}
