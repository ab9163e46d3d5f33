export type { IdMapping } from '../base/index.js'

import { checkIdRanges, type IdMapping, invalidOption, onlyKeys } from '../base/index.js'
import {
  call,
  type InitStep,
  kinds,
  type NamespaceKind,
  type Operation,
  type Step,
  step,
  type WaitingStep,
} from '../plan/index.js'
import { dumpable } from '../run/index.js'
import { deniesGroups, writeMaps } from './maps.js'
import type { NamespaceReference } from './reference.js'
import { entranceTo } from './steps.js'

/** Which ids there are in a user namespace, and what they are outside. */
export interface IdMappings {
  uid: readonly IdMapping[]
  gid: readonly IdMapping[]
}

/**
 * A copy of what the caller says, checked.
 *
 * @param root Whether there must be a root, since somebody is to become it.
 */
export function checkIdMappings(option: string, mappings: IdMappings, root: boolean): IdMappings {
  onlyKeys(option, mappings, ['uid', 'gid'])
  const checked = {
    uid: checkIdRanges(`${option}.uid`, mappings.uid),
    gid: checkIdRanges(`${option}.gid`, mappings.gid),
  }
  for (const side of ['uid', 'gid'] as const)
    if (root && hostId(checked[side], 0) === undefined)
      throw invalidOption(`${option}.${side}`, 'has no root, id 0 inside')
  return checked
}

/** The id outside of one inside; undefined when there is none. */
export function hostId(mappings: readonly IdMapping[], id: number): number | undefined {
  for (const { containerId, hostId: first, size = 1 } of mappings)
    if (id >= containerId && id < containerId + size) return first + id - containerId
  return undefined
}

/** The id inside of one outside; undefined when there is none. */
export function containerId(mappings: readonly IdMapping[], id: number): number | undefined {
  for (const { containerId: first, hostId, size = 1 } of mappings)
    if (id >= hostId && id < hostId + size) return first + id - hostId
  return undefined
}

/**
 * What lets the owner of a process write its maps, and what takes it back: the
 * files belong to root as long as the process may not be looked into. prctl(2)
 * PR_SET_DUMPABLE
 */
export interface Opening {
  open: Operation
  close: Operation
}

/** Open as long as it takes, and not longer. */
export const opening: Opening = { open: dumpable(true), close: dumpable(false) }

/**
 * Makes a user namespace, has the host write its maps while init waits, and
 * becomes root in it. unshare(2), user_namespaces(7); `EPERM` where user
 * namespaces are forbidden, `ENOSPC` where there are too many, `EINVAL` when
 * root is not in the maps.
 * Equivalent to: `unshare --user --map-users=… --setuid 0`
 */
export function newUser(
  mappings: IdMappings,
  { open, close }: Opening,
): [InitStep, WaitingStep, InitStep] {
  return [
    step('user namespace', call('unshare', [kinds.user.flag]), open),
    { side: 'waiting', name: 'id maps', run: ({ pid }) => writeMaps(pid, mappings) },
    rootStep(deniesGroups(mappings), close),
  ]
}

/**
 * Joins a user namespace, becomes root in it, and joins the others with what
 * that may. All are opened first, with what the host may. setns(2): `EPERM`
 * for who did not make it, nor is privileged; `EINVAL` for the own one.
 * Equivalent to: `nsenter --user=… --net=… --setuid 0`
 *
 * @param others Namespaces to join, that of mounts last.
 */
export function joinUser(
  user: NamespaceReference,
  others: readonly [NamespaceKind, NamespaceReference][],
  { close }: Pick<Opening, 'close'>,
): Step[] {
  const into = entranceTo('user', user)
  const rest = others.map(([kind, reference]) => entranceTo(kind, reference))
  return [
    ...[into, ...rest].flatMap(({ host }) => host),
    step('join user namespace', ...into.open, ...rest.flatMap(({ open }) => open), into.enter),
    rootStep(true, close),
    ...rest.map(({ enter }, i) => step(`join ${others[i]?.[0]} namespace`, enter)),
  ]
}

/**
 * Becomes root of the user namespace that it is in. Has it groups that it can't
 * drop, those of the host's user, they stay, as the overflow group. setgroups(2)
 */
export function rootStep(groupsKept: boolean, close: Operation): InitStep {
  return step(
    'root of the user namespace',
    call('setresgid', [0, 0, 0]),
    call('setresuid', [0, 0, 0]),
    call('setgroups', [0, 0], groupsKept ? { tolerate: ['EPERM'] } : {}),
    close,
  )
}
