import { invalidOption } from '../base/index.js'

/** A user of the container, with what its `/etc/passwd` and `/etc/group` say. */
export interface FoundUser {
  uid: number
  gid: number
  groups: number[]
  /** Home directory; undefined when the user was given by number. */
  home: string | undefined
}

const isNumber = (text: string) => /^\d+$/.test(text)

/**
 * Whether a user must be looked up: `'name'`, `'name:group'` or `'1000:group'`.
 * What is all digits is a number and never a name.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what could be no name.
 */
export function isNamed(user: unknown): boolean {
  if (typeof user !== 'string') return false
  const parts = user.split(':')
  if (parts.length > 2) throw invalidOption('user', `${user} has more than one colon`)
  if (parts.some(part => part === '' || /[\x00-\x20/]/.test(part) || /^[-+]/.test(part)))
    throw invalidOption('user', `${JSON.stringify(user)} is no user; 'name:group' or numbers are`)
  return !parts.every(isNumber)
}

/** The fields of the lines of passwd(5) or group(5) that have as many as they should. */
function entries(text: string, fields: number): string[][] {
  return text
    .split('\n')
    .map(line => line.split(':'))
    .filter(entry => entry.length >= fields && entry[0] !== '' && isNumber(entry[2] as string))
}

/**
 * Finds a user by the texts of passwd(5) and group(5), which come from the
 * container and may say anything. A name has the groups that list it.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when there is no such user or
 * group.
 */
export function findUser(user: string, passwd: string, group: string): FoundUser {
  const [who, which] = user.split(':') as [string, string?]
  const users = entries(passwd, 7)
  const groups = entries(group, 4)
  const entry = isNumber(who)
    ? users.find(([, , uid]) => Number(uid) === Number(who))
    : users.find(([name]) => name === who)
  if (entry === undefined && !isNumber(who))
    throw invalidOption('user', `there is no user ${who} in the container's /etc/passwd`)
  let gid = Number(entry?.[3] ?? 0)
  if (which !== undefined) {
    const found = isNumber(which) ? which : groups.find(([name]) => name === which)?.[2]
    if (found === undefined)
      throw invalidOption('user', `there is no group ${which} in the container's /etc/group`)
    gid = Number(found)
  }
  const memberships = groups
    .filter(([, , , members]) => members?.split(',').includes(entry?.[0] ?? ''))
    .map(([, , id]) => Number(id))
  return {
    uid: Number(entry?.[2] ?? who),
    gid,
    groups: [...new Set(which === undefined ? memberships : [])],
    home: isNumber(who) ? undefined : entry?.[5],
  }
}
