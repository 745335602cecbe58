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

/// Writes `{ok=false, error={kind, message, line}}`; a line of 0 is left out.
bool channel_write_error(const char *kind, const char *message, int line);

/// Answers with that error and ends the process once it has used this much processor time.
///
/// The way out of loops inside Lua's own C functions, where no hook fires. The handler only writes and exits.
void channel_arm_deadline(int64_t cpu_ms, const char *message);

/// Lets the process go on whatever time it has used.
void channel_disarm_deadline(void);

#endif
