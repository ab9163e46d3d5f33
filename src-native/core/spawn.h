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

struct cf_spawn_request {
  uint8_t *host_plan; /* host-side operations, checked; or NULL. What they leave
                         in slots goes to init's first slots */
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
  int held[CF_SLOTS]; /* the host plan's descriptors: the caller closes them */
  unsigned held_count;
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
