/*
 * Proves a plan sound before anything of it is carried out: each argument's
 * kind is one that the operation takes, each offset lies inside the plan,
 * each string ends inside it, each slot exists. What is not understood is
 * refused, so that a plan of a later version can't be half understood.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>

#include "core.h"

/* lib/plan/encode.ts writes these layouts. */
_Static_assert(sizeof(struct cf_header) == 24, "header layout");
_Static_assert(sizeof(struct cf_op) == 80, "operation layout");
_Static_assert(sizeof(struct cf_message) == 24, "message layout");
_Static_assert(sizeof(struct cf_request) == 264, "request layout");

struct view {
  const uint8_t *bytes;
  uint64_t size;
};

static int string_ok(const struct view *view, uint64_t offset) {
  if (offset < sizeof(struct cf_header)) return 0;
  for (; offset < view->size; offset++)
    if (view->bytes[offset] == 0) return 1;
  return 0;
}

static int bytes_ok(const struct view *view, uint64_t arg) {
  uint64_t offset = arg & 0xffffffff, length = arg >> 32;
  return offset >= sizeof(struct cf_header) && offset <= view->size &&
         length <= view->size - offset;
}

static int vector_ok(const struct view *view, uint64_t arg) {
  uint64_t offset = arg & 0xffffffff, count = arg >> 32;
  if (offset % 8 != 0 || count > CF_MAX_PLAN / 8) return 0;
  if (!bytes_ok(view, offset | ((count + 1) * 8) << 32)) return 0;
  const uint64_t *strings = (const uint64_t *)(view->bytes + offset);
  for (uint64_t i = 0; i < count; i++)
    if (!string_ok(view, strings[i])) return 0;
  return strings[count] == 0;
}

static int arg_ok(const struct view *view, unsigned kind, uint64_t arg) {
  switch (kind) {
  case CF_ARG_VALUE: return 1;
  case CF_ARG_STRING: return string_ok(view, arg);
  case CF_ARG_BYTES: return bytes_ok(view, arg);
  case CF_ARG_SLOT: return arg < CF_SLOTS;
  case CF_ARG_VECTOR: return vector_ok(view, arg);
  default: return 0;
  }
}

/*
 * The host's side runs on a thread of the Node process, so it may only make
 * calls whose effect is confined to the descriptors they return or name:
 * nothing that changes the process (chdir, umask, setns, prctl, ...).
 */
static int host_may(const struct cf_op *op) {
  switch (op->nr) {
  case __NR_fcntl: /* a second descriptor of what the caller has open */
    return op->nargs == 3 && op->kinds[1] == CF_ARG_VALUE && op->args[1] == F_DUPFD_CLOEXEC;
  case __NR_bind: /* a socket of the plan's own */
    return op->nargs == 3 && op->kinds[0] == CF_ARG_SLOT;
  case __NR_close: /* what the plan has opened itself */
    return op->nargs == 1 && op->kinds[0] == CF_ARG_SLOT;
  case __NR_eventfd2:
  case __NR_flock:
  case __NR_mkdirat:
  case __NR_openat:
  case __NR_openat2:
  case __NR_pidfd_open:
  case __NR_setsockopt:
  case __NR_socket:
  case __NR_unlinkat:
  case __NR_write: return 1;
  default: return 0;
  }
}

/*
 * What AWAY may do besides: leave the network namespace, and use what is in
 * another. All other namespaces bring more along than can be taken back.
 */
static int away_may(const struct cf_op *op) {
  switch (op->nr) {
  case __NR_ioctl: return 1;
  case __NR_unshare:
    return op->nargs == 1 && op->kinds[0] == CF_ARG_VALUE && op->args[0] == CLONE_NEWNET;
  case __NR_setns:
    return op->nargs == 2 && op->kinds[1] == CF_ARG_VALUE && op->args[1] == CLONE_NEWNET;
  default: return host_may(op);
  }
}

/* One letter an argument: v value, s string, b bytes, d slot, a vector. */
static int kinds_are(const struct cf_op *op, const char *letters) {
  static const char letter_of[] = {'v', 's', 'b', 'd', 'a'};
  unsigned i = 0;
  for (; letters[i] != 0; i++)
    if (i >= op->nargs || letter_of[op->kinds[i]] != letters[i]) return 0;
  return i == op->nargs;
}

/* `away` is how many operations the last AWAY has left, `rest` how many follow at all. */
static int host_op_ok(const struct cf_op *op, enum cf_side side, uint32_t away, uint32_t rest) {
  if (away > 0) return op->code == CF_OP_SYSCALL && away_may(op) && op->skip < away;
  if (op->skip > 0 && side == CF_SIDE_MAKER) return 0; /* nothing of an AWAY may be entered half-way */
  if (op->code == CF_OP_AWAY)
    return side == CF_SIDE_MAKER && kinds_are(op, "v") && op->nr == 0 &&
           op->result == CF_NO_SLOT && op->args[0] > 0 && op->args[0] <= rest;
  return op->code == CF_OP_SYSCALL && host_may(op);
}

static int init_op_ok(const struct cf_op *op) {
  if (op->code != CF_OP_SYSCALL && op->nr != 0) return 0;
  switch (op->code) {
  case CF_OP_SYSCALL:
    for (unsigned i = 0; i < op->nargs; i++)
      if (op->kinds[i] == CF_ARG_VECTOR) return 0;
    return 1;
  case CF_OP_TARGET: return kinds_are(op, "dsv") && op->result != CF_NO_SLOT;
  case CF_OP_WAIT: return kinds_are(op, "v") || kinds_are(op, "vd");
  default: break;
  }
  /* The rest give no descriptor that a slot could hold. */
  if (op->result != CF_NO_SLOT) return 0;
  switch (op->code) {
  case CF_OP_MASK: return kinds_are(op, "dsdd");
  case CF_OP_PARK: return kinds_are(op, "") || kinds_are(op, "d");
  case CF_OP_KEEP: return kinds_are(op, "vdd") || kinds_are(op, "vddd");
  case CF_OP_SIBLING:
  case CF_OP_CHILD: return kinds_are(op, "");
  case CF_OP_BOUNDING: return kinds_are(op, "v");
  case CF_OP_COPY: return kinds_are(op, "ddv") && op->args[2] <= CF_MAX_COPY;
  case CF_OP_TELL: return kinds_are(op, "d");
  case CF_OP_COPY_TREE: return kinds_are(op, "ddv") && op->args[2] <= CF_COPY_ALL;
  case CF_OP_PASS:
    return kinds_are(op, "v") && op->args[0] > 0 && op->args[0] <= CF_MAX_FDS - CF_STDIO;
  case CF_OP_EXEC: /* an environment may be empty */
    return kinds_are(op, "aaa") && op->args[0] >> 32 > 0 && op->args[1] >> 32 > 0;
  default: return 0;
  }
}

int cf_check(const void *plan, uint64_t size, enum cf_side side) {
  const struct cf_header *header = plan;
  struct view view = {plan, size};

  if ((uintptr_t)plan % 8 != 0 || size < sizeof *header || size > CF_MAX_PLAN ||
      header->magic != CF_WIRE_MAGIC || header->version != CF_WIRE_VERSION ||
      header->size != size || header->op_count > CF_MAX_OPS ||
      header->op_count > (size - sizeof *header) / sizeof(struct cf_op))
    return -EBADMSG;
#if !defined(CF_FAULTS)
  if (header->fault_at != 0 || header->fault_errno != 0) return -EBADMSG;
#endif

  const struct cf_op *ops = (const struct cf_op *)(header + 1);
  uint32_t away = 0;
  for (uint32_t i = 0; i < header->op_count; i++) {
    const struct cf_op *op = &ops[i];
    if (op->nargs > CF_ARGS || (op->flags & ~(CF_OP_OPTIONAL | CF_OP_OTHERWISE)) != 0 ||
        (op->result != CF_NO_SLOT && op->result >= CF_SLOTS) ||
        op->skip > header->op_count - i - 1 || op->reserved[0] != 0 ||
        op->reserved[1] != 0)
      return -EBADMSG;
    for (unsigned a = 0; a < CF_ARGS; a++) {
      if (a >= op->nargs ? op->kinds[a] != 0 || op->args[a] != 0
                         : !arg_ok(&view, op->kinds[a], op->args[a]))
        return -EBADMSG;
    }
    if (side == CF_SIDE_INIT) {
      if (!init_op_ok(op)) return -EBADMSG;
    } else {
      if (!host_op_ok(op, side, away, header->op_count - i - 1)) return -EBADMSG;
      if (op->code == CF_OP_AWAY) away = (uint32_t)op->args[0];
      else if (away > 0) away--;
    }
  }
  return 0;
}
