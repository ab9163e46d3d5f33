import { readFileSync } from 'node:fs'
import { CofferdamError, type ErrorDetails, errnoName, syscallName } from '../base/index.js'
import {
  type Argument,
  type EncodedPlan,
  type Operation,
  Placeholder,
  printOperation,
  Slot,
} from '../plan/index.js'
import { groupHint, isOfGroup } from './group.js'
import { attributeHint } from './hints.js'
import { mountHint } from './mount-hints.js'

/** What the core says of an operation that failed. */
export interface Failure {
  operation: number
  /** Number of the system call, or 0. */
  syscall: number
  errno: number
}

/** The typed error for a failure at some operation of `plan`, whose placeholders have these texts. */
export function failureError(
  failure: Failure,
  plan: EncodedPlan | null,
  texts: readonly string[] = [],
): CofferdamError {
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
  const textOf = ({ prefix, name }: Placeholder) =>
    prefix + (texts[plan?.placeholders.indexOf(name) ?? -1] ?? `<${name}>`)
  details.path = pathOf(source.operation, textOf)
  if (isOfGroup(source.step.name)) details.controller = 'cgroup'
  details.hint = hintFor(syscall, code, source.step.name)
  const printed =
    syscall === undefined || source.operation.call === syscall
      ? details.operation
      : `${syscall} in ${details.operation}`
  return new CofferdamError(`${source.step.name}: ${printed}: ${code}`, details)
}

/** The path that an operation is about: the last of its arguments that looks like one. */
function pathOf(
  operation: Operation,
  textOf: (placeholder: Placeholder) => string,
): string | undefined {
  const { about } = operation
  const text = (part: Argument) =>
    typeof part === 'string' ? part : part instanceof Placeholder ? textOf(part) : ''
  if (typeof about === 'string') return about
  if (about !== undefined) return about.map(text).join('')
  const strings = operation.args.map(text).filter(path => path.startsWith('/'))
  if (strings.length > 0) return strings.at(-1)
  // exec: the program that was looked for
  const argv = operation.args[1]
  return Array.isArray(argv) && !(argv instanceof Slot) ? (argv[0] as string) : undefined
}

const ROOT_HINT =
  'it needs root, or CAP_SYS_ADMIN in the user namespace that owns what is to be left or joined'

/** What experience says about an error: its usual cause, and the remedy. */
function hintFor(
  syscall: string | undefined,
  code: string,
  step: string | undefined,
): string | undefined {
  const forbidden =
    userNamespaceHint(syscall, code, step) ??
    attributeHint(syscall, code, step) ??
    groupHint(syscall, code, step)
  if (forbidden !== undefined) return forbidden
  if (code === 'EPERM') {
    if (syscall === 'clone3' || syscall === 'unshare' || syscall === 'setns') return ROOT_HINT
    if (syscall === 'prctl' && step === 'bounding set')
      return 'dropping capabilities needs CAP_SETPCAP'
    if (syscall === 'capset')
      return 'a process can give no capability that it lacks itself; see CapPrm in /proc/self/status'
    if (syscall === 'mknodat') return 'device files need CAP_MKNOD in the initial user namespace'
    const mounting = ['fsopen', 'fsconfig', 'fsmount'].includes(syscall ?? '')
    if (mounting && step === 'proc')
      return "an outer container masks parts of /proc, or the PID namespace is shared, so that no new proc may be mounted; proc('bind') shows the outer one"
    if (syscall === 'fsconfig' && step === 'dev')
      return "in a user namespace the message queues need an IPC namespace of its own: isolate('ipc')"
    if (mounting && step === 'sysfs')
      return "an outer container masks parts of /sys, or the network namespace is shared, so that no new sysfs may be mounted; sysfs('bind') shows the outer one"
  }
  if (code === 'EINVAL' && syscall === 'setns' && step === 'join user namespace')
    return 'this program is in that user namespace already'
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
  if (code === 'EROFS' && (syscall === 'mkdirat' || syscall === 'mknodat'))
    return 'the place for the mount is missing, and can not be made since it would lie on a read-only mount'
  if (code === 'EDQUOT' && syscall === 'keyctl')
    return "the user's quota of keys has been reached: /proc/key-users"
  if (code === 'EPERM' && step === 'pin')
    return 'it needs root, or CAP_SYS_ADMIN in the user namespace that owns the mounts here'
  if ((code === 'EINVAL' || code === 'ELOOP') && step === 'pin')
    return 'a mount namespace can only be pinned in one that is older, and on a private mount: mount --make-private'
  if ((code === 'ENOENT' || code === 'EINVAL') && step === 'time namespace')
    return 'this kernel has no time namespaces: they need Linux 5.6 and CONFIG_TIME_NS'
  if (code === 'ERANGE' && step === 'time namespace')
    return 'no clock can show less than nothing, nor more than 146 years: an offset is on top of how long the machine has been up'
  if (code === 'ENODEV' && step === 'rootfs')
    return 'this kernel has no overlayfs: try "modprobe overlay"'
  if (code === 'EPERM' && syscall === 'mount' && step === 'rootfs')
    return 'overlayfs in a user namespace needs Linux 5.11 or later'
  if (code === 'EINVAL' && (syscall === 'setresuid' || syscall === 'setresgid'))
    return 'the user namespace does not have that id; see /proc/PID/uid_map and gid_map'
  if (code === 'EINVAL' && syscall === 'mount' && step === 'rootfs')
    return 'overlayfs refuses these directories; "dmesg" says why'
  if (code === 'EINVAL' && syscall === 'pivot_root')
    return 'the root of this system is an initramfs, which can not be left by pivot_root'
  if (code === 'EACCES' && syscall === 'execveat')
    return 'this system forbids executing from memory: sysctl vm.memfd_noexec'
  const mounting = mountHint(syscall, code, step)
  if (mounting !== undefined) return mounting
  if (code === 'ENOSYS') return 'this kernel is too old; 5.14 and later have all that is used'
  return undefined
}

/** Why there is no user namespace, or none that is worth anything, where somebody has forbidden it. */
function userNamespaceHint(
  syscall: string | undefined,
  code: string,
  step: string | undefined,
): string | undefined {
  if (step === 'user namespace' && syscall === 'unshare') {
    if (code === 'ENOSPC' || code === 'EUSERS')
      return 'sysctl user.max_user_namespaces is 0 or has been reached, or they are nested 32 deep'
    if (code === 'EPERM' && sysctl('kernel/unprivileged_userns_clone') === '0')
      return 'user namespaces are forbidden here: sysctl kernel.unprivileged_userns_clone=1'
    if (code === 'EPERM')
      return 'user namespaces are forbidden here: by the filter of an outer container, or since the root directory is not that of the mount namespace (chroot)'
  }
  // It is let through, but without any capability in it.
  if (
    (code === 'EPERM' || code === 'EACCES') &&
    process.geteuid?.() !== 0 &&
    sysctl('kernel/apparmor_restrict_unprivileged_userns') === '1'
  )
    return 'AppArmor takes the capabilities from user namespaces here: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with "userns,"'
  return undefined
}

/** Its value; undefined where the kernel does not know it. */
function sysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}
