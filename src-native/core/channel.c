/*
 * The socket between host and init (SOCK_SEQPACKET: packets stay whole and in
 * order). unix(7), cmsg(3).
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core.h"

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * CF_MAX_FDS)];
};

long cf_send(int channel, const void *bytes, uint64_t size, const int *fds,
             unsigned fd_count, int flags) {
  struct iovec vector = {(void *)(uintptr_t)bytes, size};
  struct msghdr message = {0};
  union control control = {0};

  if (fd_count > CF_MAX_FDS) return -EINVAL;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    int *slots = (int *)CMSG_DATA(&control.header);
    for (unsigned i = 0; i < fd_count; i++) slots[i] = fds[i];
  }
  long result;
  do {
    result = cf_call3(__NR_sendmsg, channel, &message, flags | MSG_NOSIGNAL);
  } while (result == -EINTR);
  return result;
}

long cf_receive(int channel, void *bytes, uint64_t size, int *fds,
                unsigned *fd_count, int flags) {
  struct iovec vector = {bytes, size};
  struct msghdr message = {0};
  union control control = {0};
  long result;

  *fd_count = 0;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  do {
    result = cf_call3(__NR_recvmsg, channel, &message, flags | MSG_CMSG_CLOEXEC);
  } while (result == -EINTR);
  if (result < 0) return result;

  unsigned count = 0;
  if (message.msg_controllen >= sizeof(struct cmsghdr) &&
      control.header.cmsg_level == SOL_SOCKET &&
      control.header.cmsg_type == SCM_RIGHTS &&
      control.header.cmsg_len >= CMSG_LEN(0) &&
      control.header.cmsg_len <= sizeof control) {
    const int *slots = (const int *)CMSG_DATA(&control.header);
    count = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (count > CF_MAX_FDS) count = CF_MAX_FDS;
    for (unsigned i = 0; i < count; i++) fds[i] = slots[i];
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    for (unsigned i = 0; i < count; i++) cf_call1(__NR_close, fds[i]);
    return -EBADMSG;
  }
  *fd_count = count;
  return result;
}
