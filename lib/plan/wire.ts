// Generated from src-native/core/wire.h and syscall_names.h by
// scripts/generate-wire.mjs. Change those and run `npm run generate`.

/** "OFFD" */
export const WIRE_MAGIC = 0x4446464f
export const WIRE_VERSION = 1
export const MAX_OPS = 8192
/** 16 MiB, above any argv the kernel takes */
export const MAX_PLAN = 16777216
/** larger plans travel in a sealed memfd */
export const MAX_INLINE = 131072
/** descriptors that a plan can hold at once */
export const SLOTS = 64
export const NO_SLOT = 255
export const ARGS = 6
/** descriptors sent along with one plan */
export const MAX_FDS = 16
/** the standard streams, which are the first of them */
export const STDIO = 3
export const MAX_PATH = 4096
/** bytes of one COPY */
export const MAX_COPY = 1048576
/** on failure report it and leave the step out */
export const OP_OPTIONAL = 1
/** skip after success, not after a tolerated failure */
export const OP_OTHERWISE = 2
/** make a file, not a directory */
export const TARGET_FILE = 1
/** ask the host before making anything */
export const TARGET_JOURNAL = 2
/** no symbolic link may lead there */
export const TARGET_STRICT = 4
/** open the directory in which it is or will be made */
export const TARGET_PARENT = 8
export const COPY_UID = 1
export const COPY_GID = 2
/** with its extended attributes */
export const COPY_MODE = 4
export const COPY_ALL = 7
/** that a keeper holds: the standard three, and a terminal */
export const STREAMS = 4
/** room for what rotation appends */
export const MAX_LOG_NAME = 240

/** Operations of the core. */
export const opcodes = {
  /** one system call, result optionally kept in a slot */
  SYSCALL: 1,
  /** open a path in a root, making what is missing of it */
  TARGET: 2,
  /** cover a path, whether it is a file or a directory */
  MASK: 3,
  /** tell the host, go on when it says so */
  WAIT: 4,
  /** tell the host, end this plan, wait for the next */
  PARK: 5,
  /** drop all but some capabilities from the bounding set */
  BOUNDING: 6,
  /** execve the first of several paths that exists */
  EXEC: 7,
  /** maker: what follows may leave the network namespace */
  AWAY: 8,
  /** go on in a child of the host's, and end */
  SIBLING: 9,
  /** go on in a child, and stay as its init until it ends */
  CHILD: 10,
  /** go on in a child, and stay outside as its keeper */
  KEEP: 11,
  /** hand descriptors besides the streams on to the program */
  PASS: 12,
  /** write what one descriptor says to another */
  COPY: 13,
  /** write what the last system call gave to a descriptor */
  TELL: 14,
  /** copy what is in one directory to another */
  COPY_TREE: 15,
} as const

/** What a keeper is asked for. */
export const requests = {
  /** hold the descriptor that comes along: the host's end of a stream */
  HOLD: 1,
  /** close it */
  LET_GO: 2,
  /** send all that are held; answered by a struct cf_given */
  GIVE: 3,
  /** copy a pipe, which comes along with the folder of the file */
  LOG: 4,
} as const

/** How an operation's argument is read. */
export const argKinds = {
  /** the number itself */
  VALUE: 0,
  /** offset of a NUL-terminated string */
  STRING: 1,
  /** offset in the low, length in the high 32 bits */
  BYTES: 2,
  /** the descriptor in this slot */
  SLOT: 3,
  /** offset, count: uint64_t offsets of strings; then one 0 */
  VECTOR: 4,
} as const

/** System calls that a plan can give by name; any other goes by number. */
export type SyscallName =
  | 'accept4'
  | 'bind'
  | 'bpf'
  | 'capset'
  | 'chdir'
  | 'chroot'
  | 'clone3'
  | 'clock_gettime'
  | 'close'
  | 'close_range'
  | 'connect'
  | 'dup3'
  | 'epoll_create1'
  | 'eventfd2'
  | 'execve'
  | 'execveat'
  | 'exit_group'
  | 'fallocate'
  | 'fchdir'
  | 'fchmod'
  | 'fchmodat'
  | 'fchown'
  | 'fchownat'
  | 'fcntl'
  | 'fgetxattr'
  | 'flistxattr'
  | 'flock'
  | 'fsconfig'
  | 'fsetxattr'
  | 'fsmount'
  | 'fsopen'
  | 'fspick'
  | 'ftruncate'
  | 'getdents64'
  | 'getpid'
  | 'getxattr'
  | 'ioctl'
  | 'ioprio_set'
  | 'keyctl'
  | 'kill'
  | 'landlock_create_ruleset'
  | 'linkat'
  | 'listen'
  | 'listmount'
  | 'lseek'
  | 'lsm_list_modules'
  | 'memfd_create'
  | 'mkdirat'
  | 'mknodat'
  | 'mmap'
  | 'mount'
  | 'mount_setattr'
  | 'move_mount'
  | 'mprotect'
  | 'munmap'
  | 'nanosleep'
  | 'open_tree'
  | 'openat'
  | 'openat2'
  | 'personality'
  | 'pidfd_getfd'
  | 'pidfd_open'
  | 'pidfd_send_signal'
  | 'pipe2'
  | 'pivot_root'
  | 'ppoll'
  | 'prctl'
  | 'prlimit64'
  | 'read'
  | 'readlinkat'
  | 'recvfrom'
  | 'recvmsg'
  | 'removexattr'
  | 'renameat2'
  | 'rt_sigaction'
  | 'rt_sigprocmask'
  | 'rt_sigtimedwait'
  | 'sched_setaffinity'
  | 'sched_setattr'
  | 'sched_setscheduler'
  | 'seccomp'
  | 'sendmsg'
  | 'set_mempolicy'
  | 'setdomainname'
  | 'setgroups'
  | 'sethostname'
  | 'setns'
  | 'setpriority'
  | 'setresgid'
  | 'setresuid'
  | 'setsid'
  | 'setsockopt'
  | 'setxattr'
  | 'signalfd4'
  | 'socket'
  | 'socketpair'
  | 'statmount'
  | 'statx'
  | 'symlinkat'
  | 'umask'
  | 'umount2'
  | 'unlinkat'
  | 'unshare'
  | 'utimensat'
  | 'waitid'
  | 'write'
