// The subset of MessagePack that frames carry: nil, bool, int64, double, str (valid UTF-8), bin, array, map.
#ifndef KEYTURN_MSGPACK_H
#define KEYTURN_MSGPACK_H

#include "buffer.h"

/// Levels of arrays and maps that are written, read or skipped.
enum { MSGPACK_DEPTH = 32 };

void pack_nil(buffer *out);
void pack_bool(buffer *out, bool truth);
void pack_integer(buffer *out, int64_t number);
void pack_double(buffer *out, double number);
void pack_array(buffer *out, uint32_t count);
void pack_map(buffer *out, uint32_t count);

/// Writes a text as str where it is valid UTF-8, as bin where it is not.
void pack_bytes(buffer *out, const void *bytes, size_t count);

/// Writes a text as str, with a question mark for each byte that is not valid UTF-8.
void pack_text(buffer *out, const void *bytes, size_t count);

/// Writes a C string as `pack_text` does.
void pack_string(buffer *out, const char *text);

/// How many bytes from the start are valid UTF-8 (no surrogates, nothing overlong).
size_t utf8_valid_count(const uint8_t *bytes, size_t count);

/// Where the next value is read from.
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} unpacker;

// Each reads one value of its kind and moves on; false leaves the position undefined.
bool unpack_map(unpacker *in, uint32_t *count);
bool unpack_bytes(unpacker *in, const char **bytes, size_t *count);
bool unpack_integer(unpacker *in, int64_t *number);

/// Passes over one value of any kind.
bool unpack_skip(unpacker *in);

typedef enum {
    UNPACKED_NIL, UNPACKED_BOOL, UNPACKED_INTEGER, UNPACKED_DOUBLE, UNPACKED_BYTES, UNPACKED_ARRAY, UNPACKED_MAP,
} unpacked_kind;

/// One value, or the head of one that holds others.
typedef struct {
    unpacked_kind kind;
    /// The number, or 0 or 1 for a truth.
    int64_t integer;
    double number;
    const char *bytes;
    /// Bytes of a text, elements of an array, pairs of a map.
    size_t count;
} unpacked;

/// Reads a value of any kind; the elements of an array or map follow and are read by further calls.
bool unpack_next(unpacker *in, unpacked *value);

/// Reads the head of an array.
bool unpack_array(unpacker *in, uint32_t *count);

#endif
