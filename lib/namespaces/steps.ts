import {
  AT_FDCWD,
  away,
  call,
  flags,
  type HostStep,
  hostStep,
  type InitStep,
  kinds,
  type NamespaceKind,
  O_CLOEXEC,
  O_RDONLY,
  type Operation,
  pathOf,
  type Slot,
  type Step,
  sibling,
  slot,
  step,
} from '../plan/index.js'
import { given } from '../run/index.js'
import { checkKind, checkKinds, checkReference, type NamespaceReference } from './reference.js'

/**
 * Leaves the namespaces of these kinds for new ones. unshare(2);
 * `EPERM` without CAP_SYS_ADMIN, `ENOSPC` at a limit of `/proc/sys/user`.
 * Equivalent to: `unshare --mount --uts …`
 *
 * A PID or time namespace is that of the children only: what is to be in it begins
 * with `sibling()`, which goes on in one.
 */
export function unshare(wanted: readonly NamespaceKind[]): InitStep {
  const checked = checkKinds('unshare', wanted)
  return step('namespaces', call('unshare', [flags(...checked.map(kind => kinds[kind].flag))]))
}

/**
 * A new network namespace in which `prepare` has been done: one that the host
 * has made in advance or, where there is none, one that init makes. The kernel
 * takes longer for it than for all the other namespaces. unshare(2), setns(2);
 * `EPERM` without CAP_SYS_ADMIN. Equivalent to: `unshare --net`
 */
export function newNetwork(prepare: readonly Operation[]): [HostStep, InitStep] {
  const ready = slot('network-namespace')
  const make = [call('unshare', [kinds.network.flag]), ...prepare]
  const open = call('openat', [AT_FDCWD, '/proc/thread-self/ns/net', flags(O_RDONLY, O_CLOEXEC)], {
    result: ready,
  })
  const enter = call('setns', [ready, kinds.network.flag], {
    tolerate: ['EBADF'],
    otherwise: make.length,
  })
  return [
    { ...hostStep('network namespace in advance', ...away(...make, open)), ahead: true },
    step('network namespace', enter, ...make),
  ]
}

/** How init gets to a namespace that exists: what is handed to it, opened by it, entered. */
export interface Entrance {
  host: HostStep[]
  open: Operation[]
  enter: Operation
}

/**
 * The way into a namespace. A path, a process's too, is opened by init; a descriptor is
 * this program's, and must be open whenever a process is made.
 */
export function entranceTo(kind: NamespaceKind, reference: NamespaceReference): Entrance {
  const entrance = slot(`${kind}-namespace`)
  const enter = call('setns', [entrance, kinds[kind].flag])
  if (typeof reference === 'object' && !('pid' in reference)) {
    const fd = 'fd' in reference ? reference.fd : reference.pidfd
    return { host: [given(fd, entrance)], open: [], enter }
  }
  const path = typeof reference === 'string' ? reference : pathOf(kind, reference.pid)
  const how = flags(O_RDONLY, O_CLOEXEC)
  const open = call('openat', [AT_FDCWD, path, how], { result: entrance })
  return { host: [], open: [open], enter }
}

/**
 * Joins an existing namespace, as that at `/proc/42/ns/net`. setns(2); `ENOENT` when
 * nothing is there, `EINVAL` when it is of another kind, `ESRCH` when a pidfd's process
 * has ended. Equivalent to: `nsenter --net=/proc/42/ns/net`
 *
 * A PID namespace is one's own only after a further clone.
 */
export function join(kind: NamespaceKind, reference: NamespaceReference): Step[] {
  const checked = checkReference('join', reference)
  const { host, open, enter } = entranceTo(checkKind('kind', kind), checked)
  return [...host, step(`join ${kind} namespace`, ...open, enter)]
}

/**
 * Joins namespaces of a live process, all at once. setns(2) with a pidfd (Linux
 * 5.8); `ESRCH` when it has ended, `EPERM` without CAP_SYS_ADMIN in them.
 * Equivalent to: `nsenter --target PID --mount --uts …`
 *
 * A PID namespace is one's own only after a further clone.
 */
export function joinProcess(pidfd: Slot, wanted: readonly NamespaceKind[]): InitStep {
  return step(
    'join namespaces',
    call('setns', [pidfd, flags(...wanted.map(kind => kinds[kind].flag))]),
    ...(wanted.includes('pid') ? [sibling()] : []),
  )
}
