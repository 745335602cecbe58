// What the supervisor asks for.
#ifndef KEYTURN_REQUEST_H
#define KEYTURN_REQUEST_H

#include "msgpack.h"
#include "sandbox.h"

enum { KIND_ROOM = 16, NAME_ROOM = 101, SOURCES_MOST = 256 };

/// A text with its name: `keyturn.lua`, `scripts/webhook.lua`.
typedef struct {
    char name[NAME_ROOM];
    const char *text;
    size_t count;
} request_source;

/// The fields of a request; those that it does not have are empty. Texts lie in the frame that was read.
typedef struct {
    char kind[KIND_ROOM];
    int64_t id;
    sandbox_limits limits;
    /// Texts to run, or that `use` finds.
    request_source sources[SOURCES_MOST];
    int source_count;
    /// The names of the host's functions, as one packed array.
    unpacker functions;
    /// The arguments of a script, as one packed array of texts.
    unpacker arguments;
    bool is_interactive;
    /// What to evaluate: the stage and the number of a hook, or the name of a schedule and its function.
    char word[KIND_ROOM];
    char name[NAME_ROOM];
    char function[KIND_ROOM];
    int64_t index;
    /// What the evaluated function gets.
    unpacker argument;
} request;

/// Reads a request; false for a frame that is none.
bool request_read(const buffer *frame, request *self);

#endif
