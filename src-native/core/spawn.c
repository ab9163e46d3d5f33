/*
 * clone3 the way vfork does it: the child borrows the caller's memory and
 * stack until its execve, so that the cost does not grow with Node's heap,
 * and the caller learns at once whether the execve succeeded.
 *
 * In a control group that somebody has frozen the child would not get as far as
 * its execve, and with it vfork's parent would stand still, killed only together
 * with the process. So a child that is made in a group has a stack of its own, and
 * the caller waits for it in a way that it can give up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "spawn.h"

#define CHANNEL 3 /* where init looks for it */

struct child {
  const struct cf_spawn_request *request;
  int channel;
  int group;            /* folder of one that it has yet to enter, or -1 */
  uint32_t borrows;     /* 0 when it has been executed or has ended; a futex of the kernel's */
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
  uint32_t nr;

  if (child->group >= 0) {
    result = cf_enter_group(child->group, &nr);
    if (result < 0) child_fail(child, nr, result);
  }
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

/* Only the spawner's thread makes children, one after the other. */
static uint8_t child_stack[16384] __attribute__((aligned(16)));

/* The same on a stack of its own. The caller's goes on at once, and waits with wait_for_child. */
static __attribute__((noinline)) long clone_apart(struct clone_args *args, struct child *child) {
  args->stack = (uint64_t)(uintptr_t)child_stack;
  args->stack_size = sizeof child_stack;
  args->flags = (args->flags & ~(uint64_t)CLONE_VFORK) | CLONE_CHILD_CLEARTID;
  args->child_tid = (uint64_t)(uintptr_t)&child->borrows;
  child->borrows = 1;
#if defined(__x86_64__)
  long pid;
  register struct child *mine __asm__("r12") = child;
  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "xor %%ebp, %%ebp\n\t"
                   "mov %%r12, %%rdi\n\t"
                   "call *%[exec]\n"
                   "1:"
                   : "=a"(pid)
                   : "a"(__NR_clone3), "D"(args), "S"(sizeof *args), "r"(mine),
                     [exec] "r"(child_exec)
                   : "rcx", "r11", "memory");
  return pid;
#else
  register long x8 __asm__("x8") = __NR_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = sizeof *args;
  __asm__ volatile("svc #0\n\t"
                   "cbnz x0, 1f\n\t"
                   "mov x29, xzr\n\t"
                   "mov x0, %[child]\n\t"
                   "blr %[exec]\n"
                   "1:"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), [child] "r"(child), [exec] "r"(child_exec)
                   : "x30", "memory", "cc");
  return x0;
#endif
}

/* In a v2 group, or on the way there. */
static long clone_into(struct clone_args *args, struct child *child, int group) {
  args->flags |= CLONE_INTO_CGROUP;
  args->cgroup = (uint64_t)group;
  long pid = clone_apart(args, child);
  if (!cf_no_clone_into(pid)) return pid;
  args->flags &= ~CLONE_INTO_CGROUP;
  args->cgroup = 0;
  child->group = group;
  return clone_apart(args, child);
}

/* Whether a group, or one that it is in, has been frozen. cgroups(7), cgroup.events */
static int is_frozen(int group) {
  static const char wanted[] = "frozen 1";
  char text[256];
  long fd = cf_call4(__NR_openat, group, "cgroup.events", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  long size = cf_call3(__NR_read, fd, text, sizeof text);
  cf_call1(__NR_close, fd);
  for (long at = 0; at + (long)sizeof wanted - 1 <= size; at++) {
    unsigned same = 0;
    while (same < sizeof wanted - 1 && text[at + same] == wanted[same]) same++;
    if (same == sizeof wanted - 1) return 1;
  }
  return 0;
}

/* Waits until a child has been executed or has ended. -EBUSY when it stood still and was killed. */
static long wait_for_child(struct child *child, int group, int pidfd) {
  static const struct __kernel_timespec patience = {0, 50000000};
  long error = 0;
  uint32_t borrows;
  while ((borrows = __atomic_load_n(&child->borrows, __ATOMIC_ACQUIRE)) != 0) {
    long result = cf_call4(__NR_futex, &child->borrows, FUTEX_WAIT, borrows, &patience);
    if (result != -ETIMEDOUT || error != 0 || !is_frozen(group)) continue;
    error = -EBUSY;
    cf_call4(__NR_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
  }
  return error;
}

static int failed(struct cf_spawn_result *result, int group, uint32_t nr, long error) {
  struct cf_message failure = {CF_MSG_FAILED, UINT32_MAX, UINT32_MAX, nr, (int32_t)-error, 0};
  if (result->failure.type != CF_MSG_FAILED) result->failure = failure;
  for (unsigned i = 0; i < result->held.count; i++) cf_call1(__NR_close, result->held.fds[i]);
  result->held.count = 0;
  if (group >= 0) cf_call1(__NR_close, group);
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

/* The group's folder is no business of init's. */
static int take_out(struct cf_fds *fds, unsigned index) {
  if (index >= fds->count) return -1;
  int fd = fds->fds[index];
  fds->count--;
  for (unsigned i = index; i < fds->count; i++) fds->fds[i] = fds->fds[i + 1];
  return fd;
}

int cf_spawn(const struct cf_spawn_request *request, struct cf_spawn_result *result) {
  int pair[2];
  uint32_t nr;

  result->pid = 0;
  result->pidfd = result->channel = -1;
  result->failure.type = 0;
  result->held.count = 0;
  if (request->first >= 0) result->held.fds[result->held.count++] = request->first;

  int group = -1;
  unsigned before = result->held.count;
  int host_failed = request->host_plan != 0 &&
                    cf_run_host(request->host_plan, &result->held, &result->failure) < 0;
  if (request->into >= 0 && !host_failed) group = take_out(&result->held, before + request->into);
  for (unsigned i = 0; i < request->ahead.count && result->held.count < CF_SLOTS; i++)
    result->held.fds[result->held.count++] = request->ahead.fds[i];
  if (host_failed) return failed(result, group, 0, 0);
  if (request->into >= 0 && group < 0) return failed(result, group, __NR_clone3, -EBADF);
  if (result->held.count > CF_MAX_FDS) return failed(result, group, __NR_sendmsg, -EMFILE);

  long status = cf_call4(__NR_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
  if (status < 0) return failed(result, group, __NR_socketpair, status);
  result->channel = pair[0];
  status = cf_send_plan(pair[0], request->plan, request->plan_size, result->held.fds,
                        result->held.count, &nr);
  if (status < 0) {
    cf_call1(__NR_close, pair[1]);
    return failed(result, group, nr, status);
  }

  struct child child = {request, pair[1], -1, 0, 0, 0};
  struct clone_args args = {0};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | request->clone_flags;
  args.pidfd = (uint64_t)(uintptr_t)&result->pidfd;
  args.exit_signal = SIGCHLD;
  long pid = group < 0 ? clone_child(&args, &child) : clone_into(&args, &child, group);
  if (pid >= 0 && group >= 0) status = wait_for_child(&child, group, result->pidfd);
  cf_call1(__NR_close, pair[1]);
  if (pid < 0) {
    result->pidfd = -1;
    return failed(result, group, __NR_clone3, pid);
  }
  if (child.error < 0 || status < 0) {
    cf_call5(__NR_waitid, P_PIDFD, result->pidfd, 0, WEXITED, 0);
    if (child.error < 0) return failed(result, group, child.nr, child.error);
    return failed(result, group, __NR_clone3, status);
  }
  if (group >= 0) cf_call1(__NR_close, group);
  result->pid = (int)pid;
  return 0;
}
