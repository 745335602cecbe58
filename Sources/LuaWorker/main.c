// keyturn-lua: one Lua state behind frames.
//
// Started by Keyturn alone, with a socket on descriptor 3 and nothing else. It reads one request, takes every right
// from itself that computing does not need, answers once, and ends. Requests are maps:
//
//   {kind="configure", source, chunkname, limits={memory_bytes, instructions, cpu_ms, wall_ms, output_bytes}}
//   {kind="probe"}
//
// Answers are `{ok=true, …}` or `{ok=false, error={kind, message, line}}`, where kind is one of syntax, runtime,
// memory, limit (of the script) and request, confinement (of the worker). No key material is ever sent here.
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "configure.h"
#include "confine.h"
#include "msgpack.h"
#include "probe.h"

/// How long after its own limit a script may still be stuck in a C function of Lua.
enum { GRACE_MS = 250 };

typedef struct {
    char kind[16];
    char chunk_name[41];
    const char *source;
    size_t source_count;
    sandbox_limits limits;
} request;

static const sandbox_limits default_limits = {
    .memory_bytes = 64 << 20, .instructions = 2000000000, .cpu_ms = 5000, .wall_ms = 10000, .output_bytes = 1 << 20,
};

static bool is_name(const char *name, size_t count, const char *wanted) {
    return count == strlen(wanted) && memcmp(name, wanted, count) == 0;
}

/// Copies a text as far as there is room, with a question mark for all that is not printable ASCII.
static void copy_printable(char *to, size_t room, const char *from, size_t count) {
    if (count > room - 1) count = room - 1;
    for (size_t i = 0; i < count; i++) to[i] = from[i] >= 0x20 && from[i] < 0x7F ? from[i] : '?';
    to[count] = 0;
}

static bool read_limit(unpacker *in, int64_t most, int64_t *limit) {
    return unpack_integer(in, limit) && *limit > 0 && *limit <= most;
}

static bool read_limits(unpacker *in, sandbox_limits *limits) {
    uint32_t count;
    if (!unpack_map(in, &count)) return false;
    while (count-- > 0) {
        const char *name;
        size_t length;
        bool is_read = unpack_bytes(in, &name, &length);
        if (!is_read) return false;
        if (is_name(name, length, "memory_bytes")) is_read = read_limit(in, (int64_t)1 << 32, &limits->memory_bytes);
        else if (is_name(name, length, "instructions")) is_read = read_limit(in, INT64_MAX / 2, &limits->instructions);
        else if (is_name(name, length, "cpu_ms")) is_read = read_limit(in, 86400000, &limits->cpu_ms);
        else if (is_name(name, length, "wall_ms")) is_read = read_limit(in, 86400000, &limits->wall_ms);
        else if (is_name(name, length, "output_bytes")) is_read = read_limit(in, 8 << 20, &limits->output_bytes);
        else is_read = unpack_skip(in);
        if (!is_read) return false;
    }
    return true;
}

static bool read_field(unpacker *in, request *self) {
    const char *name, *text;
    size_t length, count;
    if (!unpack_bytes(in, &name, &length)) return false;
    if (is_name(name, length, "source")) return unpack_bytes(in, &self->source, &self->source_count);
    if (is_name(name, length, "limits")) return read_limits(in, &self->limits);
    if (is_name(name, length, "kind")) {
        if (!unpack_bytes(in, &text, &count)) return false;
        copy_printable(self->kind, sizeof self->kind, text, count);
        return true;
    }
    if (is_name(name, length, "chunkname")) {
        if (!unpack_bytes(in, &text, &count)) return false;
        copy_printable(self->chunk_name, sizeof self->chunk_name, text, count);
        return true;
    }
    return unpack_skip(in);
}

static bool read_request(const buffer *frame, request *self) {
    *self = (request){.chunk_name = "script", .source = "", .limits = default_limits};
    unpacker in = {frame->bytes, frame->bytes + frame->count};
    uint32_t count;
    if (!unpack_map(&in, &count)) return false;
    while (count-- > 0) {
        if (!read_field(&in, self)) return false;
    }
    return in.at == in.end;
}

static bool confine(const sandbox_limits *limits) {
    if (confine_limits(limits->memory_bytes, limits->cpu_ms) && confine_system_calls()) return true;
    channel_write_error("confinement", "the kernel does not let the worker confine itself", 0);
    return false;
}

static int run_probe(const request *asked) {
    probe_results free = probe_run();
    if (!confine(&asked->limits)) return 1;
    probe_results confined = probe_run();
    probe_answer(&free, &confined);
    return 0;
}

static int run_configure(const request *asked) {
    if (!confine(&asked->limits)) return 1;
    channel_arm_deadline(asked->limits.cpu_ms + GRACE_MS, "the script took too much processor time");
    configure(asked->limits, asked->source, asked->source_count, asked->chunk_name);
    return 0;
}

int main(void) {
    confine_start();
    buffer frame = buffer_make(FRAME_LIMIT);
    if (!channel_read(&frame)) {
        static const char refusal[] = "keyturn-lua is started by keyturn; it has no use of its own\n";
        fputs(refusal, stderr);
        return 64;
    }
    request asked;
    if (!read_request(&frame, &asked)) {
        channel_write_error("request", "the request cannot be read", 0);
        return 1;
    }
    if (strcmp(asked.kind, "probe") == 0) return run_probe(&asked);
    if (strcmp(asked.kind, "configure") == 0) return run_configure(&asked);
    channel_write_error("request", "the request has no known kind", 0);
    return 1;
}
