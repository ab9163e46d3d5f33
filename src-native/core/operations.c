/*
 * The operations that a single system call can't express.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef O_PATH
#define O_PATH 010000000
#endif

/* Makes a call and remembers which one it was. */
#define CALL(nr_out, name, count, ...)                                            \
  (*(nr_out) = __NR_##name, cf_call##count(__NR_##name, __VA_ARGS__))

/*
 * Opens a path below `root` as a descriptor without access rights. Paths in a
 * root file system are hostile: "..", absolute symbolic links and the like
 * stay below root, and magic links of /proc are refused. openat2(2)
 */
static long open_in_root(int root, const char *path, uint64_t flags, uint64_t resolve,
                         uint32_t *nr) {
  struct open_how how = {0};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
  long fd;
  /* EAGAIN: something was renamed meanwhile, and ".." could not be proved safe. */
  for (int attempt = 0; attempt < CF_OPEN_ATTEMPTS; attempt++) {
    fd = CALL(nr, openat2, 4, root, path, &how, sizeof how);
    if (fd != -EAGAIN && fd != -EINTR) break;
  }
  return fd;
}

/* 1 when both are the same place in the tree of mounts, 0 when not; or -errno. */
static long same_place(int a, int b, uint32_t *nr) {
  struct statx status[2];
  const unsigned wanted = STATX_INO | STATX_MNT_ID;
  for (int i = 0; i < 2; i++) {
    long result = CALL(nr, statx, 5, i == 0 ? a : b, "", AT_EMPTY_PATH, wanted, &status[i]);
    if (result < 0) return result;
  }
  return status[0].stx_ino == status[1].stx_ino &&
         status[0].stx_dev_major == status[1].stx_dev_major &&
         status[0].stx_dev_minor == status[1].stx_dev_minor &&
         status[0].stx_mnt_id == status[1].stx_mnt_id;
}

/*
 * Opens a mount target that exists. A symbolic link that leads to the root
 * itself is refused: what is mounted there would cover nothing, but could be
 * reached by "/..". A strict target takes no symbolic link at all.
 */
static long open_target(int root, const char *path, uint64_t kind, unsigned flags, uint32_t *nr) {
  long fd = open_in_root(root, path, kind, RESOLVE_NO_SYMLINKS, nr);
  if (fd != -ELOOP || (flags & CF_TARGET_STRICT)) return fd;
  fd = open_in_root(root, path, kind, 0, nr);
  if (fd < 0) return fd;
  long same = same_place(root, (int)fd, nr);
  if (same == 0) return fd;
  cf_call1(__NR_close, fd);
  return same < 0 ? same : -ELOOP;
}

/* Sends a message about this operation and waits for leave to go on. */
static long ask_host(struct cf_context *context, uint32_t type, uint32_t value,
                     int send_fd, int *received_fd, uint32_t *nr) {
  int channel = context->machine->channel;
  struct cf_message message = {type, context->op->step, context->index, 0, 0, value};
  int fds[CF_MAX_FDS];
  unsigned fd_count;

  *nr = __NR_sendmsg;
  long result = cf_send(channel, &message, sizeof message, &send_fd, send_fd >= 0, 0);
  if (result < 0) return result;
  *nr = __NR_recvmsg;
  result = cf_receive(channel, &message, sizeof message, fds, &fd_count, 0);
  if (result < 0) return result;
  for (unsigned i = received_fd != 0; i < fd_count; i++) cf_call1(__NR_close, fds[i]);
  if (received_fd != 0) *received_fd = fd_count > 0 ? fds[0] : -1;
  if (result == 0) return -ECONNRESET;
  return result == sizeof message && message.type == CF_MSG_CONTINUE ? 0 : -EBADMSG;
}

/*
 * TARGET(root, path, flags): the place for a mount. Where it does not exist,
 * its missing directories are made, and at last a directory or an empty file.
 * With PARENT it is not made itself, and what comes back is its directory: for
 * what is made there by a call that follows no symbolic link.
 */
long cf_do_target(struct cf_context *context, uint32_t *nr) {
  int root = (int)context->args[0];
  const char *path = (const char *)context->args[1];
  unsigned flags = (unsigned)context->args[2];
  char prefix[CF_MAX_PATH];
  uint64_t kind = flags & CF_TARGET_FILE ? 0 : O_DIRECTORY;

  uint64_t resolve = flags & CF_TARGET_STRICT ? RESOLVE_NO_SYMLINKS : 0;

  long fd;
  if (flags & CF_TARGET_PARENT) {
    fd = open_in_root(root, path, O_NOFOLLOW, resolve, nr);
    if (fd >= 0) cf_call1(__NR_close, fd);
    else if (fd != -ENOENT) return fd;
  } else {
    fd = open_target(root, path, kind, flags, nr);
    if (fd != -ENOENT) return fd;
  }
  if (fd < 0 && (flags & CF_TARGET_JOURNAL)) {
    long asked = ask_host(context, CF_MSG_MAKING, 0, -1, 0, nr);
    if (asked < 0) return asked;
  }

  int parent = root;
  unsigned end = 0;
  for (;;) {
    while (path[end] == '/') end++;
    if (path[end] == 0) return parent == root ? -ENOENT : parent;
    unsigned start = end;
    for (; path[end] != 0 && path[end] != '/'; end++) {
      if (end + 1 >= sizeof prefix) {
        fd = -ENAMETOOLONG;
        goto failed;
      }
    }
    for (unsigned i = 0; i < end; i++) prefix[i] = path[i];
    prefix[end] = 0;
    unsigned rest = end;
    while (path[rest] == '/') rest++;
    if (path[rest] == 0 && (flags & CF_TARGET_PARENT))
      return parent == root ? CALL(nr, fcntl, 3, root, F_DUPFD_CLOEXEC, CF_STDIO) : parent;

    int file = path[rest] == 0 && (flags & CF_TARGET_FILE);
    fd = open_in_root(root, prefix, file ? 0 : O_DIRECTORY, resolve, nr);
    if (fd == -ENOENT) {
      long made;
      if (file)
        made = CALL(nr, mknodat, 4, parent, prefix + start, 0100644 /* S_IFREG */, 0);
      else
        made = CALL(nr, mkdirat, 3, parent, prefix + start, 0755);
      fd = made < 0 ? made : open_in_root(root, prefix, file ? 0 : O_DIRECTORY, resolve, nr);
    }
    if (fd < 0) goto failed;
    if (parent != root) cf_call1(__NR_close, parent);
    parent = (int)fd;
  }

failed:
  if (parent != root) cf_call1(__NR_close, parent);
  return fd;
}

/*
 * MASK(root, path, empty, null): hides a path. A directory is covered with the
 * empty file system in slot `empty`, anything else with the file in `null`.
 * What does not exist needs no hiding.
 */
long cf_do_mask(struct cf_context *context, uint32_t *nr) {
  struct cf_machine *machine = context->machine;
  int root = (int)context->args[0];
  const char *path = (const char *)context->args[1];
  int empty = (int)context->args[2], null = (int)context->args[3];

  long target = open_in_root(root, path, 0, 0, nr);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  struct statx status;
  long result = CALL(nr, statx, 5, target, "", AT_EMPTY_PATH, STATX_TYPE, &status);
  if (result < 0) {
    cf_call1(__NR_close, target);
    return result;
  }
  int directory = (status.stx_mode & 0170000 /* S_IFMT */) == 0040000 /* S_IFDIR */;

  /*
   * The empty file system is placed as it is the first time, and cloned from
   * there: a mount that is nowhere attached can be cloned since Linux 6.15
   * only.
   */
  long tree = empty;
  if (!directory || machine->mask_placed)
    tree = CALL(nr, open_tree, 3, directory ? empty : null, "",
                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  result = tree;
  if (tree >= 0)
    result = CALL(nr, move_mount, 5, tree, "", target, "",
                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  if (tree >= 0 && tree != empty) cf_call1(__NR_close, tree);
  cf_call1(__NR_close, target);
  if (result >= 0 && directory) machine->mask_placed = 1;
  return result;
}

/*
 * WAIT(point [, slot]): tells the host that waiting point `point` is reached,
 * with the descriptor in `slot` if one is named, and goes on when the host
 * says so. A descriptor that comes with the answer goes to the result slot.
 */
long cf_do_wait(struct cf_context *context, uint32_t *nr) {
  int send_fd = context->op->nargs > 1 ? (int)context->args[1] : -1;
  int received = -1;
  long result = ask_host(context, CF_MSG_WAITING, (uint32_t)context->args[0], send_fd,
                         context->op->result == CF_NO_SLOT ? 0 : &received, nr);
  if (result < 0 || context->op->result == CF_NO_SLOT) return result;
  return received < 0 ? -EBADMSG : received; /* none came, and one was to */
}

/*
 * BOUNDING(keep): drops every capability that is not in the bit set `keep`
 * from the bounding set. Goes on until the kernel knows no more capabilities,
 * so that one younger than this code is dropped too. capabilities(7)
 */
long cf_do_bounding(struct cf_context *context, uint32_t *nr) {
  uint64_t keep = (uint64_t)context->args[0];
  for (unsigned capability = 0; capability < 64; capability++) {
    if (keep >> capability & 1) continue;
    long result = CALL(nr, prctl, 5, PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (result == -EINVAL && capability > 0) return 0;
    if (result < 0) return result;
  }
  return 0;
}

/*
 * PASS(count): the descriptors in the slots behind those of the standard streams
 * become 3, 4 and so on, and stay open over execve. Whatever has such a number,
 * the channel first of all, goes out of the way. It ends the use of slots.
 */
long cf_do_pass(struct cf_context *context, uint32_t *nr) {
  struct cf_machine *machine = context->machine;
  int count = (int)context->args[0], high = CF_STDIO + count;
  int passed[CF_MAX_FDS];

  long result = CALL(nr, fcntl, 3, machine->channel, F_DUPFD_CLOEXEC, high);
  if (result < 0) return result;
  machine->channel = (int)result;
  for (int i = 0; i < count; i++) {
    result = CALL(nr, fcntl, 3, machine->slots[CF_STDIO + i], F_DUPFD_CLOEXEC, high);
    if (result < 0) return result;
    passed[i] = (int)result;
  }
  for (int i = 0; i < count; i++) {
    result = CALL(nr, dup3, 3, passed[i], CF_STDIO + i, 0);
    if (result < 0) return result;
  }
  for (unsigned i = 0; i < CF_SLOTS; i++) {
    int replaced = machine->slots[i] >= CF_STDIO && machine->slots[i] < high;
    if (replaced) machine->slots[i] = -1;
    else cf_set_slot(machine, i, -1);
  }
  return 0;
}

/* The strings of a vector as the NULL-terminated array that execve wants. */
static char **pointers(const struct cf_machine *machine, uint64_t arg, char ***room) {
  const uint64_t *vector = (const uint64_t *)(machine->plan + (arg & 0xffffffff));
  char **result = *room;
  for (uint64_t i = 0; i < arg >> 32; i++)
    *(*room)++ = (char *)(uintptr_t)(machine->plan + vector[i]);
  *(*room)++ = 0;
  return result;
}

/*
 * EXEC(paths, argv, envp): execve of the first path that can be executed, the
 * way execvp(3) searches. A program that exists but may not be executed is
 * EACCES and not ENOENT, wherever it stands in the search.
 */
long cf_do_exec(struct cf_context *context, uint32_t *nr) {
  struct cf_machine *machine = context->machine;
  const uint64_t *args = context->op->args;
  char byte;

  /*
   * Whoever changes user or capabilities loses the parent-death signal for a
   * moment. If the host died in it, the socket says so.
   */
  *nr = __NR_recvfrom;
  long result = cf_syscall6(*nr, machine->channel, (long)&byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0);
  if (result == 0) return -ECONNRESET;

  /* The arrays have no room in the plan, which is not to be written to. */
  uint64_t size = ((args[0] >> 32) + (args[1] >> 32) + (args[2] >> 32) + 3) * sizeof(char *);
  *nr = __NR_mmap;
  long room = cf_syscall6(*nr, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);
  if (room < 0 && room > -4096) return room;
  char **next = (char **)room;
  char **paths = pointers(machine, args[0], &next);
  char **argv = pointers(machine, args[1], &next);
  char **envp = pointers(machine, args[2], &next);

  /*
   * The end of file says that execve has succeeded or that this process has
   * ended, which only the parent can tell apart for certain.
   */
  if (machine->foreign) {
    struct cf_message message = {CF_MSG_EXECUTING, context->op->step, context->index, 0, 0, 0};
    result = cf_send(machine->channel, &message, sizeof message, 0, 0, 0);
    if (result < 0) return *nr = __NR_sendmsg, result;
  }

  long denied = 0;
  for (; *paths != 0; paths++) {
    result = CALL(nr, execve, 3, *paths, argv, envp);
    if (result == -EACCES) denied = result;
    else if (result != -ENOENT && result != -ENOTDIR) break;
    result = -ENOENT;
  }
  cf_call2(__NR_munmap, room, size);
  return result == -ENOENT && denied < 0 ? denied : result;
}
