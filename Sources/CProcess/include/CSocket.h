#ifndef CSOCKET_H
#define CSOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What Swift cannot say of Unix sockets: messages that carry descriptors, and who is at the other end.

/// The most descriptors that one message brings in.
#define KT_SOCKET_DESCRIPTORS 8

/// Sends bytes without waiting and without a signal; the first of them carries `descriptor_count` descriptors, at most
/// KT_SOCKET_DESCRIPTORS. Returns how many bytes were taken, or -1 with errno set.
ssize_t kt_socket_send(int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count);

/// Receives bytes without waiting, and at most KT_SOCKET_DESCRIPTORS descriptors, which are closed on exec.
/// `is_truncated` becomes 1 where the message carried more; those are closed.
/// Returns how many bytes came, 0 at the end of the stream, or -1 with errno set.
ssize_t kt_socket_receive(
    int socket, void *bytes, size_t count, int *descriptors, size_t *descriptor_count, int *is_truncated);

/// Takes the next connection, which does not wait and is closed on exec. Returns it, or -1 with errno set.
int kt_socket_accept(int socket);

/// Says who is at the other end, as the kernel noted when the connection was made.
/// Returns 0, or -1 with errno set.
int kt_socket_peer(int socket, uint32_t *uid, uint32_t *gid, int32_t *pid);

/// Bounds how long connecting and sending wait. Returns 0, or -1 with errno set.
int kt_socket_limit_waiting(int socket, int seconds);

#endif
