#include "CSQLite.h"

#include <stddef.h>

int kt_sqlite_fire_triggers(sqlite3 *connection, int fires)
{
    return sqlite3_db_config(connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, fires, NULL);
}
