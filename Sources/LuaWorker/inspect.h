// Values of Lua as MessagePack for people and programs to read: never fails, whatever a script hands out.
#ifndef KEYTURN_INSPECT_H
#define KEYTURN_INSPECT_H

#include <lua.h>

#include "msgpack.h"

typedef struct {
    buffer *out;
    /// Values and bytes of text that may still be written.
    int64_t nodes;
    int64_t bytes;
    /// The tables that enclose the one being written.
    const void *ancestors[MSGPACK_DEPTH];
    int depth;
    /// The number of the last key that is no data.
    int keys;
} inspector;

/// A view of at most 90,000 values and 1 MiB of text.
inspector inspector_make(buffer *out);

/// Writes the value at an index, without calling a metamethod.
///
/// What is no data is written as a text: `<function>`, `<cycle>` for a table inside itself, `<table>` where it is too deep,
/// `<3 more>` where there is too much. In a table with keys of several kinds those that are no text are written as in Lua:
/// `[1]`. Bytes that are no UTF-8 are written as `\xFF`. Raises only where memory runs out.
void inspect_value(inspector *self, lua_State *L, int index);

#endif
