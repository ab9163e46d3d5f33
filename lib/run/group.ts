import {
  AT_FDCWD,
  call,
  flags,
  type HostStep,
  hostStep,
  type InitStep,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_WRONLY,
  type Operation,
  type Placeholder,
  type Slot,
  slot,
  step,
} from '../plan/index.js'

/** A control group's folder in one hierarchy; cgroups(7). */
export interface GroupPlace {
  version: 1 | 2
  /** Absolute; or filled in for each process. */
  path: string | Placeholder
}

/** The names of the steps. */
const OPEN = 'group'
const ENTER = 'enter groups'

/** How a process gets into a control group before it does anything else. */
export interface GroupEntry {
  /** Opens what {@link into} names. */
  host: HostStep[]
  /** The folder of the v2 group that it is made in, for `launchOf()`. */
  into: Slot | undefined
  /** What it does first of all, where groups are of version 1. */
  steps: InitStep[]
}

/** Opens a group's folder, or another directory. openat(2) */
export function openFolder(path: string | Placeholder, result: Slot): Operation {
  return call('openat', [AT_FDCWD, path, flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], { result })
}

/**
 * How a process that is to be made gets into a group: it is made in the one of version 2
 * (clone3(2) `CLONE_INTO_CGROUP`), and goes to those of version 1 itself, which have
 * nothing of the kind. So no other process writes its pid to `cgroup.procs`, which takes
 * the kernel ten milliseconds (it waits for all processors), and there is no moment at
 * which it runs outside.
 */
export function groupEntry(places: readonly GroupPlace[]): GroupEntry {
  const unified = places.find(({ version }) => version === 2)
  const steps = enterGroups(places)
  if (unified === undefined) return { host: [], into: undefined, steps }
  const into = slot('group')
  return { host: [hostStep(OPEN, openFolder(unified.path, into))], into, steps }
}

/**
 * The process goes to the groups of version 1 among these; one step, or none. Its `tasks`
 * takes a thread, and it has but one: `cgroup.procs` would wait for all processors.
 */
export function enterGroups(places: readonly GroupPlace[]): InitStep[] {
  const old = places.filter(({ version }) => version === 1)
  if (old.length === 0) return []
  const folder = slot('group')
  const tasks = slot('tasks')
  return [
    step(
      ENTER,
      ...old.flatMap(({ path }) => [
        openFolder(path, folder),
        call('openat', [folder, 'tasks', flags(O_WRONLY, O_CLOEXEC)], {
          result: tasks,
          about: [path, '/tasks'],
        }),
        call('write', [tasks, '0', 1], { about: [path, '/tasks'] }),
      ]),
    ),
  ]
}

/** What `EPERM` means where a program for devices is loaded or attached. */
export const DEVICES_HINT =
  'programs for devices need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the first user namespace, and before Linux 5.11 a higher RLIMIT_MEMLOCK: run as root, or go without; who is root of another user namespace only can make no devices anyway'

/** What `EROFS` means where a group is made, written to, or entered. */
export const READ_ONLY_HINT =
  'the control groups are mounted read-only here: mount them writable, or run outside'

/** Whether a step is what brings a process into its groups. */
export function isOfGroup(step: string | undefined): boolean {
  return step === ENTER || step === OPEN
}

/**
 * Of what fails with a process that is to be made in a group, or to go to one: the usual
 * cause. EAGAIN has causes that are not the group's.
 */
export function groupHint(
  syscall: string | undefined,
  code: string,
  step: string | undefined,
): string | undefined {
  if (syscall === 'bpf' && step === 'devices' && code === 'EPERM') return DEVICES_HINT
  if (!isOfGroup(step) && (step !== undefined || syscall !== 'clone3')) return undefined
  switch (code) {
    case 'EBUSY':
      return 'the group is frozen (cgroup.freeze); or it hands controllers on to its children (cgroup.subtree_control), and then only they can have processes'
    case 'EOPNOTSUPP':
      return 'the group is of the type "domain invalid" (cgroup.type): beside threaded groups there can only be threaded ones'
    case 'EACCES':
    case 'EPERM':
      return "this user may not move processes there: cgroup.procs of the group and of the nearest one that has both it and this program's must be writable"
    case 'ENODEV':
    case 'ENOENT':
      return 'the group has been removed meanwhile'
    case 'ENOSPC': {
      const empty = 'the group has no processors or no memory nodes yet: cpuset.cpus, cpuset.mems'
      // A clone makes namespaces too.
      return syscall === 'clone3'
        ? `a limit in /proc/sys/user, as max_net_namespaces, has been reached; or ${empty}`
        : empty
    }
    case 'EROFS':
      return READ_ONLY_HINT
    case 'EBADF':
      return 'that is no group of version 2'
  }
  return undefined
}
