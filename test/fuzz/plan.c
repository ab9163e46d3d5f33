/*
 * libFuzzer target: a plan that the checker accepts must be carried out
 * without touching anything outside it, whatever the kernel answers; one that
 * it refuses must never reach a system call.
 *
 * Input: one byte n, n bytes that say how the kernel behaves, and the plan.
 * The core is built with CF_SYSCALL_HOOK, so that its system calls come here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../src-native/core/core.h"

#define FIRST_FD 100
#define LAST_FD 4096

static const uint8_t *behaviour;
static size_t behaviour_size, behaviour_next;
static int accepted; /* system calls are allowed */
static unsigned calls;
static uint8_t is_open[LAST_FD];
static int next_fd;
static int track; /* descriptors are the core's own: none may leak or be closed twice */
static volatile uint8_t sink;
static void *mapped; /* what EXEC asked for, of exactly the size it asked for */

#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "broken: %s (line %d)\n", #condition, __LINE__);         \
      abort();                                                                 \
    }                                                                          \
  } while (0)

static uint8_t choose(void) {
  if (behaviour_size == 0) return 0;
  return behaviour[behaviour_next++ % behaviour_size];
}

static void touch(const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) sink = ((const uint8_t *)bytes)[i];
}

static long open_fd(void) {
  if (next_fd >= LAST_FD) return -EMFILE;
  is_open[next_fd] = 1;
  return next_fd++;
}

static long close_fd(long fd) {
  if (!track) return 0;
  REQUIRE(fd >= FIRST_FD && fd < LAST_FD && is_open[fd]);
  is_open[fd] = 0;
  return 0;
}

static long receive(struct msghdr *message) {
  struct cf_message reply = {CF_MSG_CONTINUE, 0, 0, 0, 0, 0};
  uint8_t how = choose();
  REQUIRE(message->msg_iovlen == 1);
  if (how < 8) return 0; /* the host is gone */
  if (how < 16) reply.type = how;
  size_t size = sizeof reply;
  if (how >= 16 && how < 24) size = how - 16;
  if (size > message->msg_iov->iov_len) size = message->msg_iov->iov_len;
  memcpy(message->msg_iov->iov_base, &reply, size);
  unsigned fds = how >= 128 ? how % 4 : 0;
  size_t space = message->msg_controllen;
  message->msg_controllen = 0;
  message->msg_flags = how >= 250 ? MSG_TRUNC : how >= 245 ? MSG_CTRUNC : 0;
  if (fds > 0 && space >= CMSG_SPACE(sizeof(int) * fds)) {
    struct cmsghdr *header = message->msg_control;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds);
    for (unsigned i = 0; i < fds; i++) ((int *)CMSG_DATA(header))[i] = (int)open_fd();
    message->msg_controllen = CMSG_SPACE(sizeof(int) * fds);
  }
  return (long)size;
}

/* What COPY_TREE reads of a directory, or of a file that is one for now. */
static long list(uint8_t *bytes, size_t size) {
  static const char *const names[] = {"a", "..", "b/c", ""};
  size_t at = 0;
  for (unsigned count = choose() % 3; count > 0 && at + 24 <= size; count--, at += 24) {
    uint8_t how = choose();
    memset(bytes + at, how < 8 ? 'x' : 0, 24);
    bytes[at + 16] = how < 16 ? how : 24;
    strcpy((char *)bytes + at + 19, names[how < 64 ? how % 4 : 0]);
  }
  return (long)at;
}

static long describe(struct statx *status) {
  static const uint16_t kinds[] = {0040000, 0100000, 0120000, 0010000, 0020000};
  memset(status, 0, sizeof *status);
  status->stx_mode = kinds[choose() % 5];
  return 0;
}

long cf_syscall_hook(long nr, long a, long b, long c, long d, long e, long f) {
  static const int errors[] = {EPERM, ENOENT, EINTR,  EIO,     EAGAIN, EACCES,
                               EBUSY, ENOTDIR, EINVAL, ELOOP, ENOSYS, EROFS};
  (void)c, (void)d, (void)e, (void)f;
  REQUIRE(accepted);
  if (nr == __NR_close) return close_fd(a);
  /* EAGAIN and EINTR for ever would be an endless loop, and no kernel does it. */
  if (++calls > 20000) return -EIO;
  if (nr == __NR_munmap && track) {
    REQUIRE((void *)a == mapped);
    free(mapped);
    mapped = 0;
    return 0;
  }
  uint8_t how = choose();
  if (how < 96) return -errors[how % (sizeof errors / sizeof *errors)];
  switch (nr) {
  case __NR_openat2:
    if (track) touch((const char *)b, strlen((const char *)b) + 1);
    return open_fd();
  case __NR_open_tree: return open_fd();
  /* TARGET's second descriptor of the root; those of PASS stay open until execve. */
  case __NR_fcntl: return b == F_DUPFD_CLOEXEC && c == CF_STDIO ? open_fd() : 0;
  case __NR_pipe2:
    if (!track || next_fd + 2 > LAST_FD) return -EMFILE;
    for (int i = 0; i < 2; i++) ((int *)a)[i] = (int)open_fd();
    return 0;
  case __NR_read: return track && how % 2; /* of the one byte that the core asks for */
  case __NR_getdents64: return track ? list((uint8_t *)b, (size_t)c) : 0;
  case __NR_statx: return track ? describe((struct statx *)e) : 0;
  case __NR_readlinkat: return track ? (memset((void *)c, 'x', how), how) : 0;
  case __NR_flistxattr: return track ? (memset((void *)b, 0, how), ((char *)b)[0] = 'x', how) : 0;
  case __NR_recvmsg: return track ? receive((struct msghdr *)b) : -EIO;
  case __NR_sendmsg: return sizeof(struct cf_message);
  case __NR_recvfrom: return -EAGAIN;
  case __NR_mmap: return track ? (long)(mapped = malloc((size_t)b)) : -ENOMEM;
  case __NR_execve:
    if (!track) return -ENOENT;
    touch((const char *)a, strlen((const char *)a) + 1);
    for (char **list = (char **)b; *list; list++) touch(*list, strlen(*list) + 1);
    for (char **list = (char **)c; *list; list++) touch(*list, strlen(*list) + 1);
    return -ENOENT;
  default: return 0;
  }
}

/* Reads whatever the plan hands to the kernel, as the kernel might. */
static void touch_arguments(const uint8_t *plan) {
  const struct cf_header *header = (const struct cf_header *)plan;
  const struct cf_op *ops = (const struct cf_op *)(header + 1);
  for (uint32_t i = 0; i < header->op_count; i++) {
    for (unsigned a = 0; a < ops[i].nargs; a++) {
      uint64_t arg = ops[i].args[a];
      if (ops[i].kinds[a] == CF_ARG_STRING) touch(plan + arg, strlen((const char *)plan + arg) + 1);
      if (ops[i].kinds[a] == CF_ARG_BYTES) touch(plan + (arg & 0xffffffff), arg >> 32);
    }
    /* A plan's own calls may do with descriptors and messages what they like. */
    if (ops[i].code == CF_OP_SYSCALL) {
      static const uint32_t wild[] = {__NR_close,      __NR_fcntl,     __NR_openat2,  __NR_open_tree,
                                      __NR_recvmsg,    __NR_sendmsg,   __NR_execve,   __NR_recvfrom,
                                      __NR_mmap,       __NR_munmap,    __NR_pipe2,    __NR_read,
                                      __NR_getdents64, __NR_readlinkat, __NR_statx,   __NR_flistxattr};
      for (unsigned w = 0; w < sizeof wild / sizeof *wild; w++)
        if (ops[i].nr == wild[w]) track = 0;
      /* Others give 0, which is nobody's descriptor. */
      if (ops[i].result != CF_NO_SLOT) track = 0;
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size - 1 < data[0]) return 0;
  behaviour_size = data[0];
  behaviour = data + 1;
  size_t plan_size = size - 1 - behaviour_size;

  /* For init and for the host; of exactly its size, so that reading on shows. */
  for (int side = CF_SIDE_HOST; side <= CF_SIDE_INIT; side++) {
    uint8_t *plan = malloc(plan_size);
    if (plan == 0) return 0;
    memcpy(plan, data + 1 + behaviour_size, plan_size);
    behaviour_next = 0;
    calls = 0;
    next_fd = FIRST_FD;
    memset(is_open, 0, sizeof is_open);
    accepted = 0;
    track = 1;
    mapped = 0;

    if (cf_check(plan, plan_size, (enum cf_side)side) == 0) {
      struct cf_machine machine;
      struct cf_message failure;
      touch_arguments(plan);
      accepted = 1;
      cf_machine_init(&machine, side == CF_SIDE_HOST ? -1 : 3);
      machine.plan = plan;
      if (cf_run(&machine, &failure) == CF_FAILED)
        REQUIRE(failure.type == CF_MSG_FAILED && failure.error > 0);
      cf_close_slots(&machine);
      if (track)
        for (int fd = FIRST_FD; fd < next_fd; fd++) REQUIRE(!is_open[fd]);
    }
    REQUIRE(mapped == 0);
    free(plan);
  }
  return 0;
}
