/*
 * clone3 the way vfork does it: the child borrows the caller's memory and
 * stack until its execve, so that the cost does not grow with Node's heap,
 * and the caller learns at once whether the execve succeeded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "spawn.h"

#define CHANNEL 3 /* where init looks for it */

struct child {
  const struct cf_spawn_request *request;
  int channel;
  volatile uint32_t nr; /* written by the child, read by the caller */
  volatile long error;
};

static __attribute__((noreturn)) void child_fail(struct child *child, uint32_t nr, long error) {
  child->nr = nr;
  child->error = error;
  for (;;) cf_call1(__NR_exit_group, 127);
}

/*
 * Runs in the caller's memory with a descriptor table of its own. Node holds
 * descriptors that lack close-on-exec, so all but four are marked here.
 */
static __attribute__((noreturn)) void child_exec(struct child *child) {
  static const char *const argv[] = {"cofferdam-init", 0};
  static const char *const envp[] = {0};
  const struct cf_spawn_request *request = child->request;
  long result;

  for (int fd = 0; fd < CHANNEL; fd++) {
    result = cf_call3(__NR_dup3, request->null_fd, fd, 0);
    if (result < 0) child_fail(child, __NR_dup3, result);
  }
  if (child->channel == CHANNEL) result = cf_call3(__NR_fcntl, CHANNEL, F_SETFD, 0);
  else result = cf_call3(__NR_dup3, child->channel, CHANNEL, 0);
  if (result < 0) child_fail(child, __NR_dup3, result);
  result = cf_call3(__NR_close_range, CHANNEL + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  if (result < 0) child_fail(child, __NR_close_range, result);
  result = cf_call5(__NR_execveat, request->init_fd, "", argv, envp, AT_EMPTY_PATH);
  child_fail(child, __NR_execveat, result);
}

/*
 * Not inlined, so that parent and child share no other function's frame: the
 * child only ever calls downward from here and never returns.
 */
static __attribute__((noinline)) long clone_child(struct clone_args *args, struct child *child) {
  long pid = cf_call2(__NR_clone3, args, sizeof *args);
  if (pid == 0) child_exec(child);
  return pid;
}

static int failed(struct cf_spawn_result *result, uint32_t nr, long error) {
  struct cf_message failure = {CF_MSG_FAILED, UINT32_MAX, UINT32_MAX, nr, (int32_t)-error, 0};
  if (result->failure.type != CF_MSG_FAILED) result->failure = failure;
  for (unsigned i = 0; i < result->held.count; i++) cf_call1(__NR_close, result->held.fds[i]);
  result->held.count = 0;
  if (result->channel >= 0) cf_call1(__NR_close, result->channel);
  if (result->pidfd >= 0) cf_call1(__NR_close, result->pidfd);
  result->channel = result->pidfd = -1;
  return -1;
}

int cf_run_host(uint8_t *plan, struct cf_fds *fds, struct cf_message *failure) {
  struct cf_machine machine;
  cf_machine_init(&machine, -1);
  machine.plan = plan;
  enum cf_outcome outcome = cf_run(&machine, failure);
  unsigned filled = 0;
  for (unsigned i = 0; i < CF_SLOTS; i++) filled += machine.slots[i] >= 0;
  if (outcome == CF_DONE && filled > CF_SLOTS - fds->count) {
    *failure = (struct cf_message){CF_MSG_FAILED, UINT32_MAX, UINT32_MAX, 0, EMFILE, 0};
    outcome = CF_FAILED;
  }
  if (machine.lost) failure->value = CF_LOST;
  if (outcome != CF_DONE) {
    cf_close_slots(&machine);
    return -1;
  }
  for (unsigned i = 0; i < CF_SLOTS; i++)
    if (machine.slots[i] >= 0) fds->fds[fds->count++] = machine.slots[i];
  return 0;
}

int cf_spawn(const struct cf_spawn_request *request, struct cf_spawn_result *result) {
  int pair[2];
  uint32_t nr;

  result->pid = 0;
  result->pidfd = result->channel = -1;
  result->failure.type = 0;
  result->held.count = 0;
  if (request->first >= 0) result->held.fds[result->held.count++] = request->first;

  int host_failed = request->host_plan != 0 &&
                    cf_run_host(request->host_plan, &result->held, &result->failure) < 0;
  for (unsigned i = 0; i < request->ahead.count && result->held.count < CF_SLOTS; i++)
    result->held.fds[result->held.count++] = request->ahead.fds[i];
  if (host_failed) return failed(result, 0, 0);
  if (result->held.count > CF_MAX_FDS) return failed(result, __NR_sendmsg, -EMFILE);

  long status = cf_call4(__NR_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
  if (status < 0) return failed(result, __NR_socketpair, status);
  result->channel = pair[0];
  status = cf_send_plan(pair[0], request->plan, request->plan_size, result->held.fds,
                        result->held.count, &nr);
  if (status < 0) {
    cf_call1(__NR_close, pair[1]);
    return failed(result, nr, status);
  }

  struct child child = {request, pair[1], 0, 0};
  struct clone_args args = {0};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | request->clone_flags;
  args.pidfd = (uint64_t)(uintptr_t)&result->pidfd;
  args.exit_signal = SIGCHLD;
  long pid = clone_child(&args, &child);
  cf_call1(__NR_close, pair[1]);
  if (pid < 0) {
    result->pidfd = -1;
    return failed(result, __NR_clone3, pid);
  }
  if (child.error < 0) {
    cf_call5(__NR_waitid, P_PIDFD, result->pidfd, 0, WEXITED, 0);
    return failed(result, child.nr, child.error);
  }
  result->pid = (int)pid;
  return 0;
}
