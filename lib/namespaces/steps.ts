import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  type NamespaceKind,
  O_CLOEXEC,
  O_RDONLY,
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
 * Joins the existing namespace at `path`, as `/proc/42/ns/net`. setns(2);
 * `ENOENT` when nothing is there, `EINVAL` when it is of another kind.
 * Equivalent to: `nsenter --net=/proc/42/ns/net`
 */
export function join(kind: NamespaceKind, path: string): InitStep {
  const namespace = slot(`${kind}-namespace`)
  return step(
    `join ${kind} namespace`,
    call('openat', [AT_FDCWD, path, flags(O_RDONLY, O_CLOEXEC)], { result: namespace }),
    call('setns', [namespace, kinds[kind].flag]),
  )
}
