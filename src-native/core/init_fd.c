/*
 * How init's bytes become something that can be executed. Called once per
 * process, not on the way to a start, so the C library may be used.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "spawn.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* since Linux 6.3 */
#endif

/*
 * The descriptor is moved above the ones that the child of a spawn overwrites
 * (the standard streams and the channel).
 */
static long move_up(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
  long result = moved < 0 ? -errno : moved;
  close(fd);
  return result;
}

static long write_file(int fd, const uint8_t *bytes, uint64_t size) {
  while (size > 0) {
    ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -errno;
    bytes += written;
    size -= (uint64_t)written;
  }
  return 0;
}

/*
 * Where memfds may not be executed (sysctl vm.memfd_noexec=2, some nested
 * sandboxes): a file that has no name and no writer. Nothing seals it, but
 * only a process that may trace init could open it again.
 */
static long unlinked_file(const uint8_t *bytes, uint64_t size) {
  static const char *const folders[] = {"/run", "/dev/shm", "/tmp", "/var/tmp"};
  long last = -ENOENT;
  for (unsigned i = 0; i < sizeof folders / sizeof folders[0]; i++) {
    struct statvfs info;
    char link[32];
    if (statvfs(folders[i], &info) != 0 || (info.f_flag & ST_NOEXEC)) continue;
    int writer = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0500);
    if (writer < 0) {
      last = -errno;
      continue;
    }
    /* A file that is open for writing can't be executed: it is opened anew. */
    last = write_file(writer, bytes, size);
    snprintf(link, sizeof link, "/proc/self/fd/%d", writer);
    int reader = last < 0 ? -1 : open(link, O_RDONLY | O_CLOEXEC);
    if (last >= 0 && reader < 0) last = -errno;
    close(writer);
    if (reader >= 0) return move_up(reader);
  }
  return last;
}

long cf_init_open(const uint8_t *bytes, uint64_t size, int *sealed) {
  uint32_t nr;
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

  *sealed = 1;
  long fd = cf_call2(__NR_memfd_create, "cofferdam-init", flags | MFD_EXEC);
  if (fd == -EINVAL) fd = cf_call2(__NR_memfd_create, "cofferdam-init", flags);
  if (fd >= 0) {
    long status = cf_fill_and_seal((int)fd, bytes, size, &nr);
    if (status >= 0) return move_up((int)fd);
    cf_call1(__NR_close, fd);
    return status;
  }
  *sealed = 0;
  return unlinked_file(bytes, size);
}
