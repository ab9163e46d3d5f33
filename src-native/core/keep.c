/*
 * A keeper: what stays outside of a detached container when its maker has
 * gone. It is the parent that waits for the container, holds the host's ends of
 * its streams or copies them to log files, answers requests at its socket, and
 * in the end writes down how the container has ended. Then it ends itself.
 *
 * The container dies with it (PR_SET_PDEATHSIG), so that none is ever left
 * without somebody to wait for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <asm/ioctls.h>
#include <linux/prctl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/wait.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "core.h"

#define SIGNAL_SET_SIZE 8
#define CLIENTS 16
#define LOGS 3
#define MOST_LEFT (1 << 20) /* of what nobody has read of a stream */
#define PATIENCE_MS 1000    /* for logs that somebody keeps open after the end */

/* Where the descriptors are that it starts with. */
enum { LISTENER = 3, FOLDER, SIGNALS };

struct client {
  int fd;
  int attached; /* holds the streams: no other may have them */
};

struct log {
  int pipe, folder, file;
  uint64_t size, max_size;
  uint32_t max_files;
  char name[CF_MAX_LOG_NAME + 4];
};

static struct client clients[CLIENTS];
static struct log logs[LOGS];
static int streams[CF_STREAMS];
static char bytes[65536];

static void shut(int *fd) {
  if (*fd >= 0) cf_call1(__NR_close, *fd);
  *fd = -1;
}

/* Writes all; what the file system does not take is lost. */
static void write_all(int fd, const char *at, uint64_t size) {
  while (size > 0) {
    long written = cf_call3(__NR_write, fd, at, size);
    if (written == -EINTR) continue;
    if (written <= 0) return;
    at += written;
    size -= (uint64_t)written;
  }
}

static char *append(char *at, const char *text) {
  while (*text) *at++ = *text++;
  *at = 0;
  return at;
}

static char *append_number(char *at, uint64_t number) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
  } while ((number /= 10) > 0);
  while (count > 0) *at++ = digits[--count];
  *at = 0;
  return at;
}

/* Log files: NAME is written, NAME.1 is the one before it, and so on. */

static void open_log(struct log *log, int flags) {
  struct statx status;
  log->size = 0;
  log->file = (int)cf_call4(__NR_openat, log->folder, log->name,
                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (log->file < 0) return;
  if (cf_call5(__NR_statx, log->file, "", 0x1000 /* AT_EMPTY_PATH */, STATX_SIZE, &status) == 0)
    log->size = status.stx_size;
}

static void rotate(struct log *log) {
  char from[CF_MAX_LOG_NAME + 24], to[CF_MAX_LOG_NAME + 24];
  shut(&log->file);
  for (uint32_t number = log->max_files - 1; number > 0; number--) {
    append_number(append(append(to, log->name), "."), number);
    char *end = append(from, log->name);
    if (number > 1) append_number(append(end, "."), number - 1);
    cf_call5(__NR_renameat2, log->folder, from, log->folder, to, 0);
  }
  open_log(log, O_TRUNC);
}

/* How much of this goes to the file that is open: up to the end of a line, if one fits. */
static uint64_t fitting(const struct log *log, const char *at, uint64_t size) {
  if (log->size + size <= log->max_size) return size;
  uint64_t room = log->size < log->max_size ? log->max_size - log->size : 0;
  for (uint64_t end = room; end > 0; end--)
    if (at[end - 1] == '\n') return end;
  return log->size > 0 ? 0 : room;
}

static void write_log(struct log *log, const char *at, uint64_t size) {
  while (size > 0) {
    uint64_t part = fitting(log, at, size);
    if (part == 0) {
      rotate(log);
      continue;
    }
    if (log->file >= 0) write_all(log->file, at, part);
    log->size += part;
    at += part;
    size -= part;
  }
}

/* Copies what the pipe holds, a buffer's fill of it. */
static void copy_log(struct log *log) {
  long size = cf_call3(__NR_read, log->pipe, bytes, sizeof bytes);
  if (size > 0) return write_log(log, bytes, (uint64_t)size);
  if (size == -EAGAIN || size == -EINTR) return;
  shut(&log->pipe);
  shut(&log->folder);
  shut(&log->file);
}

static int start_log(const struct cf_request *request, const int *fds) {
  for (int i = 0; i < LOGS; i++) {
    struct log *log = &logs[i];
    if (log->pipe >= 0) continue;
    for (unsigned at = 0; at < sizeof log->name; at++) log->name[at] = request->name[at];
    log->max_size = request->max_size;
    log->max_files = request->max_files;
    log->folder = fds[1];
    open_log(log, 0);
    log->pipe = fds[0];
    cf_call3(__NR_fcntl, log->pipe, F_SETFL, O_NONBLOCK);
    return 1;
  }
  return 0;
}

/* Requests. */

static int is_name(const char *name) {
  for (unsigned i = 0; i < CF_MAX_LOG_NAME; i++) {
    if (name[i] == '/') return 0;
    if (name[i] == 0) return i > 0;
  }
  return 0;
}

static int is_attached(void) {
  for (int i = 0; i < CLIENTS; i++)
    if (clients[i].fd >= 0 && clients[i].attached) return 1;
  return 0;
}

static void give(struct client *client) {
  struct cf_given answer = {0, 0};
  int fds[CF_STREAMS];
  unsigned count = 0;
  if (!client->attached && is_attached()) answer.error = EBUSY;
  else {
    client->attached = 1;
    for (unsigned i = 0; i < CF_STREAMS; i++) {
      if (streams[i] < 0) continue;
      answer.streams |= 1u << i;
      fds[count++] = streams[i];
    }
  }
  cf_send(client->fd, &answer, sizeof answer, fds, count, MSG_DONTWAIT);
}

/* 0 when it has been done, and then the descriptors that came along are in use. */
static int serve(struct client *client, const struct cf_request *request, const int *fds,
                 unsigned fd_count) {
  switch (request->type) {
  case CF_REQUEST_HOLD:
    if (fd_count != 1 || request->stream >= CF_STREAMS) return -1;
    shut(&streams[request->stream]);
    streams[request->stream] = fds[0];
    client->attached = 1;
    return 0;
  case CF_REQUEST_LET_GO:
    if (fd_count != 0 || request->stream >= CF_STREAMS) return -1;
    shut(&streams[request->stream]);
    return 0;
  case CF_REQUEST_GIVE:
    if (fd_count != 0) return -1;
    give(client);
    return 0;
  case CF_REQUEST_LOG:
    if (fd_count != 2 || !is_name(request->name) || request->max_size == 0 ||
        request->max_files == 0 || request->max_files > 1000)
      return -1;
    return start_log(request, fds) ? 0 : -1;
  default: return -1;
  }
}

/* 0 when there was nothing to hear. */
static int hear(struct client *client) {
  struct cf_request request;
  int fds[CF_MAX_FDS];
  unsigned fd_count;
  long size = cf_receive(client->fd, &request, sizeof request, fds, &fd_count, MSG_DONTWAIT);
  if (size == -EAGAIN) return 0;
  if (size == sizeof request && serve(client, &request, fds, fd_count) == 0) return 1;
  if (size >= 0)
    for (unsigned i = 0; i < fd_count; i++) cf_call1(__NR_close, fds[i]);
  shut(&client->fd); /* it has gone, or makes no sense */
  return 1;
}

/* 0 when nobody has come. */
static int welcome(void) {
  long fd = cf_call4(__NR_accept4, LISTENER, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return 0;
  for (int i = 0; i < CLIENTS; i++) {
    if (clients[i].fd >= 0) continue;
    clients[i] = (struct client){(int)fd, 0};
    return 1;
  }
  cf_call1(__NR_close, fd);
  return 1;
}

/* The end. */

/*
 * Waits for those that have ended. 0 when none is left; the last of them was
 * the container. (An init that has gone on in a sibling ends before it.)
 */
static int reap(siginfo_t *last) {
  for (;;) {
    siginfo_t info = {0};
    long result = cf_call5(__NR_waitid, P_ALL, 0, &info, WEXITED | WNOHANG, 0);
    if (result == -EINTR) continue;
    if (result < 0) return 0;
    if (info.si_pid == 0) return 1;
    *last = info;
  }
}

static int64_t milliseconds(void) {
  struct __kernel_timespec now = {0, 0};
  cf_call2(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The logs to their ends, or for as long as PATIENCE_MS. */
static void finish_logs(void) {
  int64_t until = milliseconds() + PATIENCE_MS;
  for (;;) {
    struct pollfd polls[LOGS];
    unsigned open = 0;
    for (int i = 0; i < LOGS; i++) {
      if (logs[i].pipe >= 0) open++;
      polls[i] = (struct pollfd){logs[i].pipe, POLLIN, 0};
    }
    int64_t left = until - milliseconds();
    if (open == 0 || left <= 0) return;
    struct __kernel_timespec timeout = {left / 1000, left % 1000 * 1000000};
    cf_call5(__NR_ppoll, polls, LOGS, &timeout, 0, 0);
    for (int i = 0; i < LOGS; i++)
      if (logs[i].pipe >= 0 && polls[i].revents != 0) copy_log(&logs[i]);
  }
}

/* What streams hold that nobody has read is left in files, for whoever asks later. */
static void leave_rest(void) {
  for (unsigned i = 1; i < CF_STREAMS; i++) {
    if (streams[i] < 0) continue;
    const char name[] = {(char)('0' + i), 0};
    int file = -1;
    cf_call3(__NR_fcntl, streams[i], F_SETFL, O_NONBLOCK);
    for (long left = MOST_LEFT; left > 0;) {
      long size = cf_call3(__NR_read, streams[i], bytes, sizeof bytes);
      if (size == -EINTR) continue;
      if (size <= 0) break;
      if (file < 0)
        file = (int)cf_call4(__NR_openat, FOLDER, name,
                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (file < 0) break;
      write_all(file, bytes, (uint64_t)size);
      left -= size;
    }
    shut(&file);
  }
}

/*
 * "exited 0 SECONDS MILLISECONDS" or "killed 9 …", in one write(2). The file is
 * closed with the process.
 */
static void write_end(const siginfo_t *last) {
  char text[96], *at = text;
  struct __kernel_timespec now = {0, 0};
  cf_call2(__NR_clock_gettime, CLOCK_REALTIME, &now);
  at = append(at, last->si_code == CLD_EXITED ? "exited " : "killed ");
  at = append_number(at, (uint64_t)last->si_status);
  at = append_number(append(at, " "), (uint64_t)now.tv_sec);
  at = append_number(append(at, " "), (uint64_t)now.tv_nsec / 1000000);
  at = append(at, "\n");
  long file = cf_call4(__NR_openat, FOLDER, "exit", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) write_all((int)file, text, (uint64_t)(at - text));
}

/* Whether a stream holds what nobody has read yet. ioctl_tty(2) */
static int is_unread(void) {
  for (unsigned i = 1; i < CF_STREAMS; i++) {
    int size = 0;
    if (streams[i] >= 0 && cf_call3(__NR_ioctl, streams[i], FIONREAD, &size) >= 0 && size > 0)
      return 1;
  }
  return 0;
}

/* Requests that were on the way. */
static void hear_all(void) {
  while (welcome()) continue;
  for (int i = 0; i < CLIENTS; i++)
    while (clients[i].fd >= 0 && hear(&clients[i])) continue;
}

/*
 * The container has ended. Who has its streams may still read them; what is left
 * then, or when nobody has them, goes to files.
 */
static void finish(const siginfo_t *last) {
  hear_all(); /* of a log, say, for which the container was too fast */
  finish_logs();
  hear_all();
  if (!is_attached()) leave_rest();
  write_end(last);
}

/* With it the container ends, if that has not been before. */
static __attribute__((noreturn)) void die(void) {
  for (;;) cf_call1(__NR_exit_group, 0);
}

static void prepare(int listener, int folder) {
  const uint64_t all = ~0UL, child_ended = 1UL << (SIGCHLD - 1);

  cf_call5(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  cf_call2(__NR_prctl, PR_SET_NAME, "cofferdam-keep");
  cf_call1(__NR_chdir, "/");
  cf_call4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, SIGNAL_SET_SIZE);
  /*
   * By way of numbers that nobody has, since one may be in the other's place. All
   * else that was open stays so: locks on the root file system, which are to be
   * held as long as the container lives.
   */
  int from[] = {listener, folder, (int)cf_call4(__NR_signalfd4, -1, &child_ended,
                                                SIGNAL_SET_SIZE, O_NONBLOCK | O_CLOEXEC)};
  int to[] = {LISTENER, FOLDER, SIGNALS};
  for (unsigned i = 0; i < 3; i++) {
    int low = from[i];
    from[i] = (int)cf_call3(__NR_fcntl, low, F_DUPFD_CLOEXEC, SIGNALS + 1);
    if (from[i] < 0) die();
    shut(&low);
  }
  cf_call1(__NR_close, LISTENER); /* it was the channel */
  for (unsigned i = 0; i < 3; i++) {
    /* Who has its place keeps open what it held, elsewhere. */
    cf_call3(__NR_fcntl, to[i], F_DUPFD_CLOEXEC, SIGNALS + 1);
    if (cf_call3(__NR_dup3, from[i], to[i], O_CLOEXEC) < 0) die();
    shut(&from[i]);
  }
  cf_call3(__NR_fcntl, LISTENER, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < CLIENTS; i++) clients[i].fd = -1;
  for (int i = 0; i < LOGS; i++) logs[i] = (struct log){.pipe = -1, .folder = -1, .file = -1};
  for (int i = 0; i < CF_STREAMS; i++) streams[i] = -1;
}

void cf_keep(int listener, int folder) {
  siginfo_t last = {0};
  int ended = 0;
  prepare(listener, folder);
  /* Whoever has ended already is not missed: the signal is pending. */
  for (;;) {
    struct pollfd polls[2 + CLIENTS + LOGS];
    polls[0] = (struct pollfd){SIGNALS, POLLIN, 0};
    polls[1] = (struct pollfd){LISTENER, POLLIN, 0};
    for (int i = 0; i < CLIENTS; i++) polls[2 + i] = (struct pollfd){clients[i].fd, POLLIN, 0};
    for (int i = 0; i < LOGS; i++) polls[2 + CLIENTS + i] = (struct pollfd){logs[i].pipe, POLLIN, 0};
    cf_call5(__NR_ppoll, polls, 2 + CLIENTS + LOGS, 0, 0, 0);
    for (int i = 0; i < CLIENTS; i++)
      /* All of it: who has just left must not be in the way of who comes. */
      while (polls[2 + i].revents != 0 && clients[i].fd >= 0 && hear(&clients[i])) continue;
    for (int i = 0; i < LOGS; i++)
      if (polls[2 + CLIENTS + i].revents != 0) copy_log(&logs[i]);
    if (polls[1].revents != 0) welcome();
    if (polls[0].revents != 0) {
      cf_call3(__NR_read, SIGNALS, bytes, sizeof bytes);
      if (!ended && !reap(&last)) {
        finish(&last);
        ended = 1;
      }
    }
    if (!ended || (is_attached() && is_unread())) continue;
    leave_rest();
    die();
  }
}
