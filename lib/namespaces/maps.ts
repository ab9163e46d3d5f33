import { execFile } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import {
  CofferdamError,
  IDS,
  type IdMapping,
  invalidOption,
  privileges,
  readPseudoFile,
  show,
  writeIdFile,
  writeIdMap,
} from '../base/index.js'
import { noProcess } from './reference.js'
import type { IdMappings } from './user.js'

// How the maps of a user namespace come to be written, and by whom.

/** What differs between the map of users and that of groups. */
const sides = {
  uid: { file: 'uid_map', program: 'newuidmap', ranges: '/etc/subuid' },
  gid: { file: 'gid_map', program: 'newgidmap', ranges: '/etc/subgid' },
} as const

type Side = keyof typeof sides

/** This program's own user and group, which it may map without privileges. */
function ownId(side: Side): number {
  return (side === 'uid' ? process.geteuid?.() : process.getegid?.()) ?? 0
}

function mayMapAny(side: Side): boolean {
  return side === 'uid' ? privileges().setuid : privileges().setgid
}

/** The one map that anybody may write: a single line, of the own id. user_namespaces(7) */
function isOwn(side: Side, mappings: readonly IdMapping[]): boolean {
  const [first, ...others] = mappings
  return others.length === 0 && (first?.size ?? 1) === 1 && first?.hostId === ownId(side)
}

/**
 * Whether groups can not be changed in a user namespace with these maps: the
 * price at which the kernel lets anybody map their own group, since a group may
 * also be what keeps its members from a file. user_namespaces(7)
 */
export function deniesGroups({ gid }: IdMappings): boolean {
  return !privileges().groups || (!mayMapAny('gid') && isOwn('gid', gid))
}

/**
 * The maps of somebody without privileges: root inside is this program's own
 * user; what follows are its subordinate ids, where there are such and the
 * programs that may map them. Equivalent to: `podman unshare`
 *
 * @param user Its name, if it has one.
 */
export function ownMappings(user: string | undefined): Required<IdMappings> {
  const [uid, gid] = [ownId('uid'), ownId('gid')]
  const own = (hostId: number): IdMapping => ({ containerId: 0, hostId, size: 1 })
  const helped =
    privileges().gainable && sideNames.every(side => programExists(sides[side].program))
  const more = (side: Side) =>
    helped && user !== undefined ? subordinateIds(sides[side].ranges, user, uid, 1) : undefined
  const [users, groups] = [more('uid'), more('gid')]
  // As podman has it: all or nothing, since a user without a group is of no use.
  if (users === undefined || groups === undefined) return { uid: [own(uid)], gid: [own(gid)] }
  return { uid: [own(uid), ...users], gid: [own(gid), ...groups] }
}

const sideNames: readonly Side[] = ['uid', 'gid']

function programExists(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/**
 * Writes the maps of the user namespace that process `pid` has just made: itself
 * where the kernel lets it, otherwise by newuidmap(1) and newgidmap(1).
 *
 * @throws CofferdamError the system call's; `ENOENT` when there is no newuidmap,
 * `ERR_ID_MAPPING` when it refuses, as for ids that subuid(5) does not give.
 */
export async function writeMaps(pid: number, mappings: IdMappings): Promise<void> {
  if (deniesGroups(mappings)) writeIdFile(`/proc/${pid}/setgroups`, 'deny')
  for (const side of sideNames) {
    if (mayMapAny(side) || isOwn(side, mappings[side])) writeMap(side, pid, mappings[side])
    else await runMapper(side, pid, mappings[side])
  }
}

/**
 * Writes one map of the user namespace that process `pid` has just made, itself.
 *
 * @throws CofferdamError `EPERM` for ids that this program may not give.
 */
export function writeMap(side: Side, pid: number, mappings: readonly IdMapping[]): void {
  writeIdMap(`/proc/${pid}/${sides[side].file}`, mappings)
}

function runMapper(side: Side, pid: number, mappings: readonly IdMapping[]): Promise<void> {
  const { program, ranges } = sides[side]
  const numbers = mappings.flatMap(({ containerId, hostId, size = 1 }) => [
    containerId,
    hostId,
    size,
  ])
  return new Promise((resolve, reject) => {
    execFile(program, [pid, ...numbers].map(String), { timeout: 10_000 }, (error, _, stderr) => {
      if (error === null) return resolve()
      const missing = error.code as unknown
      const [code, hint] =
        missing === 'ENOENT' || missing === 'EACCES'
          ? [missing, `only ${program} may map these ids; on Debian: apt-get install uidmap`]
          : [
              'ERR_ID_MAPPING',
              privileges().gainable
                ? `a line USER:FIRST:COUNT in ${ranges} must give them to this user`
                : `no_new_privs is set for this program, so that ${program} has no privileges`,
            ]
      const said = stderr.trim().split('\n').at(-1) || error.message
      reject(
        new CofferdamError(said, { code, syscall: 'execve', path: program, hint, cause: error }),
      )
    })
  })
}

/**
 * The ids that a user may give to others: those of `/etc/subuid` or `/etc/subgid`,
 * from `first` inside on. Undefined when there are none. subuid(5)
 */
export function subordinateIds(
  file: string,
  user: string,
  id: number,
  first = 0,
): IdMapping[] | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  let next = first
  const mappings: IdMapping[] = []
  for (const line of text.split('\n')) {
    const [who, ...numbers] = line.trim().split(':')
    if (who !== user && who !== `${id}`) continue
    // An empty field is no 0, which would be root.
    if (numbers.length !== 2 || !numbers.every(number => /^\d+$/.test(number))) continue
    const [hostId = 0, size = 0] = numbers.map(Number)
    if (size < 1 || hostId + size > IDS) continue
    mappings.push({ containerId: next, hostId, size })
    next += size
  }
  return mappings.length > 0 ? mappings : undefined
}

/**
 * What the ids of a process's user namespace are outside, as its `uid_map` or `gid_map`
 * says; nothing as long as nobody has written it. user_namespaces(7)
 *
 * @throws CofferdamError `ESRCH` when there is no such process.
 */
export function readMap(pid: number, side: Side): Required<IdMapping>[] {
  if (!sideNames.includes(side)) throw invalidOption('side', `${show(side)} is not uid or gid`)
  if (!Number.isInteger(pid) || pid < 1) throw invalidOption('pid', `${show(pid)} is none`)
  const text = readPseudoFile(`/proc/${pid}/${sides[side].file}`)
  if (text === undefined) throw noProcess('pid', pid)
  return text.split('\n').flatMap(line => {
    const match = /^ *(\d+) +(\d+) +(\d+)$/.exec(line)
    if (match === null) return []
    const [containerId = 0, hostId = 0, size = 0] = match.slice(1).map(Number)
    return { containerId, hostId, size }
  })
}
