/*
 * How a plan gets to init: in one packet, or in a sealed memfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/socket.h>

#include "spawn.h"

static long make_memfd(const uint8_t *bytes, uint64_t size, uint32_t *nr) {
  *nr = __NR_memfd_create;
  long fd = cf_call2(*nr, "cofferdam-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return fd;
  long status = cf_fill_and_seal((int)fd, bytes, size, nr);
  if (status >= 0) return fd;
  cf_call1(__NR_close, fd);
  return status;
}

long cf_fill_and_seal(int fd, const uint8_t *bytes, uint64_t size, uint32_t *nr) {
  *nr = __NR_write;
  while (size > 0) {
    long written = cf_call3(__NR_write, fd, bytes, size);
    if (written == -EINTR) continue;
    if (written < 0) return written;
    bytes += written;
    size -= (uint64_t)written;
  }
  *nr = __NR_fcntl;
  return cf_call3(__NR_fcntl, fd, F_ADD_SEALS,
                  F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

long cf_send_plan(int channel, const uint8_t *plan, uint64_t size, const int *fds,
                  unsigned fd_count, uint32_t *nr) {
  long status;
  if (size <= CF_MAX_INLINE) {
    *nr = __NR_sendmsg;
    status = cf_send(channel, plan, size, fds, fd_count, MSG_DONTWAIT);
    return status < 0 ? status : 0;
  }

  int all[CF_MAX_FDS];
  if (fd_count >= CF_MAX_FDS) return -EMFILE;
  long fd = make_memfd(plan, size, nr);
  if (fd < 0) return fd;
  for (unsigned i = 0; i < fd_count; i++) all[i] = fds[i];
  all[fd_count] = (int)fd;
  *nr = __NR_sendmsg;
  status = cf_send(channel, plan, sizeof(struct cf_header), all, fd_count + 1, MSG_DONTWAIT);
  cf_call1(__NR_close, fd);
  return status < 0 ? status : 0;
}
