#ifndef CSQLITE_H
#define CSQLITE_H

#include <sqlite3.h>

/// What Swift cannot call itself: C functions with a variable number of arguments.

/// Says whether triggers fire for statements of a connection. Returns a result code of SQLite.
int kt_sqlite_fire_triggers(sqlite3 *connection, int fires);

#endif
