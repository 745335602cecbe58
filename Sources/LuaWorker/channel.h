// Frames over the inherited socket: u32 length, big-endian, and one MessagePack value.
#ifndef KEYTURN_CHANNEL_H
#define KEYTURN_CHANNEL_H

#include "buffer.h"

enum {
    /// The descriptor that the supervisor leaves open.
    CHANNEL = 3,
    FRAME_LIMIT = 16 << 20,
};

/// Reads one frame; false at the end of the stream and for a frame above the limit.
bool channel_read(buffer *frame);

/// Writes one frame; false when the supervisor has gone.
bool channel_write(const buffer *frame);

/// Writes `{ok=false, error={kind, message, file, line}}`; an empty file and a line of 0 are left out.
bool channel_write_error(const char *kind, const char *message, const char *file, int line);

/// Answers with that error and ends the process once it has used this much processor time.
///
/// The way out of loops inside Lua's own C functions, where no hook fires. The handler only writes and exits.
void channel_arm_deadline(int64_t cpu_ms, const char *message);

/// Ends the process with a status once it has used this much processor time; for loops inside Lua's own C functions.
void channel_arm_exit(int64_t cpu_ms, int status);

/// Looks twice a second whether the supervisor is still there, and ends the process where it is not; also where no hook
/// fires.
void channel_watch_peer(bool is_on);

/// Whether something can be read; ends the process where the supervisor has gone.
bool channel_has_input(void);

/// Lets the process go on whatever time it has used.
void channel_disarm_deadline(void);

#endif
