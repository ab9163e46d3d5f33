/*
 * The yardstick: a plain C program that makes the system calls of the default
 * container, in the same order, from a vfork child. It has no plan, no init
 * and no second half; what cofferdam costs above it is what those cost.
 *
 * peer ROOTFS PROGRAM network|no-network [BINDS SOURCE]: for each byte on
 * standard input it starts one container, waits for its end, and prints the
 * microseconds taken. SOURCE is bound at /m/0, /m/1 and so on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(expression)                                                        \
  ({                                                                             \
    long result_ = (expression);                                                 \
    if (result_ < 0) {                                                           \
      fprintf(stderr, "peer: %s: %s\n", #expression, strerror(errno));           \
      _exit(99);                                                                 \
    }                                                                            \
    result_;                                                                     \
  })

static const char *rootfs, *program;
static int network, binds;
static const char *source;
static int root; /* the root directory of the container that is being made */

static int new_fs(const char *type, const char *const *options, unsigned attributes) {
  int context = CHECK(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
  CHECK(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", type, 0));
  for (; *options; options += 2)
    CHECK(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[0], options[1], 0));
  CHECK(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0));
  int tree = CHECK(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
  close(context);
  return tree;
}

static int in_root(const char *path, uint64_t flags) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags,
                         .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return syscall(SYS_openat2, root, path, &how, sizeof how);
}

static void attach(int tree, int target) {
  CHECK(syscall(SYS_move_mount, tree, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static void put(int tree, const char *path) {
  int target = CHECK(in_root(path, 0));
  attach(tree, target);
  close(target);
}

static int clone_tree(int from, const char *path, unsigned flags) {
  return CHECK(syscall(SYS_open_tree, from, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}

static void set_readonly(int tree, unsigned flags) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  CHECK(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | flags, &attributes, sizeof attributes));
}

static const char *const none[] = {0};
#define STRICT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static void make_dev(void) {
  static const struct { const char *name; int major, minor; } devices[] = {
      {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  static const char *const links[][2] = {
      {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
      {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"}};
  static const char *const dev_options[] = {"mode", "755", "size", "64k", 0};
  static const char *const pts_options[] = {"ptmxmode", "0666", "mode", "0620", "gid", "5", 0};
  static const char *const shm_options[] = {"mode", "1777", "size", "64m", 0};
  int dev = new_fs("tmpfs", dev_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME);
  put(dev, "/dev");
  for (unsigned i = 0; i < 6; i++)
    CHECK(mknodat(dev, devices[i].name, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
  for (unsigned i = 0; i < 6; i++) CHECK(symlinkat(links[i][1], dev, links[i][0]));
  CHECK(mkdirat(dev, "pts", 0755));
  int tree = new_fs("devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  CHECK(syscall(SYS_move_mount, tree, "", dev, "pts", MOVE_MOUNT_F_EMPTY_PATH));
  close(tree);
  CHECK(mkdirat(dev, "shm", 0755));
  tree = new_fs("tmpfs", shm_options, STRICT);
  CHECK(syscall(SYS_move_mount, tree, "", dev, "shm", MOVE_MOUNT_F_EMPTY_PATH));
  close(tree);
  CHECK(mkdirat(dev, "mqueue", 0755));
  tree = new_fs("mqueue", none, STRICT);
  CHECK(syscall(SYS_move_mount, tree, "", dev, "mqueue", MOVE_MOUNT_F_EMPTY_PATH));
  close(tree);
  close(dev);
}

static void mask_paths(void) {
  static const char *const masked[] = {
      "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
      "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
      "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"};
  static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                         "/proc/sysrq-trigger"};
  static const char *const options[] = {"size", "0", "nr_inodes", "1", "mode", "755", 0};
  int empty = new_fs("tmpfs", options, STRICT | MOUNT_ATTR_RDONLY), placed = 0;
  int null = CHECK(in_root("/dev/null", 0));
  for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
    int target = in_root(masked[i], O_DIRECTORY), directory = target >= 0;
    if (target < 0 && errno == ENOTDIR) target = in_root(masked[i], 0);
    if (target < 0) continue;
    int tree = directory && !placed ? empty : clone_tree(directory ? empty : null, "", AT_EMPTY_PATH);
    attach(tree, target);
    if (tree != empty) close(tree);
    placed |= directory;
    close(target);
  }
  for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++) {
    int target = in_root(readonly[i], 0);
    if (target < 0) continue;
    int tree = clone_tree(target, "", AT_EMPTY_PATH | AT_RECURSIVE);
    set_readonly(tree, AT_RECURSIVE);
    attach(tree, target);
    close(tree);
    close(target);
  }
}

static void bind_all(void) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  for (int i = 0; i < binds; i++) {
    char path[32];
    snprintf(path, sizeof path, "/m/%d", i);
    int tree = clone_tree(AT_FDCWD, source, AT_RECURSIVE);
    CHECK(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                  sizeof attributes));
    put(tree, path);
    close(tree);
  }
}

static void loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
  close(fd);
}

static void run(void) {
  char *const argv[] = {(char *)program, 0};
  char *const envp[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        "HOME=/root", "HOSTNAME=peer", 0};
  const uint64_t capabilities = 0xa80425fb;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{capabilities, capabilities, 0}, {0, 0, 0}};
  int null = CHECK(open("/dev/null", O_RDWR | O_CLOEXEC));

  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
  CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  CHECK(setsid());
  umask(0);
  CHECK(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP |
                (network ? CLONE_NEWNET : 0)));
  if (network) loopback_up();
  CHECK(sethostname("peer", 4));
  CHECK(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  root = clone_tree(AT_FDCWD, rootfs, AT_RECURSIVE);
  CHECK(syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
  int tree = new_fs("proc", none, STRICT);
  put(tree, "/proc");
  close(tree);
  tree = new_fs("sysfs", none, STRICT | MOUNT_ATTR_RDONLY);
  put(tree, "/sys");
  close(tree);
  make_dev();
  bind_all();
  mask_paths();
  CHECK(fchdir(root));
  CHECK(syscall(SYS_pivot_root, ".", "."));
  CHECK(umount2(".", MNT_DETACH));
  CHECK(chdir("/"));

  for (int fd = 0; fd < 3; fd++) CHECK(dup3(null, fd, 0));
  for (int i = 0; i < 64; i++)
    if (!(capabilities >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) break;
  CHECK(syscall(SYS_setgroups, 0, 0));
  CHECK(syscall(SYS_setresgid, 0, 0, 0));
  CHECK(syscall(SYS_setresuid, 0, 0, 0));
  CHECK(syscall(SYS_capset, &header, data));
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
  umask(022);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  sigset_t empty;
  sigemptyset(&empty);
  CHECK(sigprocmask(SIG_SETMASK, &empty, 0));
  execve(program, argv, envp);
  _exit(98);
}

static char stack[256 * 1024] __attribute__((aligned(16)));

static int child(void *unused) {
  (void)unused;
  run();
  return 0;
}

int main(int argc, char **argv) {
  char byte;
  if (argc != 4 && argc != 6) return 2;
  rootfs = argv[1];
  program = argv[2];
  network = strcmp(argv[3], "network") == 0;
  if (argc == 6) binds = atoi(argv[4]), source = argv[5];
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    int pidfd, status;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int lock = CHECK(open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(flock(lock, LOCK_SH | LOCK_NB));
    int pid = CHECK(clone(child, stack + sizeof stack,
                          CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_NEWPID | SIGCHLD, 0, &pidfd));
    CHECK(waitpid(pid, &status, 0));
    close(pidfd);
    close(lock);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (status != 0) {
      fprintf(stderr, "peer: status %#x\n", status);
      return 1;
    }
    printf("%.1f\n", (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3);
    fflush(stdout);
  }
  return 0;
}
