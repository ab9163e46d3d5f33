/*
 * Operations after which another process goes on with the plan: a child of
 * the host's (SIBLING), or one of a keeper's (KEEP, whose other half is keep.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>

#include "core.h"

int cf_no_clone_into(long error) {
  return error == -E2BIG || error == -EINVAL || error == -ENOSYS;
}

long cf_enter_group(int group, uint32_t *nr) {
  *nr = __NR_openat;
  long fd = cf_call4(__NR_openat, group, "cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  *nr = __NR_write;
  long written = cf_call3(__NR_write, fd, "0", 1);
  cf_call1(__NR_close, fd);
  return written < 0 ? written : 0;
}

/*
 * Clones this process, and tells the host with a pidfd which one goes on. The
 * child waits until the host has been told: it must hear of the child before it
 * hears the child. The child is in the v2 group whose folder `group` is, if that is
 * one. Returns 0 in the child, its pid in the parent, or -errno.
 */
static long clone_and_tell(struct cf_context *context, uint64_t flags, int exit_signal, int group,
                           uint32_t *nr) {
  int pidfd = -1, ends[2] = {-1, -1};
  char byte = 0;
  struct clone_args args = {0};
  struct cf_message message = {CF_MSG_SIBLING, context->op->step, context->index, 0, 0, 0};

  args.flags = flags | CLONE_PIDFD;
  args.pidfd = (uint64_t)(uintptr_t)&pidfd;
  args.exit_signal = (uint64_t)exit_signal;
  if (group >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)group;
  }
  long result = (*nr = __NR_pipe2, cf_call2(__NR_pipe2, ends, O_CLOEXEC));
  if (result < 0) return result;
  *nr = __NR_clone3;
  long pid = cf_call2(__NR_clone3, &args, sizeof args);
  int enters = group >= 0 && cf_no_clone_into(pid);
  if (enters) {
    args.flags &= ~CLONE_INTO_CGROUP;
    args.cgroup = 0;
    pid = cf_call2(__NR_clone3, &args, sizeof args);
  }
  if (pid == 0) {
    cf_call1(__NR_close, ends[1]);
    *nr = __NR_read;
    do {
      result = cf_call3(__NR_read, ends[0], &byte, 1);
    } while (result == -EINTR);
    if (result != 1) cf_call1(__NR_exit_group, 0);
    cf_call1(__NR_close, ends[0]);
    return result >= 0 && enters ? cf_enter_group(group, nr) : 0;
  }
  cf_call1(__NR_close, ends[0]);
  if (pid > 0) {
    message.value = (uint32_t)pid;
    result = cf_send(context->machine->channel, &message, sizeof message, &pidfd, 1, 0);
    if (result >= 0) cf_call3(__NR_write, ends[1], &byte, 1);
    cf_call1(__NR_close, pidfd);
  }
  cf_call1(__NR_close, ends[1]);
  return pid;
}

/*
 * SIBLING: the rest of the plan is for a child of the host's, which has this
 * process's memory and channel. It is the first to be in a PID namespace that
 * setns(2) has joined. This process ends.
 */
long cf_do_sibling(struct cf_context *context, uint32_t *nr) {
  /* With CLONE_PARENT the exit signal is the parent's own. */
  long pid = clone_and_tell(context, CLONE_PARENT, 0, -1, nr);
  if (pid <= 0) return pid;
  for (;;) cf_call1(__NR_exit_group, 0);
}

/*
 * KEEP(flags, listener, folder [, group]): the rest of the plan is for a child, in
 * new namespaces by `flags` and in a v2 group, and this process stays as its keeper.
 * It has a session of its own, so that what a terminal sends to the host does not
 * end it.
 */
long cf_do_keep(struct cf_context *context, uint32_t *nr) {
  const uint64_t none[4] = {0}; /* SIG_DFL: else a host that ignores SIGCHLD would reap for us */
  int group = context->op->nargs > 3 ? (int)context->args[3] : -1;
  if (context->op->nargs > 3 && group < 0) return -EBADF;
  long result = (*nr = __NR_rt_sigaction, cf_call4(*nr, SIGCHLD, none, 0, sizeof(uint64_t)));
  if (result < 0) return result;
  *nr = __NR_setsid;
  result = cf_call0(__NR_setsid);
  if (result < 0) return result;
  long pid = clone_and_tell(context, (uint64_t)context->args[0], SIGCHLD, group, nr);
  if (pid > 0) cf_keep((int)context->args[1], (int)context->args[2]);
  if (pid == 0) /* nobody may ask the child */
    cf_set_slot(context->machine, (unsigned)context->op->args[1], -1);
  return pid;
}
