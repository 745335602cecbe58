#ifndef CEVENTS_H
#define CEVENTS_H

#include <stdint.h>

/// The kernel's event queue (epoll), which the module map of the C library leaves out.

/// One thing that happened.
struct kt_event {
    /// What was watched.
    uint64_t token;
    /// 1 where bytes can be read, or the other end is gone.
    int32_t is_readable;
    /// 1 where bytes can be written, or the other end is gone.
    int32_t is_writable;
};

/// Makes a queue. Returns its descriptor, or -1 with errno set.
int kt_events_make(void);

/// Makes a descriptor that becomes readable by kt_events_wake. Returns it, or -1 with errno set.
int kt_events_make_waker(void);

/// Makes a waker readable.
void kt_events_wake(int waker);

/// Makes a waker unreadable again.
void kt_events_quiet(int waker);

/// Begins to watch a descriptor, for nothing yet. Returns 0, or -1 with errno set.
int kt_events_add(int queue, int descriptor, uint64_t token);

/// Watches a descriptor for the next event of these kinds, once.
/// Returns 0, or -1 with errno set.
int kt_events_arm(int queue, int descriptor, uint64_t token, int readable, int writable);

/// Ceases to watch a descriptor. Returns 0, or -1 with errno set.
int kt_events_remove(int queue, int descriptor);

/// Waits for events, `timeout` milliseconds at most, or without end where it is -1.
/// Returns how many there are, or -1 with errno set.
int kt_events_wait(int queue, struct kt_event *events, int count, int timeout);

#endif
