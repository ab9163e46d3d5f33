import { joinProcess, kinds, type NamespaceKind, unshare } from '../namespaces/index.js'
import { call, type Operation, type Slot, slot, step } from '../plan/index.js'
import { textOf } from './proc.js'
import { dumpable, ownUserNamespace } from './steps.js'
import type { Group, Trial } from './trial.js'

const NOBODY = 65534

/** A pidfd of the process itself, and its pid, which is no descriptor but fits in a slot. */
export function ownPidfd(pid: Slot, pidfd: Slot): Operation[] {
  return [call('getpid', [], { result: pid }), call('pidfd_open', [pid, 0], { result: pidfd })]
}

/** Whether this program's user namespace has the id at all. user_namespaces(7) */
function isMapped(id: number): boolean {
  return (textOf('/proc/self/uid_map') ?? '').split('\n').some(line => {
    const [first, , count] = line.trim().split(/\s+/).map(Number)
    return first !== undefined && id >= first && id < first + (count ?? 0)
  })
}

/** For root, who has them anyway: can others? */
const asOrdinaryUser: Trial = {
  name: 'user, as an ordinary user',
  nested: false,
  try: [
    step(
      'user',
      call('setresgid', [NOBODY, NOBODY, NOBODY]),
      call('setresuid', [NOBODY, NOBODY, NOBODY]),
    ),
    ownUserNamespace(NOBODY, NOBODY),
  ],
}

const join: Trial = {
  name: 'join by pidfd',
  try: (() => {
    const [pid, pidfd] = [slot('pid'), slot('pidfd')]
    // One of its own: another user namespace's may not be joined.
    return [unshare(['uts']), step('pidfd', ...ownPidfd(pid, pidfd)), joinProcess(pidfd, ['uts'])]
  })(),
}

/** Every kind, by unshare(2). */
export function namespaces(): Group {
  const privileged = Object.keys(kinds).filter(kind => kind !== 'user') as NamespaceKind[]
  const trials: Trial[] = [
    { name: 'user', nested: false, try: [dumpable, unshare(['user'])] },
    ...(process.geteuid?.() === 0 && isMapped(NOBODY) ? [asOrdinaryUser] : []),
    ...privileged.map(kind => ({
      name: kind,
      try: [unshare([kind])],
      remedy: 'run as root, or permit user namespaces',
    })),
    join,
  ]
  return { group: 'namespaces', trials }
}
