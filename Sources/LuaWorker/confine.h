// What the worker takes from itself before any Lua runs.
#ifndef KEYTURN_CONFINE_H
#define KEYTURN_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

/// Closes all descriptors but 0 to 3, sets the limits that need no request, forbids core files and new privileges.
void confine_start(void);

/// Gives up root where it has it, and bounds memory and processor time.
///
/// A worker ends with its socket, not with the thread that started it: that thread may end long before.
bool confine_limits(int64_t memory_bytes, int64_t cpu_ms);

/// Allows no system call but those that computing and the channel need; all others fail with EPERM.
bool confine_system_calls(void);

#endif
