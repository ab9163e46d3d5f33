/*
 * The interpreter: one loop over the operations of a checked plan.
 */
#include <errno.h>

#include "core.h"

void cf_machine_init(struct cf_machine *machine, int channel) {
  machine->plan = 0;
  machine->channel = channel;
  machine->number = 0;
  machine->last = 0;
  machine->parked_at = 0;
  machine->mask_placed = 0;
  machine->listens = machine->foreign = 0;
  machine->lost = 0;
  for (unsigned i = 0; i < CF_SLOTS; i++) machine->slots[i] = -1;
}

void cf_set_slot(struct cf_machine *machine, unsigned slot, int fd) {
  if (machine->slots[slot] >= 0) cf_call1(__NR_close, machine->slots[slot]);
  machine->slots[slot] = fd;
}

void cf_close_slots(struct cf_machine *machine) {
  for (unsigned i = 0; i < CF_SLOTS; i++) cf_set_slot(machine, i, -1);
}

static long load(const struct cf_machine *machine, unsigned kind, uint64_t arg) {
  switch (kind) {
  case CF_ARG_STRING: return (long)(machine->plan + arg);
  case CF_ARG_BYTES:
  case CF_ARG_VECTOR: return (long)(machine->plan + (arg & 0xffffffff));
  case CF_ARG_SLOT: return machine->slots[arg];
  default: return (long)arg;
  }
}

static long dispatch(struct cf_context *context, uint32_t *nr, struct cf_message *failure) {
  const long *args = context->args;
  switch (context->op->code) {
  case CF_OP_SYSCALL: {
    long result;
    unsigned attempts = 0;
    *nr = context->op->nr;
    /* openat2 could not prove a ".." safe, since something was renamed or mounted meanwhile. */
    do result = cf_syscall6(*nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    while (result == -EAGAIN && *nr == __NR_openat2 && ++attempts < CF_OPEN_ATTEMPTS);
    return result;
  }
  case CF_OP_TARGET: return cf_do_target(context, nr);
  case CF_OP_MASK: return cf_do_mask(context, nr);
  case CF_OP_WAIT: return cf_do_wait(context, nr);
  case CF_OP_BOUNDING: return cf_do_bounding(context, nr);
  case CF_OP_EXEC: return cf_do_exec(context, nr);
  case CF_OP_SIBLING: return cf_do_sibling(context, nr);
  case CF_OP_CHILD: return cf_do_child(context, nr);
  case CF_OP_KEEP: return cf_do_keep(context, nr);
  case CF_OP_PASS: return cf_do_pass(context, nr);
  case CF_OP_COPY: return cf_do_copy(context, nr);
  case CF_OP_TELL: return cf_do_tell(context, nr);
  case CF_OP_COPY_TREE: return cf_do_copy_tree(context, nr);
#if defined(CF_HOST)
  case CF_OP_AWAY:
    return cf_away(context->machine, context->index + 1,
                   context->index + 1 + (uint32_t)args[0], failure, nr);
#endif
  default: (void)failure; return -ENOSYS; /* cf_check lets none through */
  }
}

static int tolerated(const struct cf_op *op, long error) {
  for (unsigned i = 0; i < 3; i++)
    if (op->tolerate[i] != 0 && op->tolerate[i] == error) return 1;
  return 0;
}

enum cf_outcome cf_run(struct cf_machine *machine, struct cf_message *failure) {
  const struct cf_header *header = (const struct cf_header *)machine->plan;
  return cf_run_range(machine, 0, header->op_count, failure);
}

enum cf_outcome cf_run_range(struct cf_machine *machine, uint32_t begin, uint32_t end,
                             struct cf_message *failure) {
  const struct cf_header *header = (const struct cf_header *)machine->plan;
  const struct cf_op *ops = (const struct cf_op *)(header + 1);

  for (uint32_t i = begin; i < end; i++) {
    const struct cf_op *op = &ops[i];
    if (op->code == CF_OP_PARK) {
      machine->parked_at = i;
      return CF_PARKED;
    }

    struct cf_context context = {machine, op, i, {0}};
    for (unsigned a = 0; a < op->nargs; a++)
      context.args[a] = load(machine, op->kinds[a], op->args[a]);

    uint32_t nr = 0;
    long result = dispatch(&context, &nr, failure);
    if (result >= 0) {
      if (op->code == CF_OP_SYSCALL) {
        machine->last = result;
        if (op->nr == __NR_close && op->nargs > 0 && op->kinds[0] == CF_ARG_SLOT)
          machine->slots[op->args[0]] = -1;
      }
      if (op->code == CF_OP_AWAY) {
        if (result == CF_FAILED) return CF_FAILED;
        i += (uint32_t)context.args[0];
      }
      if (op->result != CF_NO_SLOT) cf_set_slot(machine, op->result, (int)result);
      if (op->flags & CF_OP_OTHERWISE) i += op->skip;
      continue;
    }
    if (tolerated(op, -result)) {
      if (!(op->flags & CF_OP_OTHERWISE)) i += op->skip;
      continue;
    }
    struct cf_message report = {CF_MSG_FAILED, op->step, i, nr, (int32_t)-result, machine->number};
    if ((op->flags & CF_OP_OPTIONAL) && machine->channel >= 0) {
      report.type = CF_MSG_OMITTED;
      if (cf_send(machine->channel, &report, sizeof report, 0, 0, 0) >= 0) {
        while (i + 1 < end && ops[i + 1].step == op->step) i++;
        continue;
      }
      report.type = CF_MSG_FAILED;
    }
    *failure = report;
    return CF_FAILED;
  }
  return CF_DONE;
}
