import { idOption, invalidOption, LAST_ID, onlyKeys, show } from '../base/index.js'

/**
 * Who a process runs as: a uid, `'uid:gid'`, or each by itself; or by name, as
 * `'www-data'`, `'www-data:adm'` or `{ uid: 'www-data', groups: ['adm', 7] }`, which
 * is looked up in the container. What is all digits is a number and never a name.
 */
export type User = number | string | UserParts

/** A user and its groups, each a number or a name. */
export interface UserParts {
  uid: number | string
  /** Default: the group that the container's `/etc/passwd` says, or 0 for a uid that is a number. */
  gid?: number | string
  /**
   * Further groups, these and no others. Default: those that list the user in the
   * container's `/etc/group`, or none when uid is a number or gid is given.
   */
  groups?: readonly (number | string)[]
}

/** A user of the container, with what its `/etc/passwd` and `/etc/group` say. */
export interface FoundUser {
  uid: number
  gid: number
  groups: number[]
  /** Home directory; undefined when the user was given by number. */
  home: string | undefined
}

const NGROUPS_MAX = 65536

const isNumber = (text: string) => /^\d+$/.test(text)
const isId = (text: string) => isNumber(text) && Number(text) <= LAST_ID

/** An id by number; a number out of range is refused, and no name either. */
function parseId(option: string, value: unknown): number {
  return idOption(option, typeof value === 'string' && isNumber(value) ? Number(value) : value)
}

/** Whether it must be looked up. */
function isName(option: string, part: unknown): part is string {
  if (typeof part !== 'string') return false
  if (part === '' || /[\x00-\x20:/]/.test(part) || /^[-+]/.test(part))
    throw invalidOption(option, `${show(part)} is neither a number nor a name`)
  return !isNumber(part)
}

/** What a user consists of, whichever way it was given; with the options that errors name. */
interface Parts {
  uid: number | string
  gid: number | string | undefined
  groups: readonly (number | string)[] | undefined
  options: { uid: string; gid: string; groups: string }
}

function partsOf(user: User): Parts {
  if (typeof user === 'object' && user !== null) {
    onlyKeys('user', user, ['uid', 'gid', 'groups'])
    const { uid, gid, groups } = user
    if (groups !== undefined && !Array.isArray(groups))
      throw invalidOption('user.groups', 'must be a list of numbers and names')
    if (groups !== undefined && groups.length > NGROUPS_MAX)
      throw invalidOption('user.groups', `has ${groups.length} groups; ${NGROUPS_MAX} are the most`)
    const options = { uid: 'user.uid', gid: 'user.gid', groups: 'user.groups' }
    return { uid, gid, groups, options }
  }
  const options = { uid: 'user', gid: 'user', groups: 'user' }
  if (typeof user !== 'string') return { uid: user, gid: undefined, groups: undefined, options }
  const [uid, gid, ...more] = user.split(':') as [string, string?, ...string[]]
  if (more.length > 0) throw invalidOption('user', `${user} has more than one colon`)
  return { uid, gid, groups: undefined, options }
}

/** Names and numbers, all of them looked at. */
function names({ uid, gid, groups, options }: Parts): string[] {
  const all: [string, unknown][] = [[options.uid, uid]]
  if (gid !== undefined) all.push([options.gid, gid])
  for (const group of groups ?? []) all.push([options.groups, group])
  const found: string[] = []
  for (const [option, part] of all)
    if (isName(option, part)) found.push(part)
    else parseId(option, part)
  return found
}

/**
 * The numbers of a user, or what it is called if it must be looked up.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what could be no user.
 */
export function parseUser(user: User): {
  uid: number
  gid: number
  groups: number[]
  name?: string
} {
  const parts = partsOf(user)
  const [name] = names(parts)
  if (name !== undefined)
    return { uid: 0, gid: 0, groups: [], name: typeof user === 'string' ? user : name }
  const { uid, gid = 0, groups = [] } = parts
  return { uid: Number(uid), gid: Number(gid), groups: groups.map(Number) }
}

/**
 * The fields of the lines of passwd(5) or group(5) that have as many as they
 * should, with ids where ids should be.
 */
function entries(text: string, fields: number, ids: readonly number[]): string[][] {
  return text
    .split('\n')
    .map(line => line.split(':'))
    .filter(entry => entry.length >= fields && entry[0] !== '')
    .filter(entry => ids.every(field => isId(entry[field] as string)))
}

/**
 * Finds a user by the texts of passwd(5) and group(5), which come from the
 * container and may say anything. A name has the groups that list it.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when there is no such user or
 * group.
 */
export function findUser(user: User, passwd: string, group: string): FoundUser {
  const parts = partsOf(user)
  names(parts)
  const { options } = parts
  const users = entries(passwd, 7, [2, 3])
  const all = entries(group, 4, [2])
  const who = `${parts.uid}`
  const named = !isNumber(who)
  const entry = named
    ? users.find(([name]) => name === who)
    : users.find(([, , uid]) => Number(uid) === Number(who))
  if (entry === undefined && named)
    throw invalidOption(options.uid, `there is no user ${who} in the container's /etc/passwd`)
  const groupId = (option: string, which: number | string): number => {
    const found = isNumber(`${which}`) ? which : all.find(([name]) => name === which)?.[2]
    if (found === undefined)
      throw invalidOption(option, `there is no group ${which} in the container's /etc/group`)
    return Number(found)
  }
  const own = named ? Number(entry?.[3]) : 0
  const listed = () =>
    all
      .filter(([, , , members]) => members?.split(',').includes(entry?.[0] ?? ''))
      .map(([, , id]) => Number(id))
  const groups =
    parts.groups?.map(which => groupId(options.groups, which)) ??
    (named && parts.gid === undefined ? listed() : [])
  return {
    uid: Number(entry?.[2] ?? who),
    gid: parts.gid === undefined ? own : groupId(options.gid, parts.gid),
    groups: [...new Set(groups)],
    home: named ? entry?.[5] : undefined,
  }
}
