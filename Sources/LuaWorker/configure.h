// The mode that evaluates a keyturn.lua and hands back what it declares.
#ifndef KEYTURN_CONFIGURE_H
#define KEYTURN_CONFIGURE_H

#include "sandbox.h"

/// Runs the text of a configuration and answers on the channel.
///
/// `{ok=true, declarations=[{kind, line, name, body}…], output}` in the order of the calls, where `body` is absent
/// for a name without a table, or `{ok=false, error={kind, message, line}}`.
/// Each word (`database`, `keyring`, `column`, `provider`, `schedule`, `hook`, `role`) takes a name, and the value
/// that follows either as a second argument or by a second call: `keyring "main" { … }`.
void configure(sandbox_limits limits, const char *source, size_t count, const char *chunk_name);

#endif
