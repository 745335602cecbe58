#include "msgpack.h"

#include <string.h>

static void put(buffer *out, uint8_t mark, uint64_t bits, int size) {
    uint8_t bytes[9];
    bytes[0] = mark;
    for (int i = 0; i < size; i++) bytes[1 + i] = (uint8_t)(bits >> (8 * (size - 1 - i)));
    buffer_append(out, bytes, 1 + (size_t)size);
}

/// Writes the shortest head for a count; a mark of zero says that the kind has no such form.
static void put_head(buffer *out, size_t count, uint8_t fixed, size_t fixed_most, uint8_t narrow, uint8_t wide,
                     uint8_t widest) {
    if (fixed != 0 && count <= fixed_most) {
        put(out, (uint8_t)(fixed | count), 0, 0);
    } else if (narrow != 0 && count <= 0xFF) {
        put(out, narrow, count, 1);
    } else if (count <= 0xFFFF) {
        put(out, wide, count, 2);
    } else if (count <= 0xFFFFFFFF) {
        put(out, widest, count, 4);
    } else {
        out->refused = true;
    }
}

void pack_nil(buffer *out) {
    put(out, 0xC0, 0, 0);
}

void pack_bool(buffer *out, bool truth) {
    put(out, truth ? 0xC3 : 0xC2, 0, 0);
}

void pack_integer(buffer *out, int64_t number) {
    uint64_t bits = (uint64_t)number;
    if (number >= -32 && number <= 127) put(out, (uint8_t)bits, 0, 0);
    else if (number >= 0 && number <= 0xFF) put(out, 0xCC, bits, 1);
    else if (number >= 0 && number <= 0xFFFF) put(out, 0xCD, bits, 2);
    else if (number >= 0 && number <= 0xFFFFFFFF) put(out, 0xCE, bits, 4);
    else if (number >= 0) put(out, 0xCF, bits, 8);
    else if (number >= INT8_MIN) put(out, 0xD0, bits, 1);
    else if (number >= INT16_MIN) put(out, 0xD1, bits, 2);
    else if (number >= INT32_MIN) put(out, 0xD2, bits, 4);
    else put(out, 0xD3, bits, 8);
}

void pack_double(buffer *out, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put(out, 0xCB, bits, 8);
}

void pack_array(buffer *out, uint32_t count) {
    put_head(out, count, 0x90, 15, 0, 0xDC, 0xDD);
}

void pack_map(buffer *out, uint32_t count) {
    put_head(out, count, 0x80, 15, 0, 0xDE, 0xDF);
}

static void put_text_head(buffer *out, size_t count) {
    put_head(out, count, 0xA0, 31, 0xD9, 0xDA, 0xDB);
}

void pack_bytes(buffer *out, const void *bytes, size_t count) {
    if (utf8_valid_count(bytes, count) == count) put_text_head(out, count);
    else put_head(out, count, 0, 0, 0xC4, 0xC5, 0xC6);
    buffer_append(out, bytes, count);
}

void pack_text(buffer *out, const void *bytes, size_t count) {
    put_text_head(out, count);
    const uint8_t *at = bytes;
    while (count > 0) {
        size_t valid = utf8_valid_count(at, count);
        buffer_append(out, at, valid);
        if (valid == count) return;
        buffer_append(out, "?", 1);
        at += valid + 1;
        count -= valid + 1;
    }
}

void pack_string(buffer *out, const char *text) {
    pack_text(out, text, strlen(text));
}

/// The length of the character at `bytes`, 0 where there is none that is valid.
static size_t utf8_character(const uint8_t *bytes, size_t count) {
    uint8_t first = bytes[0];
    if (first < 0x80) return 1;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || length > count) return 0;
    uint8_t least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (bytes[1] < least || bytes[1] > most) return 0;
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return 0;
    }
    return length;
}

size_t utf8_valid_count(const uint8_t *bytes, size_t count) {
    size_t position = 0;
    while (position < count) {
        size_t length = utf8_character(bytes + position, count - position);
        if (length == 0) break;
        position += length;
    }
    return position;
}
