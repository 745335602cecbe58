// Values of Lua as MessagePack, read raw: no metamethod is called.
#ifndef KEYTURN_EXPORT_H
#define KEYTURN_EXPORT_H

#include <lua.h>

#include "msgpack.h"

/// The name in the one-entry map that stands for a value that is no data: its entry is the type, such as "function".
#define EXPORT_TYPE_NAME "\0type"

typedef struct {
    buffer *out;
    /// Values written so far, and the most.
    int64_t nodes;
    int64_t nodes_most;
    /// The tables that enclose the one being written.
    const void *ancestors[MSGPACK_DEPTH];
    int depth;
    /// Whether a function, a thread or a userdata is a failure, rather than written by its type.
    bool refuses_types;
} exporter;

/// Writes the value at an index.
///
/// A table whose keys are 1…n becomes an array, any other a map with texts as names, an empty one a map.
/// Returns NULL, or why the value cannot be written; never raises.
const char *export_value(exporter *self, lua_State *L, int index);

#endif
