/*
 * The core: carries out a plan, one system call after the other, and says
 * exactly which one failed. It knows no container: all policy is in the plan.
 *
 * The same files are compiled into init (freestanding, no C library) and into
 * the addon, which uses them for the host's side of a plan.
 */
#ifndef COFFERDAM_CORE_H
#define COFFERDAM_CORE_H

#include "syscall.h"
#include "wire.h"

/*
 * Which side a plan is for: the host's may do far less (see check.c), on any
 * thread or on the one that makes things in advance.
 */
enum cf_side { CF_SIDE_HOST, CF_SIDE_MAKER, CF_SIDE_INIT };

/* How often openat2 is tried that the kernel asks to be tried again. */
#define CF_OPEN_ATTEMPTS 64

struct cf_machine {
  uint8_t *plan;       /* checked, 8-byte aligned and writable */
  int channel;         /* socket to the other side, or -1 */
  int slots[CF_SLOTS]; /* descriptors, or -1 */
  uint32_t number;     /* of the plan: 0 for the first that init is sent */
  long last;           /* what the last SYSCALL gave */
  uint32_t parked_at;  /* CF_PARKED: the operation, after which there may be more */
  uint8_t mask_placed; /* MASK: the empty directory has been mounted */
  uint8_t listens;     /* parked: for whoever connects, and not for its maker alone */
  uint8_t foreign;     /* the other side may not be the parent, and see no corpse */
  uint8_t lost;        /* AWAY: the thread is in a foreign network namespace */
};

enum cf_outcome { CF_DONE, CF_PARKED, CF_FAILED };

/* check.c: 0 when every reference of the plan is sound, else -EBADMSG. */
int cf_check(const void *plan, uint64_t size, enum cf_side side);

/* run.c */
void cf_machine_init(struct cf_machine *machine, int channel);
void cf_close_slots(struct cf_machine *machine);
void cf_set_slot(struct cf_machine *machine, unsigned slot, int fd);
/* On CF_FAILED, *failure says where; on any other outcome it is untouched. */
enum cf_outcome cf_run(struct cf_machine *machine, struct cf_message *failure);
/* The same for the operations from `begin` to before `end`. */
enum cf_outcome cf_run_range(struct cf_machine *machine, uint32_t begin, uint32_t end,
                             struct cf_message *failure);
/*
 * away.c: the same by a thread that comes back to its network namespace.
 * Returns the outcome, or -errno when it could not leave (then nothing was
 * carried out) or not come back (machine->lost), and *nr is the call that failed.
 * The thread says beforehand that this is home; 0 or -errno.
 */
long cf_this_is_home(void);
long cf_away(struct cf_machine *machine, uint32_t begin, uint32_t end,
             struct cf_message *failure, uint32_t *nr);

/*
 * operations.c, clone.c, answer.c, copy_tree.c: the operations that are more than one system call. Each
 * returns >= 0 or -errno, and then *nr is the call that failed.
 */
struct cf_context {
  struct cf_machine *machine;
  const struct cf_op *op;
  uint32_t index; /* of the operation */
  long args[CF_ARGS];
};
long cf_do_target(struct cf_context *context, uint32_t *nr);
long cf_do_mask(struct cf_context *context, uint32_t *nr);
long cf_do_wait(struct cf_context *context, uint32_t *nr);
long cf_do_bounding(struct cf_context *context, uint32_t *nr);
long cf_do_exec(struct cf_context *context, uint32_t *nr);
long cf_do_sibling(struct cf_context *context, uint32_t *nr);
long cf_do_child(struct cf_context *context, uint32_t *nr);
long cf_do_keep(struct cf_context *context, uint32_t *nr);
long cf_do_pass(struct cf_context *context, uint32_t *nr);
long cf_do_copy(struct cf_context *context, uint32_t *nr);
long cf_do_tell(struct cf_context *context, uint32_t *nr);
long cf_do_copy_tree(struct cf_context *context, uint32_t *nr);

/*
 * clone.c: whether clone3 failed since this kernel can't make a process in a
 * group (before Linux 5.7), and how the process then gets there itself. `group`
 * is the folder of a v2 group. 0 or -errno.
 */
int cf_no_clone_into(long error);
long cf_enter_group(int group, uint32_t *nr);

/* keep.c: the life of a keeper, with its listening socket and the state folder. */
__attribute__((noreturn)) void cf_keep(int listener, int folder);

/* channel.c: both return >= 0 or -errno. */
long cf_send(int channel, const void *bytes, uint64_t size, const int *fds,
             unsigned fd_count, int flags);
/*
 * Receives one packet of at most `size` bytes and up to CF_MAX_FDS descriptors
 * (close-on-exec), whose number goes to *fd_count. The result is the packet's
 * size; 0 means that the other side is gone. A packet that is larger than
 * `size` or carried too many descriptors is -EBADMSG, and its descriptors are
 * closed.
 */
long cf_receive(int channel, void *bytes, uint64_t size, int *fds,
                unsigned *fd_count, int flags);

#endif
