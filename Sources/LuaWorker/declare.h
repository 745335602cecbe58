// The words of a keyturn.lua, and what is declared by them.
#ifndef KEYTURN_DECLARE_H
#define KEYTURN_DECLARE_H

#include "host.h"

/// What has been declared so far.
typedef struct {
    /// Values are packed here before Lua takes them over.
    buffer scratch;
    int64_t nodes;
    int count;
    /// Whether the texts have been run; nothing can be declared any more.
    bool is_complete;
} declarations;

/// Makes a state with the words and runs all texts of a request in it: `keyturn.lua`, then those in `scripts`.
///
/// Each word (`database`, `keyring`, `column`, `provider`, `schedule`, `hook`, `role`) takes a name, and the value
/// that follows either as a second argument or by a second call: `keyring "main" { … }`. A text that another one uses is
/// run once.
///
/// Returns the name of the text that failed, as the outcome says; NULL where all went well.
const char *declare_all(host *self, sandbox *box, declarations *declared, const request *asked,
                        sandbox_outcome *outcome);

/// Writes the declarations as an array of `{kind, file, line, name, body}` in the order of the calls, where `body` is absent
/// for a name without a value. Functions are written by their type.
void declare_pack(sandbox *box, const declarations *self, buffer *out);

/// Pushes a hook by its stage and its number among those of the stage, from 1; nil where there is none.
void declare_push_hook(lua_State *L, const char *stage, int64_t number);

/// Pushes a function of a schedule, `when` or `next`; nil where there is none.
void declare_push_schedule(lua_State *L, const char *name, const char *function);

/// Lets names that mean nothing be looked for in the table on top before they are refused.
void declare_add_globals(lua_State *L);

#endif
