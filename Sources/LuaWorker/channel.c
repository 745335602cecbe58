#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "msgpack.h"

static bool read_all(uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t got = read(CHANNEL, bytes, count);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        bytes += got;
        count -= (size_t)got;
    }
    return true;
}

static bool write_all(const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t put = write(CHANNEL, bytes, count);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes += put;
        count -= (size_t)put;
    }
    return true;
}

bool channel_read(buffer *frame) {
    uint8_t head[4];
    if (!read_all(head, sizeof head)) return false;
    size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (length > FRAME_LIMIT) return false;
    buffer_clear(frame);
    uint8_t piece[16384];
    while (frame->count < length) {
        size_t missing = length - frame->count;
        size_t count = missing < sizeof piece ? missing : sizeof piece;
        if (!read_all(piece, count)) return false;
        buffer_append(frame, piece, count);
        if (frame->refused) return false;
    }
    return true;
}

static void put_length(uint8_t head[4], size_t length) {
    for (int i = 0; i < 4; i++) head[i] = (uint8_t)(length >> (24 - 8 * i));
}

bool channel_write(const buffer *frame) {
    uint8_t head[4];
    if (frame->refused || frame->count > FRAME_LIMIT) return false;
    put_length(head, frame->count);
    return write_all(head, sizeof head) && write_all(frame->bytes, frame->count);
}

static void pack_error(buffer *out, const char *kind, const char *message, const char *file, int line) {
    pack_map(out, 2);
    pack_string(out, "ok");
    pack_bool(out, false);
    pack_string(out, "error");
    pack_map(out, 2 + (line > 0) + (*file != 0));
    pack_string(out, "kind");
    pack_string(out, kind);
    pack_string(out, "message");
    pack_string(out, message);
    if (*file != 0) {
        pack_string(out, "file");
        pack_string(out, file);
    }
    if (line > 0) {
        pack_string(out, "line");
        pack_integer(out, line);
    }
}

bool channel_write_error(const char *kind, const char *message, const char *file, int line) {
    buffer out = buffer_make(FRAME_LIMIT);
    pack_error(&out, kind, message, file, line);
    return channel_write(&out);
}

/// The answer of the deadline, packed before Lua runs, since a handler may not allocate.
static uint8_t last_words[512];
static volatile size_t last_words_count;

static void on_deadline(int number) {
    (void)number;
    write_all(last_words, last_words_count);
    _exit(0);
}

static void set_timer(int64_t ms) {
    struct itimerval timer = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    setitimer(ITIMER_PROF, &timer, NULL);
}

void channel_arm_deadline(int64_t cpu_ms, const char *message) {
    buffer out = buffer_make(sizeof last_words - 4);
    pack_error(&out, "limit", message, "", 0);
    if (out.refused) return;
    put_length(last_words, out.count);
    memcpy(last_words + 4, out.bytes, out.count);
    last_words_count = out.count + 4;
    struct sigaction action = {.sa_handler = on_deadline};
    sigaction(SIGPROF, &action, NULL);
    set_timer(cpu_ms);
}

void channel_disarm_deadline(void) {
    set_timer(0);
}

static volatile int exit_status;

static void on_exit_deadline(int number) {
    (void)number;
    _exit(exit_status);
}

void channel_arm_exit(int64_t cpu_ms, int status) {
    exit_status = status;
    struct sigaction action = {.sa_handler = on_exit_deadline};
    sigaction(SIGPROF, &action, NULL);
    set_timer(cpu_ms);
}

static void on_watch(int number) {
    (void)number;
    int kept = errno;
    struct pollfd entry = {.fd = CHANNEL, .events = 0};
    struct timespec none = {0, 0};
    if (ppoll(&entry, 1, &none, NULL) == 1 && (entry.revents & (POLLHUP | POLLERR)) != 0) _exit(0);
    errno = kept;
}

void channel_watch_peer(bool is_on) {
    struct sigaction action = {.sa_handler = on_watch, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    long period = is_on ? 500000 : 0;
    struct itimerval timer = {.it_interval.tv_usec = period, .it_value.tv_usec = period};
    setitimer(ITIMER_REAL, &timer, NULL);
}

bool channel_has_input(void) {
    char first;
    ssize_t count = recv(CHANNEL, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0) _exit(0);
    return count > 0;
}
