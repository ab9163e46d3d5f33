/*
 * The host's side of a start: the descriptor of init, one clone3, one plan
 * sent. Called on the addon's spawner thread; allocates nothing, and changes
 * nothing of the process it runs in.
 */
#ifndef COFFERDAM_SPAWN_H
#define COFFERDAM_SPAWN_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Descriptors, in the order of the slots that they go to. */
struct cf_fds {
  int fds[CF_SLOTS];
  unsigned count;
};

/*
 * Carries out a checked plan of the host's side and adds what it leaves in
 * slots to *fds. 0; or -1 with *failure filled and *fds as it was.
 */
int cf_run_host(uint8_t *plan, struct cf_fds *fds, struct cf_message *failure);

/* What failure->value says when the thread did not come back from an AWAY. */
#define CF_LOST 1

struct cf_spawn_request {
  uint8_t *host_plan; /* host-side operations, checked; or NULL */
  int first;           /* descriptor for the first slot, as the pidfd of a process whose
                          namespaces the plan joins; or -1. It goes to result->held, or is
                          closed */
  int into;            /* which of the descriptors that the host plan leaves is the folder of
                          the v2 group that init is to be made in; or -1. It is closed */
  struct cf_fds ahead; /* what was made in advance, for the slots behind those that the
                          host plan fills. It goes to result->held, or is closed */
  const uint8_t *plan; /* init's plan */
  uint64_t plan_size;
  uint64_t clone_flags; /* namespaces that only clone can make */
  int init_fd;          /* from cf_init_open */
  int null_fd;          /* /dev/null */
};

struct cf_spawn_result {
  int pid;
  int pidfd;
  int channel;
  struct cf_fds held; /* went to init's first slots. The caller closes them */
  struct cf_message failure; /* type CF_MSG_FAILED when the spawn failed */
};

/* 0, or -1 with result->failure filled and nothing left behind. */
int cf_spawn(const struct cf_spawn_request *request, struct cf_spawn_result *result);

/*
 * Sends a plan with its descriptors, in a sealed memfd if it is too large for
 * a packet. Never blocks. 0 or -errno, and then *nr is the call that failed.
 */
long cf_send_plan(int channel, const uint8_t *plan, uint64_t size, const int *fds,
                  unsigned fd_count, uint32_t *nr);

/* Writes a memfd and makes it immutable. 0 or -errno, *nr being what failed. */
long cf_fill_and_seal(int fd, const uint8_t *bytes, uint64_t size, uint32_t *nr);

/*
 * A descriptor from which init can be executed any number of times, and whose
 * bytes can't change. -errno on failure; *sealed says whether it is a sealed
 * memfd or, where those can't be executed, an unlinked file.
 */
long cf_init_open(const uint8_t *bytes, uint64_t size, int *sealed);

#ifdef __cplusplus
}
#endif

#endif
