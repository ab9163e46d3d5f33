/*
 * COPY_TREE: what is in one directory is copied to another, empty one, which
 * nobody else can reach yet. How many system calls that takes shows only on the
 * way, so no plan can say it.
 *
 * The source is hostile, and may be changed while it is read: everything is
 * opened by name once, without following a link, and what it is is asked of the
 * descriptor. Names in the new tree are this process's alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "core.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_NO_AUTOMOUNT
#define AT_NO_AUTOMOUNT 0x800
#endif
#ifndef O_PATH
#define O_PATH 010000000
#endif

/* linux/stat.h has them too, but not beside fcntl.h of every C library. */
#define KIND 0170000
#define KIND_FILE 0100000
#define KIND_DIRECTORY 0040000
#define KIND_LINK 0120000

#define MAX_DEPTH 64 /* each level holds three descriptors */
#define DIRENT_NAME 19 /* struct linux_dirent64 has its name behind ino, off, reclen, type */
#define DIRENT_LENGTH 16
#define KEEP ((uint32_t)-1) /* chown(2): this id stays as it is */

/* Makes a call and remembers which one it was. */
#define CALL(copy, name, count, ...)                                              \
  (*(copy)->nr = __NR_##name, cf_call##count(__NR_##name, __VA_ARGS__))

struct copy {
  uint32_t *nr;
  char names[8192];      /* of extended attributes, or where a link leads */
  uint8_t bytes[65536];  /* XATTR_SIZE_MAX */
};

static long failed_as(struct copy *copy, long error) {
  *copy->nr = 0;
  return error;
}

/* Opens what `name` is in `directory`: not what a link or a mount there leads to. */
static long open_entry(struct copy *copy, int directory, const char *name, uint64_t flags,
                       uint64_t resolve) {
  struct open_how how = {0};
  how.flags = flags | O_NOFOLLOW | O_CLOEXEC;
  how.mode = flags & O_CREAT ? 0600 : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  long fd;
  for (int attempt = 0; attempt < CF_OPEN_ATTEMPTS; attempt++) {
    fd = CALL(copy, openat2, 4, directory, name, &how, sizeof how);
    if (fd != -EAGAIN && fd != -EINTR) break;
  }
  return fd;
}

static long status_of(struct copy *copy, int fd, struct statx *status) {
  return CALL(copy, statx, 5, fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, status);
}

/* Extended attributes; one that a tmpfs has no place for is left out. xattr(7) */
static long copy_attributes(struct copy *copy, int from, int to) {
  long size = CALL(copy, flistxattr, 3, from, copy->names, sizeof copy->names);
  if (size == -EOPNOTSUPP) return 0;
  if (size < 0) return size;
  if (size > (long)sizeof copy->names) return failed_as(copy, -EIO);
  for (long at = 0, end; at < size; at = end + 1) {
    for (end = at; end < size && copy->names[end] != 0; end++) continue;
    if (end == size) return failed_as(copy, -EIO);
    const char *name = copy->names + at;
    long length = CALL(copy, fgetxattr, 4, from, name, copy->bytes, sizeof copy->bytes);
    if (length == -ENODATA) continue; /* removed meanwhile */
    if (length < 0) return length;
    if (length > (long)sizeof copy->bytes) return failed_as(copy, -EIO);
    long result = CALL(copy, fsetxattr, 5, to, name, copy->bytes, length, 0);
    if (result < 0 && result != -EOPNOTSUPP) return result;
  }
  return 0;
}

/*
 * Owner, mode, attributes and times, in this order: chown takes away set-id bits
 * and file capabilities, and all of them the time. `from` and `to` are open, or -1
 * for what has no attributes that count.
 */
static long finish(struct copy *copy, const struct statx *status, int directory, const char *name,
                   int from, int to, unsigned flags) {
  uint32_t uid = flags & CF_COPY_UID ? status->stx_uid : KEEP;
  uint32_t gid = flags & CF_COPY_GID ? status->stx_gid : KEEP;
  const int64_t times[4] = {status->stx_atime.tv_sec, status->stx_atime.tv_nsec,
                            status->stx_mtime.tv_sec, status->stx_mtime.tv_nsec};
  long result = CALL(copy, fchownat, 5, directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
  if (result >= 0 && (flags & CF_COPY_MODE) && (status->stx_mode & KIND) != KIND_LINK)
    result = CALL(copy, fchmodat, 3, directory, name, status->stx_mode & 07777);
  /* An access list says the mode once more. */
  if (result >= 0 && from >= 0 && (flags & CF_COPY_MODE)) result = copy_attributes(copy, from, to);
  if (result >= 0)
    result = CALL(copy, utimensat, 4, directory, name, times, AT_SYMLINK_NOFOLLOW);
  return result;
}

static long copy_bytes(struct copy *copy, int from, int to) {
  for (;;) {
    long size = CALL(copy, read, 3, from, copy->bytes, sizeof copy->bytes);
    if (size == -EINTR) continue;
    if (size <= 0) return size;
    if (size > (long)sizeof copy->bytes) return failed_as(copy, -EIO);
    for (long done = 0; done < size;) {
      long written = CALL(copy, write, 3, to, copy->bytes + done, size - done);
      if (written == -EINTR) continue;
      if (written <= 0) return written < 0 ? written : -EIO;
      done += written;
    }
  }
}

static long copy_file(struct copy *copy, int from, int to, const char *name) {
  struct statx status = {0};
  long in = open_entry(copy, from, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_NO_XDEV);
  if (in < 0) return in;
  long out = -1;
  long result = status_of(copy, (int)in, &status);
  /* It was a file a moment ago: who exchanged it has something in mind. */
  if (result >= 0 && (status.stx_mode & KIND) != KIND_FILE) result = failed_as(copy, -ESTALE);
  if (result >= 0) result = out = open_entry(copy, to, name, O_WRONLY | O_CREAT | O_EXCL, 0);
  if (result >= 0) result = copy_bytes(copy, (int)in, (int)out);
  if (result >= 0) result = finish(copy, &status, to, name, (int)in, (int)out, CF_COPY_ALL);
  if (out >= 0) cf_call1(__NR_close, out);
  cf_call1(__NR_close, in);
  return result;
}

static long copy_link(struct copy *copy, int link, int to, const char *name) {
  long size = CALL(copy, readlinkat, 4, link, "", copy->names, CF_MAX_PATH);
  if (size < 0) return size;
  if (size >= CF_MAX_PATH) return failed_as(copy, -ENAMETOOLONG);
  copy->names[size] = 0;
  return CALL(copy, symlinkat, 3, copy->names, to, name);
}

static long copy_entries(struct copy *copy, int from, int to, unsigned depth);

/* `place` is the directory without access rights. It ends as `status` says. */
static long copy_directory(struct copy *copy, int place, const struct statx *status, int to,
                           const char *name, unsigned depth) {
  long in = open_entry(copy, place, ".", O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
  if (in < 0) return in;
  long out = -1;
  long result = CALL(copy, mkdirat, 3, to, name, 0700);
  if (result >= 0) result = out = open_entry(copy, to, name, O_RDONLY | O_DIRECTORY, 0);
  if (result >= 0) result = copy_entries(copy, (int)in, (int)out, depth);
  if (result >= 0) result = finish(copy, status, to, name, (int)in, (int)out, CF_COPY_ALL);
  if (out >= 0) cf_call1(__NR_close, out);
  cf_call1(__NR_close, in);
  return result;
}

/* The place of a mount, which is not looked into: empty, and nobody's in particular. */
static long make_place(struct copy *copy, int directory, int to, const char *name) {
  if (!directory) return CALL(copy, mknodat, 4, to, name, KIND_FILE | 0644, 0);
  return CALL(copy, mkdirat, 3, to, name, 0755);
}

static long copy_special(struct copy *copy, const struct statx *status, int to,
                         const char *name) {
  uint32_t major = status->stx_rdev_major, minor = status->stx_rdev_minor;
  uint32_t device = (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12; /* new_encode_dev */
  return CALL(copy, mknodat, 4, to, name, (status->stx_mode & KIND) | 0600, device);
}

static long copy_entry(struct copy *copy, int from, int to, const char *name, unsigned depth) {
  struct statx status = {0};
  long place = open_entry(copy, from, name, O_PATH, RESOLVE_NO_XDEV);
  int mounted = place == -EXDEV;
  if (mounted) place = open_entry(copy, from, name, O_PATH, 0);
  if (place == -ENOENT) return 0; /* removed meanwhile */
  if (place < 0) return place;

  long result = status_of(copy, (int)place, &status);
  unsigned kind = status.stx_mode & KIND;
  if (result < 0) {
  } else if (mounted) {
    result = make_place(copy, kind == KIND_DIRECTORY, to, name);
  } else if (kind == KIND_DIRECTORY) {
    result = copy_directory(copy, (int)place, &status, to, name, depth + 1);
  } else if (kind == KIND_FILE) {
    result = copy_file(copy, from, to, name);
  } else {
    result = kind == KIND_LINK ? copy_link(copy, (int)place, to, name)
                               : copy_special(copy, &status, to, name);
    if (result >= 0) result = finish(copy, &status, to, name, -1, -1, CF_COPY_ALL);
  }
  cf_call1(__NR_close, place);
  return result;
}

/* Whether it is "." or ".." */
static int is_dots(const char *name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Whether a name of something ends, and can't lead anywhere, within `size` bytes. */
static int name_ok(const char *name, long size) {
  long i = 0;
  for (; i < size && name[i] != 0; i++)
    if (name[i] == '/') return 0;
  return i > 0 && i < size;
}

static long copy_entries(struct copy *copy, int from, int to, unsigned depth) {
  uint8_t entries[2048] __attribute__((aligned(8)));
  if (depth >= MAX_DEPTH) return failed_as(copy, -ENAMETOOLONG);
  for (;;) {
    long size = CALL(copy, getdents64, 3, from, entries, sizeof entries);
    if (size <= 0) return size;
    if (size > (long)sizeof entries) return failed_as(copy, -EIO);
    for (long at = 0, length; at < size; at += length) {
      if (size - at <= DIRENT_NAME) return failed_as(copy, -EIO);
      const uint8_t *entry = entries + at;
      length = entry[DIRENT_LENGTH] | entry[DIRENT_LENGTH + 1] << 8; /* little-endian both */
      if (length <= DIRENT_NAME || length > size - at) return failed_as(copy, -EIO);
      const char *name = (const char *)entry + DIRENT_NAME;
      if (!name_ok(name, length - DIRENT_NAME)) return failed_as(copy, -EIO);
      if (is_dots(name)) continue;
      long result = copy_entry(copy, from, to, name, depth);
      if (result < 0) return result;
    }
  }
}

/*
 * COPY_TREE(from, to, flags): what is in the directory `from` comes to be in `to`,
 * and of `from` itself what the flags name. Both may be without access rights.
 */
long cf_do_copy_tree(struct cf_context *context, uint32_t *nr) {
  struct copy copy;
  struct statx status = {0};
  copy.nr = nr;
  long out = -1;
  long in = open_entry(&copy, (int)context->args[0], ".", O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
  if (in < 0) return in;
  long result = status_of(&copy, (int)in, &status);
  if (result >= 0)
    result = out = open_entry(&copy, (int)context->args[1], ".", O_RDONLY | O_DIRECTORY, 0);
  if (result >= 0) result = copy_entries(&copy, (int)in, (int)out, 0);
  if (result >= 0)
    result = finish(&copy, &status, (int)out, ".", (int)in, (int)out, (unsigned)context->args[2]);
  if (out >= 0) cf_call1(__NR_close, out);
  cf_call1(__NR_close, in);
  return result < 0 ? result : 0;
}
