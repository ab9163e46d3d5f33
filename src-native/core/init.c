/*
 * The program that every container starts from: a few kilobytes, static, no C
 * library, no loader. It reads a plan from the socket at descriptor 3, carries
 * it out, parks, reads the process half, carries that out too, and is gone
 * with the last operation, execve.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core.h"

#define CHANNEL 3
#define LISTENER 4 /* of one that is parked and not bound to its maker */
#define EXIT_FAILED 125 /* what docker run and chroot(1) use for "could not start" */

#if defined(CF_FAULTS)
/*
 * Test builds: the how-manieth system call of a plan fails with the error that
 * the plan's header names, or never returns when that is CF_FAULT_HANG.
 */
#define CF_FAULT_HANG 0xffff
static struct {
  uint32_t at, error, calls;
} fault;

long cf_faulty_syscall(long nr, long a, long b, long c, long d, long e, long f) {
  if (fault.at != 0 && ++fault.calls == fault.at) {
    if (fault.error != CF_FAULT_HANG) return -(long)fault.error;
    for (;;) cf_raw_syscall(__NR_ppoll, 0, 0, 0, 0, 0, 0);
  }
  return cf_raw_syscall(nr, a, b, c, d, e, f);
}

static void arm_fault(const struct cf_header *header) {
  fault.at = header->fault_at;
  fault.error = header->fault_errno;
  fault.calls = 0;
}
#else
static void arm_fault(const struct cf_header *header) { (void)header; }
#endif

/* Compilers call these even in freestanding code. */
void *memcpy(void *to, const void *from, size_t size);
void *memcpy(void *to, const void *from, size_t size) {
  for (size_t i = 0; i < size; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memset(void *at, int value, size_t size);
void *memset(void *at, int value, size_t size) {
  for (size_t i = 0; i < size; i++) ((char *)at)[i] = (char)value;
  return at;
}

static uint8_t buffer[CF_MAX_INLINE] __attribute__((aligned(8)));

static __attribute__((noreturn)) void quit(int code) {
  for (;;) cf_raw_syscall(__NR_exit_group, code, 0, 0, 0, 0, 0);
}

static __attribute__((noreturn)) void fail(int channel, const struct cf_message *failure) {
  cf_send(channel, failure, sizeof *failure, 0, 0, 0);
  quit(EXIT_FAILED);
}

static __attribute__((noreturn)) void refuse(uint32_t nr, long error) {
  struct cf_message failure = {CF_MSG_FAILED, UINT32_MAX, UINT32_MAX, nr, (int32_t)-error, 0};
  fail(CHANNEL, &failure);
}

/*
 * A plan that is too large for a packet comes as its bare header, with a
 * memfd that holds it all, sealed, so that it can't change under the mapping.
 */
static uint8_t *map_plan(int fd, uint64_t size) {
  const long seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  long result = cf_call2(__NR_fcntl, fd, F_GET_SEALS);
  if (result < 0) refuse(__NR_fcntl, result);
  if ((result & seals) != seals || size > CF_MAX_PLAN) refuse(0, -EBADMSG);
  result = cf_call3(__NR_lseek, fd, 0, 2 /* SEEK_END */);
  if (result < 0 || (uint64_t)result != size) refuse(__NR_lseek, -EBADMSG);
  result = cf_syscall6(__NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (result < 0 && result > -4096) refuse(__NR_mmap, result);
  cf_call1(__NR_close, fd);
  return (uint8_t *)result;
}

/* The next that comes is the other side. unix(7) */
static void accept_channel(void) {
  long fd;
  do {
    fd = cf_call4(__NR_accept4, LISTENER, 0, 0, SOCK_CLOEXEC);
  } while (fd == -EINTR || fd == -ECONNABORTED);
  if (fd < 0) refuse(__NR_accept4, fd);
  /* The channel before it has been closed, so it mostly has that place already. */
  if (fd == CHANNEL) return;
  long result = cf_call3(__NR_dup3, fd, CHANNEL, O_CLOEXEC);
  if (result < 0) refuse(__NR_dup3, result);
  cf_call1(__NR_close, fd);
}

/* The descriptors that came with the plan go to its first slots. */
static void receive_plan(struct cf_machine *machine) {
  int fds[CF_MAX_FDS];
  unsigned fd_count;
  const struct cf_header *header = (const struct cf_header *)buffer;

  long size;
  do {
    if (machine->listens) accept_channel();
    size = cf_receive(CHANNEL, buffer, sizeof buffer, fds, &fd_count, 0);
    /* Who sends nothing only wanted to know whether we listen. */
    if (size == 0 && machine->listens) cf_call1(__NR_close, CHANNEL);
  } while (size == 0 && machine->listens);
  if (machine->listens) cf_call1(__NR_close, LISTENER);
  machine->listens = 0;
  if (size == 0) quit(EXIT_FAILED); /* the host is gone, or wants none of this */
  if (size < 0) refuse(__NR_recvmsg, size);

  machine->plan = buffer;
  if ((uint64_t)size == sizeof *header && header->size > sizeof *header) {
    if (fd_count == 0) refuse(0, -EBADMSG);
    size = header->size;
    machine->plan = map_plan(fds[--fd_count], (uint64_t)size);
  }
  long checked = cf_check(machine->plan, (uint64_t)size, CF_SIDE_INIT);
  if (checked < 0) refuse(0, checked);
  for (unsigned i = 0; i < fd_count; i++) cf_set_slot(machine, i, fds[i]);
  arm_fault((const struct cf_header *)machine->plan);
}

/*
 * Parked: the host goes on, and meanwhile init does the rest of the plan and
 * closes everything, so that it holds nothing that a later process could get
 * hold of.
 */
static void parked(struct cf_machine *machine) {
  const struct cf_header *header = (const struct cf_header *)machine->plan;
  struct cf_message message = {CF_MSG_PARKED, 0, 0, 0, 0, 0};
  const struct cf_op *park = (const struct cf_op *)(header + 1) + machine->parked_at;
  int listener = park->nargs > 0 ? machine->slots[park->args[0]] : -1;
  long result = cf_send(CHANNEL, &message, sizeof message, 0, 0, 0);
  /* One that listens has told its maker before, which may already be gone. */
  if (result < 0 && listener < 0) refuse(__NR_sendmsg, result);
  switch (cf_run_range(machine, machine->parked_at + 1, header->op_count, &message)) {
  case CF_FAILED: fail(CHANNEL, &message);
  case CF_PARKED: refuse(0, -EBADMSG);
  case CF_DONE: break;
  }
  if (listener >= 0) {
    /* From now on it is whoever comes that it listens to. */
    result = listener == LISTENER ? 0 : cf_call3(__NR_dup3, listener, LISTENER, O_CLOEXEC);
    if (result < 0) refuse(__NR_dup3, result);
  }
  result = cf_call3(__NR_close_range, listener >= 0 ? LISTENER + 1 : CHANNEL + 1, ~0U, 0);
  if (result < 0) refuse(__NR_close_range, result);
  uint32_t number = machine->number + 1;
  cf_machine_init(machine, CHANNEL);
  machine->number = number;
  machine->listens = machine->foreign = listener >= 0;
  /* Its maker takes the end of file for the news that all has gone well. */
  if (listener >= 0) result = cf_call3(__NR_close_range, CHANNEL, CHANNEL, 0);
  if (result < 0) refuse(__NR_close_range, result);
}

__attribute__((noreturn, used)) void cf_init_main(void) {
  struct cf_machine machine;
  struct cf_message message;

  cf_call3(__NR_fcntl, CHANNEL, F_SETFD, FD_CLOEXEC);
  /* The host knows it by this name; what execve gives depends on the kernel. */
  cf_call2(__NR_prctl, PR_SET_NAME, "memfd:cofferdam");
  cf_machine_init(&machine, CHANNEL);
  for (;;) {
    receive_plan(&machine);
    switch (cf_run(&machine, &message)) {
    case CF_FAILED: fail(machine.channel, &message); /* which PASS may have moved */
    case CF_DONE: quit(0);
    case CF_PARKED: parked(&machine);
    }
  }
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
        "_start:\n"
        "  xor %ebp, %ebp\n"
        "  and $-16, %rsp\n"
        "  call cf_init_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
        "_start:\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  bl cf_init_main\n");
#endif
