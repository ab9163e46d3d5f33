/*
 * Operations that write down for the host what only this process could find
 * out: in a file of the plan's own, a memfd mostly, which then goes to the host.
 */
#include <errno.h>

#include "core.h"

static long write_all(int to, const void *bytes, long size, uint32_t *nr) {
  const uint8_t *next = bytes;
  *nr = __NR_write;
  while (size > 0) {
    long written = cf_call3(__NR_write, to, next, size);
    if (written == -EINTR) continue;
    if (written <= 0) return written < 0 ? written : -EIO;
    next += written;
    size -= written;
  }
  return 0;
}

/*
 * COPY(from, to, most): what `from` says until its end. What a file of proc says
 * depends on who reads it, so the host can't read it from a descriptor.
 */
long cf_do_copy(struct cf_context *context, uint32_t *nr) {
  uint8_t bytes[4096];
  long left = context->args[2];
  for (;;) {
    *nr = __NR_read;
    long size = cf_call3(__NR_read, context->args[0], bytes, sizeof bytes);
    if (size == -EINTR) continue;
    if (size <= 0) return size;
    if (size > left || size > (long)sizeof bytes) return -EFBIG;
    left -= size;
    long result = write_all((int)context->args[1], bytes, size, nr);
    if (result < 0) return result;
  }
}

/* TELL(to): what the last system call of the plan before gave, in 8 bytes. */
long cf_do_tell(struct cf_context *context, uint32_t *nr) {
  int64_t last = context->machine->last;
  return write_all((int)context->args[0], &last, sizeof last, nr);
}
