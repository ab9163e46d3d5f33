/*
 * CHILD: the rest of the plan is for a child, and this process stays as its
 * init: it hands on signals, waits for whoever is left to it, and ends as the
 * child does. pid_namespaces(7)
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <signal.h>

#include "core.h"

#define SIGNAL_SET_SIZE 8
#define SIGNALED 128 /* what a shell adds to the number of the signal */

static __attribute__((noreturn)) void end(int code) {
  for (;;) cf_call1(__NR_exit_group, code);
}

/* Waits for all that have ended. With the child the container's life is over. */
static void reap(long child) {
  for (;;) {
    siginfo_t info = {0};
    long result = cf_call5(__NR_waitid, P_ALL, 0, &info, WEXITED | WNOHANG, 0);
    if (result == -EINTR) continue;
    if (result < 0 || info.si_pid == 0) return;
    if (info.si_pid == child)
      end(info.si_code == CLD_EXITED ? info.si_status : SIGNALED + info.si_status);
  }
}

static __attribute__((noreturn)) void stay(long child, const uint64_t *all) {
  for (;;) {
    siginfo_t info = {0};
    long number = cf_call4(__NR_rt_sigtimedwait, all, &info, 0, SIGNAL_SET_SIZE);
    if (number == SIGCHLD) reap(child);
    /*
     * What a terminal sends goes to the child anyway, as to its whole group;
     * but that it hangs up is told to the leader of the session alone.
     */
    else if (number > 0 &&
             (info.si_code != SI_KERNEL || number == SIGHUP || number == SIGCONT))
      cf_call2(__NR_kill, child, number);
  }
}

long cf_do_child(struct cf_context *context, uint32_t *nr) {
  const uint64_t all = ~0UL;
  uint64_t before;
  struct clone_args args = {0};
  (void)context;

  /* Blocked signals reach even an init that has no handler for them. */
  *nr = __NR_rt_sigprocmask;
  long result = cf_call4(*nr, SIG_SETMASK, &all, &before, SIGNAL_SET_SIZE);
  if (result < 0) return result;
  *nr = __NR_clone3;
  args.exit_signal = SIGCHLD;
  long pid = cf_call2(*nr, &args, sizeof args);
  if (pid > 0) {
    /* Another name tells the host that it is not init any more that it waits for. */
    cf_call2(__NR_prctl, PR_SET_NAME, "init");
    /*
     * Nothing is kept open: the streams end when the child's do, and the end of
     * file of the channel is the news of the child's execve.
     */
    cf_call3(__NR_close_range, 0, ~0U, 0);
    stay(pid, &all);
  }
  long restored = cf_call4(__NR_rt_sigprocmask, SIG_SETMASK, &before, 0, SIGNAL_SET_SIZE);
  if (pid < 0) return pid;
  *nr = __NR_rt_sigprocmask;
  return restored;
}
