import { invalidOption, onlyKeys } from '../base/index.js'
import {
  call,
  type InitStep,
  type NamespaceKind,
  type Operation,
  step,
  type WaitingStep,
} from '../plan/index.js'
import { kinds } from './kinds.js'
import { deniesGroups, writeMaps } from './maps.js'
import { openAndEnter } from './steps.js'

/** One range of ids: `size` of them, from `containerId` inside and `hostId` outside. */
export interface IdMapping {
  /** First id inside, 0 to 2^32 - 2. */
  containerId: number
  /** First id outside, as this program's user namespace has them. */
  hostId: number
  /** How many. Default: 1. */
  size?: number
}

/** Which ids there are in a user namespace, and what they are outside. */
export interface IdMappings {
  uid: readonly IdMapping[]
  gid: readonly IdMapping[]
}

const IDS = 0xffffffff // (uid_t)-1 is none
const MOST_LINES = 340 // since Linux 4.15

/** @throws CofferdamError `ERR_INVALID_OPTION` for ranges that can't be. */
function checkMappings(option: string, mappings: unknown): Required<IdMapping>[] {
  if (!Array.isArray(mappings) || mappings.length === 0 || mappings.length > MOST_LINES)
    throw invalidOption(option, `must be a list of 1 to ${MOST_LINES} ranges`)
  const checked = mappings.map((mapping: IdMapping, i) => {
    const at = `${option}[${i}]`
    onlyKeys(at, mapping, ['containerId', 'hostId', 'size'])
    const { containerId, hostId, size = 1 } = mapping
    for (const [name, id] of Object.entries({ containerId, hostId }))
      if (!Number.isInteger(id) || id < 0 || id >= IDS)
        throw invalidOption(`${at}.${name}`, `${String(id)} is no id`)
    if (!Number.isInteger(size) || size < 1 || Math.max(containerId, hostId) + size > IDS)
      throw invalidOption(`${at}.size`, `${String(size)} is none, or leads beyond the last id`)
    return { containerId, hostId, size }
  })
  for (const side of ['containerId', 'hostId'] as const) {
    const sorted = [...checked].sort((a, b) => a[side] - b[side])
    sorted.forEach((range, i) => {
      const before = sorted[i - 1]
      if (before !== undefined && before[side] + before.size > range[side])
        throw invalidOption(option, `two ranges have ${side} ${range[side]}`)
    })
  }
  return checked
}

/** A copy of what the caller says, checked. */
export function checkIdMappings(option: string, mappings: IdMappings): IdMappings {
  onlyKeys(option, mappings, ['uid', 'gid'])
  return {
    uid: checkMappings(`${option}.uid`, mappings.uid),
    gid: checkMappings(`${option}.gid`, mappings.gid),
  }
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
  path: string,
  others: readonly [NamespaceKind, string][],
  { close }: Pick<Opening, 'close'>,
): InitStep[] {
  const [openUser, enterUser] = openAndEnter('user', path)
  const joins = others.map(([kind, of]) => openAndEnter(kind, of))
  return [
    step('join user namespace', openUser, ...joins.map(([open]) => open), enterUser),
    rootStep(true, close),
    ...joins.map(([, enter], i) => step(`join ${others[i]?.[0]} namespace`, enter)),
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
