// MessagePack as values of Lua.
#ifndef KEYTURN_IMPORT_H
#define KEYTURN_IMPORT_H

#include <lua.h>

#include "msgpack.h"

/// Pushes the next value; arrays and maps become tables. Raises where the bytes are no value or memory runs out.
void import_value(lua_State *L, unpacker *in);

#endif
