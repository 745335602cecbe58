#ifndef GUARD_H
#define GUARD_H

#include "CProcess.h"

#include <sys/types.h>

/// What is said of a start, as often as there is something to say: an error, or the program's number.
struct report {
    int error;
    pid_t program;
};

/// The descriptor that reports are written to, the one of the program's file where it has no path, and the program's secret.
enum { REPORT = 3, EXECUTABLE = 4, SECRET = KT_SECRET_DESCRIPTOR };

/// The name by which this program, started anew, knows that it shall stand guard over another.
///
/// Its arguments are: the host's number, the directory to begin in, the most bytes of address space, the most bytes of a
/// file, the most descriptors, the path ("" where the descriptor is executed); then those of the program.
#define GUARD_NAME "keyturn-plugin-guard"
enum { GUARD_ARGUMENTS = 7 };

#endif
