import { readFileSync, writeFileSync } from 'node:fs'
import { CofferdamError, invalidOption, onlyKeys } from '../base/index.js'
import { call, type InitStep, step, type WaitingStep } from '../plan/index.js'
import { kinds } from './kinds.js'

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

/** The lines of `/proc/PID/uid_map`; user_namespaces(7). */
function mapText(mappings: readonly IdMapping[]): string {
  return mappings
    .map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size ?? 1}\n`)
    .join('')
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
 * Makes a user namespace, has the host write its maps while init waits, and
 * becomes root in it. unshare(2), user_namespaces(7); `EPERM` where user
 * namespaces are forbidden, `EINVAL` when root is not in the maps.
 * Equivalent to: `unshare --user --map-users=… --setuid 0`
 */
export function newUser(mappings: IdMappings): [InitStep, WaitingStep, InitStep] {
  return [
    step('user namespace', call('unshare', [kinds.user.flag])),
    { side: 'waiting', name: 'id maps', run: ({ pid }) => writeMaps(pid, mappings) },
    step(
      'root of the user namespace',
      call('setresgid', [0, 0, 0]),
      call('setresuid', [0, 0, 0]),
      call('setgroups', [0, 0]),
    ),
  ]
}

function writeMaps(pid: number, { uid, gid }: IdMappings): void {
  for (const [file, mappings] of [
    ['uid_map', uid],
    ['gid_map', gid],
  ] as const) {
    const path = `/proc/${pid}/${file}`
    try {
      writeFileSync(path, mapText(mappings))
    } catch (cause) {
      const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
      throw new CofferdamError(`${path}: ${code}`, {
        code,
        errno: -errno,
        syscall: 'write',
        path,
        hint: code === 'EPERM' ? 'ids outside one’s own need CAP_SETUID and CAP_SETGID' : undefined,
        cause,
      })
    }
  }
}

/**
 * The ids that a user may give to others: those of `/etc/subuid` or `/etc/subgid`,
 * from 0 inside on. Undefined when there are none. subuid(5)
 */
export function subordinateIds(file: string, user: string, id: number): IdMapping[] | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  let next = 0
  const mappings: IdMapping[] = []
  for (const line of text.split('\n')) {
    const [who, first, count] = line.split(':')
    if (who !== user && who !== `${id}`) continue
    const [start, size] = [Number(first), Number(count)]
    if (!Number.isInteger(start) || !Number.isInteger(size) || size < 1) continue
    mappings.push({ containerId: next, hostId: start, size })
    next += size
  }
  return mappings.length > 0 ? mappings : undefined
}
