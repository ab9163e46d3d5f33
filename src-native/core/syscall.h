/*
 * System calls without a C library: init has none, and the host side must not
 * touch errno between clone3 and exec, where it shares Node's memory.
 * The result is the kernel's own: a value, or -errno.
 */
#ifndef COFFERDAM_SYSCALL_H
#define COFFERDAM_SYSCALL_H

#include <stdint.h>

#include "syscall_names.h"

#if defined(CF_SYSCALL_HOOK)

/* Builds for fuzzing put their own kernel here. */
long cf_syscall_hook(long nr, long a, long b, long c, long d, long e, long f);
#define cf_raw_syscall cf_syscall_hook

#elif defined(__x86_64__)

static inline __attribute__((always_inline)) long
cf_raw_syscall(long nr, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

static inline __attribute__((always_inline)) long
cf_raw_syscall(long nr, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory", "cc");
  return x0;
}

#else
#error "cofferdam knows the system call instruction of x86_64 and aarch64 only"
#endif

#if defined(CF_FAULTS)
/* Test builds of init: every call is counted, and one of them fails. */
long cf_faulty_syscall(long nr, long a, long b, long c, long d, long e, long f);
#define cf_syscall6 cf_faulty_syscall
#else
#define cf_syscall6 cf_raw_syscall
#endif

#define CF_ARG(x) ((long)(x))
#define cf_call0(nr) cf_syscall6((nr), 0, 0, 0, 0, 0, 0)
#define cf_call1(nr, a) cf_syscall6((nr), CF_ARG(a), 0, 0, 0, 0, 0)
#define cf_call2(nr, a, b) cf_syscall6((nr), CF_ARG(a), CF_ARG(b), 0, 0, 0, 0)
#define cf_call3(nr, a, b, c)                                                  \
  cf_syscall6((nr), CF_ARG(a), CF_ARG(b), CF_ARG(c), 0, 0, 0)
#define cf_call4(nr, a, b, c, d)                                               \
  cf_syscall6((nr), CF_ARG(a), CF_ARG(b), CF_ARG(c), CF_ARG(d), 0, 0)
#define cf_call5(nr, a, b, c, d, e)                                            \
  cf_syscall6((nr), CF_ARG(a), CF_ARG(b), CF_ARG(c), CF_ARG(d), CF_ARG(e), 0)

#endif
