/*
 * AWAY(count): the next `count` operations may leave the network namespace of
 * the thread, which then comes back. So a descriptor that belongs to another
 * one can be had in microseconds. It is for one thread alone, which belongs to
 * no pool. Of the slots that they fill, the last one's stays filled.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>

#include "core.h"

/* Of the one thread that there is for this; held open as long as it lives. */
static long home = -EBADF;

long cf_this_is_home(void) {
  home = cf_call4(__NR_openat, AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC, 0);
  return home < 0 ? home : 0;
}

#define TRIES 1000 /* a millisecond apart */

/*
 * Only lack of memory can keep a thread from coming home. It must not be lived
 * with: what the thread starts next would be in the wrong place.
 */
static long come_home(uint32_t *nr) {
  const long millisecond[2] = {0, 1000000};
  *nr = __NR_setns;
  for (int try = 1;; try++) {
    long result = cf_call2(__NR_setns, home, CLONE_NEWNET);
    if (result >= 0 || try == TRIES) return result;
    cf_call2(__NR_nanosleep, millisecond, 0);
  }
}

long cf_away(struct cf_machine *machine, uint32_t begin, uint32_t end,
             struct cf_message *failure, uint32_t *nr) {
  const struct cf_op *ops = (const struct cf_op *)((const struct cf_header *)machine->plan + 1);
  uint8_t filled[CF_SLOTS];

  *nr = __NR_openat;
  if (home < 0) return home;
  for (unsigned i = 0; i < CF_SLOTS; i++) filled[i] = machine->slots[i] >= 0;
  long outcome = cf_run_range(machine, begin, end, failure);
  for (unsigned i = 0; i < CF_SLOTS; i++)
    if (!filled[i] && i != ops[end - 1].result) cf_set_slot(machine, i, -1);
  long back = come_home(nr);
  if (back >= 0) return outcome;
  machine->lost = 1;
  return back;
}
