import { CofferdamError, type ErrorDetails, errnoName, syscallName } from '../base/index.js'
import {
  type Argument,
  type EncodedPlan,
  type Operation,
  printOperation,
  Slot,
} from '../plan/index.js'

/** What the core says of an operation that failed. */
export interface Failure {
  operation: number
  /** Number of the system call, or 0. */
  syscall: number
  errno: number
}

/** The typed error for a failure at some operation of `plan`. */
export function failureError(failure: Failure, plan: EncodedPlan | null): CofferdamError {
  const code = errnoName(failure.errno)
  // 0 is the number of a call on some machines, but the core means "none" by it.
  const syscall = failure.syscall === 0 ? undefined : syscallName(failure.syscall)
  const source = plan?.source(failure.operation)
  const details: ErrorDetails = { code, errno: failure.errno, syscall }
  if (source === undefined) {
    details.step = 'start init'
    details.hint = hintFor(syscall, code, undefined)
    return new CofferdamError(`start init: ${syscall ?? 'the plan'}: ${code}`, details)
  }
  details.step = source.step.name
  details.operation = printOperation(source.operation)
  details.path = pathOf(source.operation)
  details.hint = hintFor(syscall, code, source.step.name)
  const printed =
    syscall === undefined || source.operation.call === syscall
      ? details.operation
      : `${syscall} in ${details.operation}`
  return new CofferdamError(`${source.step.name}: ${printed}: ${code}`, details)
}

/** The path that an operation is about: the last of its arguments that looks like one. */
function pathOf(operation: Operation): string | undefined {
  const isPath = (argument: Argument): argument is string =>
    typeof argument === 'string' && argument.startsWith('/')
  const strings = operation.args.filter(isPath)
  if (strings.length > 0) return strings.at(-1)
  // exec: the program that was looked for
  const argv = operation.args[1]
  return Array.isArray(argv) && !(argv instanceof Slot) ? (argv[0] as string) : undefined
}

const ROOT_HINT =
  'making containers needs root, or a program with CAP_SYS_ADMIN in its user namespace'

/** What experience says about an error: its usual cause, and the remedy. */
function hintFor(
  syscall: string | undefined,
  code: string,
  step: string | undefined,
): string | undefined {
  if (code === 'EPERM') {
    if (syscall === 'clone3' || syscall === 'unshare' || syscall === 'setns') return ROOT_HINT
    if (syscall === 'prctl' && step === 'bounding set')
      return 'dropping capabilities needs CAP_SETPCAP'
    if (syscall === 'capset')
      return 'a process can give no capability that it lacks itself; see CapPrm in /proc/self/status'
    if (syscall === 'mknodat') return 'device files need CAP_MKNOD in the initial user namespace'
    if (syscall === 'fsmount' && step === 'proc')
      return 'an outer container masks parts of /proc, so that no new proc may be mounted'
  }
  if (code === 'ENOSPC' && (syscall === 'clone3' || syscall === 'unshare'))
    return 'a limit in /proc/sys/user, as max_net_namespaces, has been reached'
  if (code === 'EAGAIN' && syscall === 'clone3')
    return 'the limit of processes has been reached: RLIMIT_NPROC, or pids.max of the cgroup'
  if (code === 'EAGAIN' && syscall === 'flock')
    return 'another program holds an exclusive lock on the root file system'
  if (code === 'ELOOP' && (step === 'proc' || step === 'sysfs' || step === 'dev'))
    return 'the image has a symbolic link there, which could lead anywhere'
  if (code === 'ELOOP' && syscall === 'statx')
    return 'a symbolic link of the image leads to its root directory, which can not be covered'
  if (code === 'EDQUOT' && syscall === 'keyctl')
    return "the user's quota of keys has been reached: /proc/key-users"
  if (code === 'ENODEV' && step === 'rootfs')
    return 'this kernel has no overlayfs: try "modprobe overlay"'
  if (code === 'EINVAL' && syscall === 'mount' && step === 'rootfs')
    return 'overlayfs refuses these directories; "dmesg" says why'
  if (code === 'EINVAL' && syscall === 'pivot_root')
    return 'the root of this system is an initramfs, which can not be left by pivot_root'
  if (code === 'EACCES' && syscall === 'execveat')
    return 'this system forbids executing from memory: sysctl vm.memfd_noexec'
  if (code === 'ENOSYS') return 'this kernel is too old; 5.14 and later have all that is used'
  return undefined
}
