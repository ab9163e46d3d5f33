/*
 * System calls that a plan can name. The addon hands the list to TypeScript
 * with this architecture's numbers; any other call can be given by number.
 * Alphabetical. `scripts/generate-wire.mjs` takes the names from here.
 */
#ifndef COFFERDAM_SYSCALL_NAMES_H
#define COFFERDAM_SYSCALL_NAMES_H

#include <asm/unistd.h>

/*
 * Since Linux 5.1 all architectures number new system calls alike, so these
 * are right wherever the kernel headers are older than the kernel.
 */
#ifndef __NR_open_tree
#define __NR_open_tree 428
#define __NR_move_mount 429
#define __NR_fsopen 430
#define __NR_fsconfig 431
#define __NR_fsmount 432
#endif
#ifndef __NR_fspick
#define __NR_fspick 433
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_clone3
#define __NR_clone3 435
#endif
#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438
#endif
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#endif
#ifndef __NR_statmount
#define __NR_statmount 457
#define __NR_listmount 458
#endif
#ifndef __NR_lsm_list_modules
#define __NR_lsm_list_modules 461
#endif

#define CF_SYSCALL_NAMES(X)                                                    \
  X(accept4)                                                                   \
  X(bind)                                                                      \
  X(bpf)                                                                       \
  X(capset)                                                                    \
  X(chdir)                                                                     \
  X(chroot)                                                                    \
  X(clone3)                                                                    \
  X(clock_gettime)                                                             \
  X(close)                                                                     \
  X(close_range)                                                               \
  X(connect)                                                                   \
  X(dup3)                                                                      \
  X(epoll_create1)                                                             \
  X(eventfd2)                                                                  \
  X(execve)                                                                    \
  X(execveat)                                                                  \
  X(exit_group)                                                                \
  X(fallocate)                                                                 \
  X(fchdir)                                                                    \
  X(fchmod)                                                                    \
  X(fchmodat)                                                                  \
  X(fchown)                                                                    \
  X(fchownat)                                                                  \
  X(fcntl)                                                                     \
  X(fgetxattr)                                                                 \
  X(flistxattr)                                                                \
  X(flock)                                                                     \
  X(fsconfig)                                                                  \
  X(fsetxattr)                                                                 \
  X(fsmount)                                                                   \
  X(fsopen)                                                                    \
  X(fspick)                                                                    \
  X(ftruncate)                                                                 \
  X(getdents64)                                                                \
  X(getpid)                                                                    \
  X(getxattr)                                                                  \
  X(ioctl)                                                                     \
  X(ioprio_set)                                                                \
  X(keyctl)                                                                    \
  X(kill)                                                                      \
  X(landlock_create_ruleset)                                                   \
  X(linkat)                                                                    \
  X(listen)                                                                    \
  X(listmount)                                                                 \
  X(lseek)                                                                     \
  X(lsm_list_modules)                                                          \
  X(memfd_create)                                                              \
  X(mkdirat)                                                                   \
  X(mknodat)                                                                   \
  X(mmap)                                                                      \
  X(mount)                                                                     \
  X(mount_setattr)                                                             \
  X(move_mount)                                                                \
  X(mprotect)                                                                  \
  X(munmap)                                                                    \
  X(nanosleep)                                                                 \
  X(open_tree)                                                                 \
  X(openat)                                                                    \
  X(openat2)                                                                   \
  X(personality)                                                               \
  X(pidfd_getfd)                                                               \
  X(pidfd_open)                                                                \
  X(pidfd_send_signal)                                                         \
  X(pipe2)                                                                     \
  X(pivot_root)                                                                \
  X(ppoll)                                                                     \
  X(prctl)                                                                     \
  X(prlimit64)                                                                 \
  X(read)                                                                      \
  X(readlinkat)                                                                \
  X(recvfrom)                                                                  \
  X(recvmsg)                                                                   \
  X(removexattr)                                                               \
  X(renameat2)                                                                 \
  X(rt_sigaction)                                                              \
  X(rt_sigprocmask)                                                            \
  X(rt_sigtimedwait)                                                           \
  X(sched_setaffinity)                                                         \
  X(sched_setattr)                                                             \
  X(sched_setscheduler)                                                        \
  X(seccomp)                                                                   \
  X(sendmsg)                                                                   \
  X(set_mempolicy)                                                             \
  X(setdomainname)                                                             \
  X(setgroups)                                                                 \
  X(sethostname)                                                               \
  X(setns)                                                                     \
  X(setpriority)                                                               \
  X(setresgid)                                                                 \
  X(setresuid)                                                                 \
  X(setsid)                                                                    \
  X(setsockopt)                                                                \
  X(setxattr)                                                                  \
  X(signalfd4)                                                                 \
  X(socket)                                                                    \
  X(socketpair)                                                                \
  X(statmount)                                                                 \
  X(statx)                                                                     \
  X(symlinkat)                                                                 \
  X(umask)                                                                     \
  X(umount2)                                                                   \
  X(unlinkat)                                                                  \
  X(unshare)                                                                   \
  X(utimensat)                                                                 \
  X(waitid)                                                                    \
  X(write)

#endif
