#include "CEvents.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MOST_EVENTS = 64 };

int kt_events_make(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

int kt_events_make_waker(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void kt_events_wake(int waker)
{
    const uint64_t one = 1;
    /* It fails only where the waker is readable already. */
    ssize_t written = write(waker, &one, sizeof one);
    (void)written;
}

void kt_events_quiet(int waker)
{
    uint64_t count;
    ssize_t got = read(waker, &count, sizeof count);
    (void)got;
}

int kt_events_add(int queue, int descriptor, uint64_t token)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = token};
    return epoll_ctl(queue, EPOLL_CTL_ADD, descriptor, &event);
}

int kt_events_arm(int queue, int descriptor, uint64_t token, int readable, int writable)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = token};
    if (readable)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (writable)
        event.events |= EPOLLOUT;
    return epoll_ctl(queue, EPOLL_CTL_MOD, descriptor, &event);
}

int kt_events_remove(int queue, int descriptor)
{
    struct epoll_event event = {0};
    return epoll_ctl(queue, EPOLL_CTL_DEL, descriptor, &event);
}

int kt_events_wait(int queue, struct kt_event *events, int count, int timeout)
{
    struct epoll_event raw[MOST_EVENTS];
    int got = epoll_wait(queue, raw, count < MOST_EVENTS ? count : MOST_EVENTS, timeout);
    if (got < 0)
        return errno == EINTR ? 0 : -1;
    for (int index = 0; index < got; index++) {
        const uint32_t gone = EPOLLERR | EPOLLHUP;
        events[index].token = raw[index].data.u64;
        events[index].is_readable = (raw[index].events & (EPOLLIN | EPOLLRDHUP | gone)) != 0;
        events[index].is_writable = (raw[index].events & (EPOLLOUT | gone)) != 0;
    }
    return got;
}
