#ifndef CPROCESS_H
#define CPROCESS_H

#include "CEvents.h"
#include "CSocket.h"

/// What Swift cannot call itself: C functions with a variable number of arguments.

/// Forbids core dumps of this process and tracing by other processes of the same user.
/// Returns 0, or -1 with errno set.
int kt_process_forbid_dumps(void);

#endif
