#include "buffer.h"

#include <stdlib.h>
#include <string.h>

buffer buffer_make(size_t limit) {
    return (buffer){.limit = limit};
}

static bool make_room(buffer *self, size_t count) {
    if (self->refused || count > self->limit - self->count) return false;
    size_t wanted = self->count + count;
    if (wanted <= self->capacity) return true;
    size_t capacity = self->capacity < 256 ? 256 : self->capacity;
    while (capacity < wanted) capacity *= 2;
    uint8_t *bytes = realloc(self->bytes, capacity);
    if (bytes == NULL) return false;
    self->bytes = bytes;
    self->capacity = capacity;
    return true;
}

void buffer_append(buffer *self, const void *bytes, size_t count) {
    if (count == 0) return;
    if (!make_room(self, count)) {
        self->refused = true;
        return;
    }
    memcpy(self->bytes + self->count, bytes, count);
    self->count += count;
}

void buffer_clear(buffer *self) {
    self->count = 0;
    self->refused = false;
}

void buffer_free(buffer *self) {
    free(self->bytes);
    *self = buffer_make(self->limit);
}
