import {
  AT_FDCWD,
  away,
  call,
  flags,
  type HostStep,
  hostStep,
  type InitStep,
  type NamespaceKind,
  O_CLOEXEC,
  O_RDONLY,
  type Operation,
  type Slot,
  sibling,
  slot,
  step,
} from '../plan/index.js'
import { kinds } from './kinds.js'

/**
 * Leaves the namespaces of these kinds for new ones. unshare(2);
 * `EPERM` without CAP_SYS_ADMIN, `ENOSPC` at a limit of `/proc/sys/user`.
 * Equivalent to: `unshare --mount --uts …`
 *
 * A PID namespace is not made this way: it begins with its first process, and
 * so with clone3.
 */
export function unshare(wanted: readonly NamespaceKind[]): InitStep {
  return step('namespaces', call('unshare', [flags(...wanted.map(kind => kinds[kind].flag))]))
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

/** Opens the namespace at `path`, as `/proc/42/ns/net`, and enters it. setns(2) */
export function openAndEnter(
  kind: NamespaceKind,
  path: string,
): [open: Operation, enter: Operation] {
  const namespace = slot(`${kind}-namespace`)
  return [
    call('openat', [AT_FDCWD, path, flags(O_RDONLY, O_CLOEXEC)], { result: namespace }),
    call('setns', [namespace, kinds[kind].flag]),
  ]
}

/**
 * Joins the existing namespace at `path`, as `/proc/42/ns/net`. setns(2);
 * `ENOENT` when nothing is there, `EINVAL` when it is of another kind.
 * Equivalent to: `nsenter --net=/proc/42/ns/net`
 */
export function join(kind: NamespaceKind, path: string): InitStep {
  return step(`join ${kind} namespace`, ...openAndEnter(kind, path))
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
