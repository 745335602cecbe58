// A growing run of bytes with a limit; after a refusal it stays refused, so that callers check once, at the end.
#ifndef KEYTURN_BUFFER_H
#define KEYTURN_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
    size_t limit;
    bool refused;
} buffer;

/// Makes an empty buffer that holds at most `limit` bytes.
buffer buffer_make(size_t limit);

/// Appends bytes; marks the buffer as refused where the limit or the memory is exceeded.
void buffer_append(buffer *self, const void *bytes, size_t count);

/// Empties a buffer and keeps its memory.
void buffer_clear(buffer *self);

/// Empties a buffer and gives its memory back.
void buffer_free(buffer *self);

#endif
