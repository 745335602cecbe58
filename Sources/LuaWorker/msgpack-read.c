#include "msgpack.h"

#include <string.h>

static size_t left(const unpacker *in) {
    return (size_t)(in->end - in->at);
}

static bool take_bits(unpacker *in, int size, uint64_t *bits) {
    if (left(in) < (size_t)size) return false;
    *bits = 0;
    while (size-- > 0) *bits = *bits << 8 | *in->at++;
    return true;
}

static bool take_mark(unpacker *in, uint8_t *mark) {
    uint64_t bits;
    if (!take_bits(in, 1, &bits)) return false;
    *mark = (uint8_t)bits;
    return true;
}

static bool map_count(unpacker *in, uint8_t mark, uint64_t *count) {
    *count = mark & 0x0F;
    if ((mark & 0xF0) == 0x80) return true;
    return (mark == 0xDE || mark == 0xDF) && take_bits(in, mark == 0xDE ? 2 : 4, count);
}

static bool array_count(unpacker *in, uint8_t mark, uint64_t *count) {
    *count = mark & 0x0F;
    if ((mark & 0xF0) == 0x90) return true;
    return (mark == 0xDC || mark == 0xDD) && take_bits(in, mark == 0xDC ? 2 : 4, count);
}

static bool bytes_count(unpacker *in, uint8_t mark, uint64_t *count) {
    *count = mark & 0x1F;
    if ((mark & 0xE0) == 0xA0) return true;
    if (mark >= 0xC4 && mark <= 0xC6) return take_bits(in, 1 << (mark - 0xC4), count);
    return mark >= 0xD9 && mark <= 0xDB && take_bits(in, 1 << (mark - 0xD9), count);
}

bool unpack_map(unpacker *in, uint32_t *count) {
    uint8_t mark;
    uint64_t wide;
    if (!take_mark(in, &mark) || !map_count(in, mark, &wide)) return false;
    *count = (uint32_t)wide;
    return wide <= left(in) / 2;
}

bool unpack_bytes(unpacker *in, const char **bytes, size_t *count) {
    uint8_t mark;
    uint64_t wide;
    if (!take_mark(in, &mark) || !bytes_count(in, mark, &wide) || wide > left(in)) return false;
    *bytes = (const char *)in->at;
    *count = (size_t)wide;
    in->at += wide;
    return true;
}

bool unpack_integer(unpacker *in, int64_t *number) {
    uint8_t mark;
    uint64_t bits;
    if (!take_mark(in, &mark)) return false;
    if (mark <= 0x7F || mark >= 0xE0) {
        *number = (int8_t)mark;
        return true;
    }
    if (mark < 0xCC || mark > 0xD3) return false;
    int size = 1 << ((mark - 0xCC) & 3);
    if (!take_bits(in, size, &bits)) return false;
    if (mark <= 0xCF) {
        *number = (int64_t)bits;
        return bits <= INT64_MAX;
    }
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    *number = (int64_t)((bits ^ sign) - sign);
    return true;
}

static bool skip(unpacker *in, int depth);

static bool skip_values(unpacker *in, uint64_t count, int depth) {
    if (depth >= MSGPACK_DEPTH || count > left(in)) return false;
    while (count-- > 0) {
        if (!skip(in, depth + 1)) return false;
    }
    return true;
}

static bool skip_bytes(unpacker *in, uint64_t count) {
    if (count > left(in)) return false;
    in->at += count;
    return true;
}

static bool skip(unpacker *in, int depth) {
    uint8_t mark;
    uint64_t count;
    if (!take_mark(in, &mark)) return false;
    if (mark <= 0x7F || mark >= 0xE0 || mark == 0xC0 || mark == 0xC2 || mark == 0xC3) return true;
    if (mark == 0xCA || mark == 0xCB) return skip_bytes(in, mark == 0xCA ? 4 : 8);
    if (mark >= 0xCC && mark <= 0xD3) return skip_bytes(in, (uint64_t)1 << ((mark - 0xCC) & 3));
    if (bytes_count(in, mark, &count)) return skip_bytes(in, count);
    if (array_count(in, mark, &count)) return skip_values(in, count, depth);
    return map_count(in, mark, &count) && skip_values(in, 2 * count, depth);
}

bool unpack_skip(unpacker *in) {
    return skip(in, 0);
}

bool unpack_array(unpacker *in, uint32_t *count) {
    uint8_t mark;
    uint64_t wide;
    if (!take_mark(in, &mark) || !array_count(in, mark, &wide)) return false;
    *count = (uint32_t)wide;
    return wide <= left(in);
}

static bool unpack_number(unpacker *in, unpacked *value) {
    uint64_t bits;
    uint8_t mark;
    value->kind = UNPACKED_DOUBLE;
    if (!take_mark(in, &mark) || !take_bits(in, mark == 0xCA ? 4 : 8, &bits)) return false;
    if (mark == 0xCA) {
        float narrow;
        uint32_t half = (uint32_t)bits;
        memcpy(&narrow, &half, sizeof narrow);
        value->number = (double)narrow;
    } else {
        memcpy(&value->number, &bits, sizeof value->number);
    }
    return true;
}

bool unpack_next(unpacker *in, unpacked *value) {
    if (in->at == in->end) return false;
    uint8_t mark = *in->at;
    uint32_t count;
    *value = (unpacked){.kind = UNPACKED_NIL};
    if (mark == 0xC0 || mark == 0xC2 || mark == 0xC3) {
        in->at++;
        if (mark != 0xC0) *value = (unpacked){.kind = UNPACKED_BOOL, .integer = mark == 0xC3};
        return true;
    }
    if (mark == 0xCA || mark == 0xCB) return unpack_number(in, value);
    unpacker ahead = *in;
    if (unpack_array(&ahead, &count)) {
        *value = (unpacked){.kind = UNPACKED_ARRAY, .count = count};
    } else if (ahead = *in, unpack_map(&ahead, &count)) {
        *value = (unpacked){.kind = UNPACKED_MAP, .count = count};
    } else if (ahead = *in, unpack_bytes(&ahead, &value->bytes, &value->count)) {
        value->kind = UNPACKED_BYTES;
    } else if (ahead = *in, unpack_integer(&ahead, &value->integer)) {
        value->kind = UNPACKED_INTEGER;
    } else {
        return false;
    }
    *in = ahead;
    return true;
}
