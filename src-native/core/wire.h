/*
 * The wire format of a plan: what TypeScript encodes and the core carries out.
 *
 * This file is the one place where opcodes, argument kinds and messages are
 * numbered. `scripts/generate-wire.mjs` reads the X() lists and the #define
 * lines below and writes `lib/plan/wire.ts` from them; `npm run check` fails
 * when the two differ.
 *
 * A plan is one contiguous, 8-byte aligned block:
 *
 *     struct cf_header | struct cf_op[op_count] | data
 *
 * Integers are in the machine's own byte order: a plan never leaves it.
 * Every reference is an offset from the start of the plan, so that the block
 * can be copied anywhere; `cf_check` proves all of them to lie inside it
 * before the first operation runs.
 */
#ifndef COFFERDAM_WIRE_H
#define COFFERDAM_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define CF_WIRE_MAGIC 0x4446464f /* "OFFD" */
#define CF_WIRE_VERSION 1

#define CF_MAX_OPS 8192
#define CF_MAX_PLAN 16777216 /* 16 MiB, above any argv the kernel takes */
#define CF_MAX_INLINE 131072 /* larger plans travel in a sealed memfd */
#define CF_SLOTS 64          /* descriptors that a plan can hold at once */
#define CF_NO_SLOT 255
#define CF_ARGS 6
#define CF_MAX_FDS 16 /* descriptors sent along with one plan */
#define CF_STDIO 3    /* the standard streams, which are the first of them */
#define CF_MAX_PATH 4096
#define CF_MAX_COPY 1048576 /* bytes of one COPY */

/*
 * Operations. SYSCALL is nearly all of a plan; the others are what a single
 * system call can't say. Numbers are never reused.
 */
#define CF_OPCODES(X)                                                          \
  X(SYSCALL, 1)  /* one system call, result optionally kept in a slot */       \
  X(TARGET, 2)   /* open a path in a root, making what is missing of it */     \
  X(MASK, 3)     /* cover a path, whether it is a file or a directory */       \
  X(WAIT, 4)     /* tell the host, go on when it says so */                    \
  X(PARK, 5)     /* tell the host, end this plan, wait for the next */         \
  X(BOUNDING, 6) /* drop all but some capabilities from the bounding set */    \
  X(EXEC, 7)     /* execve the first of several paths that exists */           \
  X(AWAY, 8)     /* maker: what follows may leave the network namespace */     \
  X(SIBLING, 9)  /* go on in a child of the host's, and end */                 \
  X(CHILD, 10)   /* go on in a child, and stay as its init until it ends */      \
  X(KEEP, 11)    /* go on in a child, and stay outside as its keeper */          \
  X(PASS, 12)    /* hand descriptors besides the streams on to the program */ \
  X(COPY, 13)    /* write what one descriptor says to another */                 \
  X(TELL, 14)    /* write what the last system call gave to a descriptor */     \
  X(COPY_TREE, 15) /* copy what is in one directory to another */

/* How an operation's argument is to be read. */
#define CF_ARG_KINDS(X)                                                        \
  X(VALUE, 0)  /* the number itself */                                         \
  X(STRING, 1) /* offset of a NUL-terminated string */                         \
  X(BYTES, 2)  /* offset in the low, length in the high 32 bits */             \
  X(SLOT, 3)   /* the descriptor in this slot */                               \
  X(VECTOR, 4) /* offset, count: uint64_t offsets of strings; then one 0 */

/* What the two ends of the socket tell each other. */
#define CF_MESSAGES(X)                                                         \
  X(PARKED, 1)    /* init: set up, waiting for the process half */             \
  X(FAILED, 2)    /* init: this operation failed, I exit */                    \
  X(OMITTED, 3)   /* init: an optional step failed and was left out */         \
  X(WAITING, 4)   /* init: at a waiting point */                               \
  X(MAKING, 5)    /* init: about to make a missing mount target */             \
  X(CONTINUE, 7)  /* host: go on */                                            \
  X(SIBLING, 8)   /* init: this process goes on in my place; with its pidfd */ \
  X(EXECUTING, 9) /* init, to who is not the parent: execve comes next */

/* What a keeper is asked for, in a struct cf_request. */
#define CF_REQUESTS(X)                                                         \
  X(HOLD, 1)   /* hold the descriptor that comes along: the host's end of a stream */ \
  X(LET_GO, 2) /* close it */                                                  \
  X(GIVE, 3)   /* send all that are held; answered by a struct cf_given */     \
  X(LOG, 4)    /* copy a pipe, which comes along with the folder of the file */

/* cf_op.flags */
#define CF_OP_OPTIONAL 1 /* on failure report it and leave the step out */
#define CF_OP_OTHERWISE 2 /* skip after success, not after a tolerated failure */

/* flags argument of TARGET */
#define CF_TARGET_FILE 1    /* make a file, not a directory */
#define CF_TARGET_JOURNAL 2 /* ask the host before making anything */
#define CF_TARGET_STRICT 4  /* no symbolic link may lead there */
#define CF_TARGET_PARENT 8  /* open the directory in which it is or will be made */

/* flags argument of COPY_TREE: what the new directory has of the one it copies */
#define CF_COPY_UID 1
#define CF_COPY_GID 2
#define CF_COPY_MODE 4 /* with its extended attributes */
#define CF_COPY_ALL 7

struct cf_header {
  uint32_t magic;
  uint32_t version;
  uint32_t size;     /* of the whole plan in bytes */
  uint32_t op_count;
  uint32_t fault_at;    /* test builds: the how-manieth system call fails, */
  uint32_t fault_errno; /* and with what; both 0 in any other build */
};

struct cf_op {
  uint16_t code;
  uint16_t step;        /* index of the step, for the report */
  uint32_t nr;          /* SYSCALL: this architecture's number */
  uint8_t result;       /* slot that takes the result, or CF_NO_SLOT */
  uint8_t flags;
  uint8_t skip;         /* operations to skip after a tolerated failure */
  uint8_t nargs;
  uint8_t kinds[CF_ARGS];
  uint16_t tolerate[3]; /* errno values that are no failure; 0: none */
  uint32_t reserved[2]; /* 0 */
  uint64_t args[CF_ARGS];
};

#define CF_STREAMS 4      /* that a keeper holds: the standard three, and a terminal */
#define CF_MAX_LOG_NAME 240 /* room for what rotation appends */

struct cf_request {
  uint32_t type;
  uint32_t stream;   /* HOLD, LET_GO */
  uint64_t max_size; /* LOG: in bytes, of each file */
  uint32_t max_files;
  char name[CF_MAX_LOG_NAME + 4];
};

struct cf_given {
  uint32_t streams; /* bit set of those whose descriptors come along, in order */
  int32_t error;    /* EBUSY: they are somebody else's for now */
};

struct cf_message {
  uint32_t type;
  uint32_t step;
  uint32_t op;    /* index of the operation */
  uint32_t nr;    /* system call that failed, or 0 */
  int32_t error;  /* errno */
  uint32_t value; /* WAITING: number of the waiting point; FAILED, OMITTED: of the
                     plan, counted from 0; SIBLING: pid */
};

#define X(name, value) CF_OP_##name = value,
enum cf_opcode { CF_OPCODES(X) };
#undef X
#define X(name, value) CF_ARG_##name = value,
enum cf_arg_kind { CF_ARG_KINDS(X) };
#undef X
#define X(name, value) CF_MSG_##name = value,
enum cf_message_type { CF_MESSAGES(X) };
#undef X
#define X(name, value) CF_REQUEST_##name = value,
enum cf_request_type { CF_REQUESTS(X) };
#undef X

#endif
