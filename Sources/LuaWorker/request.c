#include "request.h"

#include <string.h>

static const sandbox_limits default_limits = {
    .memory_bytes = 64 << 20, .instructions = INT64_MAX / 4, .cpu_ms = 5000, .wall_ms = 10000,
    .output_bytes = 1 << 20, .calls = 10000,
};

typedef struct {
    const char *bytes;
    size_t count;
} text;

static bool is_name(text name, const char *wanted) {
    return name.count == strlen(wanted) && memcmp(name.bytes, wanted, name.count) == 0;
}

static bool read_text(unpacker *in, text *value) {
    return unpack_bytes(in, &value->bytes, &value->count);
}

/// Reads a text as far as there is room, with a question mark for all that is not printable ASCII.
static bool read_printable(unpacker *in, char *to, size_t room) {
    text from;
    if (!read_text(in, &from)) return false;
    size_t count = from.count < room - 1 ? from.count : room - 1;
    for (size_t i = 0; i < count; i++) to[i] = from.bytes[i] >= 0x20 && from.bytes[i] < 0x7F ? from.bytes[i] : '?';
    to[count] = 0;
    return true;
}

static bool read_limit(unpacker *in, int64_t most, int64_t *limit) {
    return unpack_integer(in, limit) && *limit > 0 && *limit <= most;
}

static bool read_limits(unpacker *in, sandbox_limits *limits) {
    uint32_t count;
    if (!unpack_map(in, &count)) return false;
    while (count-- > 0) {
        text name;
        bool is_read = read_text(in, &name);
        if (!is_read) return false;
        if (is_name(name, "memory_bytes")) is_read = read_limit(in, (int64_t)1 << 32, &limits->memory_bytes);
        else if (is_name(name, "instructions")) is_read = read_limit(in, INT64_MAX / 2, &limits->instructions);
        else if (is_name(name, "cpu_ms")) is_read = read_limit(in, 86400000, &limits->cpu_ms);
        else if (is_name(name, "wall_ms")) is_read = read_limit(in, 86400000, &limits->wall_ms);
        else if (is_name(name, "output_bytes")) is_read = read_limit(in, 8 << 20, &limits->output_bytes);
        else if (is_name(name, "calls")) is_read = read_limit(in, INT64_MAX / 2, &limits->calls);
        else is_read = unpack_skip(in);
        if (!is_read) return false;
    }
    return true;
}

/// Reads an array of names and texts in turn.
static bool read_sources(unpacker *in, request *self) {
    uint32_t count;
    if (!unpack_array(in, &count) || count % 2 != 0 || count / 2 > SOURCES_MOST) return false;
    for (uint32_t i = 0; i < count / 2; i++) {
        text value;
        request_source *source = &self->sources[self->source_count++];
        if (!read_printable(in, source->name, sizeof source->name) || !read_text(in, &value)) return false;
        source->text = value.bytes;
        source->count = value.count;
    }
    return true;
}

/// Keeps a value as it is packed.
static bool keep(unpacker *in, unpacker *value) {
    value->at = in->at;
    if (!unpack_skip(in)) return false;
    value->end = in->at;
    return true;
}

static bool read_truth(unpacker *in, bool *truth) {
    unpacked value;
    if (!unpack_next(in, &value)) return false;
    *truth = value.kind == UNPACKED_BOOL && value.integer != 0;
    return value.kind == UNPACKED_BOOL;
}

static bool read_field(unpacker *in, request *self) {
    text name;
    if (!read_text(in, &name)) return false;
    if (is_name(name, "kind")) return read_printable(in, self->kind, sizeof self->kind);
    if (is_name(name, "id")) return unpack_integer(in, &self->id);
    if (is_name(name, "limits")) return read_limits(in, &self->limits);
    if (is_name(name, "sources")) return self->source_count == 0 && read_sources(in, self);
    if (is_name(name, "functions")) return keep(in, &self->functions);
    if (is_name(name, "arguments")) return keep(in, &self->arguments);
    if (is_name(name, "argument")) return keep(in, &self->argument);
    if (is_name(name, "is_interactive")) return read_truth(in, &self->is_interactive);
    if (is_name(name, "word")) return read_printable(in, self->word, sizeof self->word);
    if (is_name(name, "name")) return read_printable(in, self->name, sizeof self->name);
    if (is_name(name, "function")) return read_printable(in, self->function, sizeof self->function);
    if (is_name(name, "index")) return unpack_integer(in, &self->index);
    return unpack_skip(in);
}

bool request_read(const buffer *frame, request *self) {
    memset(self, 0, sizeof *self);
    self->limits = default_limits;
    unpacker in = {frame->bytes, frame->bytes + frame->count};
    uint32_t count;
    if (!unpack_map(&in, &count)) return false;
    while (count-- > 0) {
        if (!read_field(&in, self)) return false;
    }
    return in.at == in.end;
}
