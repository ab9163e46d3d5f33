import { flagOption, invalidOption, onlyKeys, textOption } from '../base/index.js'
import type { Placeholder } from '../plan/index.js'
import { parseTerminal, type TerminalOption, type TerminalSize } from './terminal.js'
import { isNamed } from './users.js'

/**
 * Who a process runs as: a uid, `'uid:gid'`, or each by itself; or by name, as
 * `'www-data'` or `'www-data:adm'`, which is looked up in the container.
 */
export type User = number | string | { uid: number; gid?: number; groups?: readonly number[] }

/** What runs in a container, and as what. */
export interface ProcessOptions {
  /**
   * Variables of its environment, on top of `PATH`, `HOME` and `HOSTNAME`;
   * `undefined` takes one away. Nothing is inherited from the host.
   */
  env?: Readonly<Record<string, string | undefined>>
  /** Directory that it starts in. Default: `/`. */
  cwd?: string
  /**
   * User and groups. By name it has the group, the further groups and the home
   * directory that the container's `/etc/passwd` and `/etc/group` say. Default:
   * 0:0 without further groups.
   */
  user?: User
  /** Permission bits that new files don't get, 0 to 0o777. Default: 0o022. */
  umask?: number
  /**
   * A small init stays as process 1, with the program as its child: it hands on
   * signals, which process 1 would not get without a handler, waits for
   * orphans, and ends as the program does: with its exit code, or 128 and the
   * number of a signal. Only for `start()`. Default: false. Equivalent to:
   * `docker run --init`
   */
  init?: boolean
  /**
   * Its standard streams are a new terminal, which it is in control of; `TERM`
   * is `xterm` then unless `env` says otherwise. Default: false.
   */
  terminal?: TerminalOption
}

/** {@link ProcessOptions} with nothing left open. */
export interface ProcessSpecification {
  argv: readonly string[]
  env: readonly (string | Placeholder)[]
  cwd: string
  uid: number
  gid: number
  groups: readonly number[]
  /** A name that has not been looked up yet: the numbers don't count then. */
  name?: string
  umask: number
  terminal: TerminalSize | undefined
  init: boolean
  /** What execve is tried on, one after the other. */
  paths: readonly string[]
}

/** Where programs are looked for unless `env.PATH` says otherwise; what Docker sets. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const MAX_ID = 0xfffffffe // (uid_t)-1 means "no change"
const NGROUPS_MAX = 65536

/**
 * Checks the options of a process and fills in what they leave open. `hostname`
 * is the whole `HOSTNAME=…` of the environment.
 */
export function specifyProcess(
  argv: readonly string[],
  options: ProcessOptions,
  hostname: Placeholder,
): ProcessSpecification {
  if (!Array.isArray(argv) || argv.length === 0 || !argv.every(arg => typeof arg === 'string'))
    throw invalidOption('argv', 'must be a list of strings with at least the program')
  const program = argv[0] as string
  if (program === '') throw invalidOption('argv', 'the program is the empty string')
  for (const arg of argv)
    if (arg.includes('\0'))
      throw invalidOption('argv', `${JSON.stringify(arg)} has a NUL character`)

  const { cwd = '/', umask = 0o022, user: wanted = 0, env: given = {} } = options
  const terminal = parseTerminal(options.terminal)
  if (!textOption('cwd', cwd).startsWith('/'))
    throw invalidOption('cwd', `${JSON.stringify(cwd)} is no absolute path`)
  if (!Number.isInteger(umask) || umask < 0 || umask > 0o777)
    throw invalidOption('umask', `${String(umask)} is none; 0 to 0o777 are`)
  const user = parseUser(wanted)
  if (Object.prototype.toString.call(given) !== '[object Object]')
    throw invalidOption('env', 'must be an object, { NAME: value }')
  const env = environment(given, user.uid, terminal !== undefined)
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return {
    argv,
    env: Object.hasOwn(given, 'HOSTNAME') ? variables : [...variables, hostname],
    cwd,
    ...user,
    umask,
    terminal,
    init: flagOption('init', options.init, false),
    paths: searchPaths(program, env.PATH ?? DEFAULT_PATH),
  }
}

/**
 * What two requests have in common when the same comes of them; undefined when
 * it is not worth finding out. Only what can't be mistaken for anything else
 * is compared: a NUL, which nothing valid has in it, divides the parts.
 */
export function processKey(argv: unknown, options: ProcessOptions): string | undefined {
  const { env, cwd, user, umask, terminal, init } = options
  let key = ''
  if (argv !== undefined) {
    if (!Array.isArray(argv)) return undefined
    key = `${argv.length}\0`
    for (const argument of argv) {
      if (typeof argument !== 'string' || argument.includes('\0')) return undefined
      key += `${argument}\0`
    }
  }
  key += '\0'
  if (env !== undefined) {
    if (typeof env !== 'object' || env === null || Array.isArray(env)) return undefined
    for (const name of Object.keys(env)) {
      const value = env[name]
      if (value !== undefined && (typeof value !== 'string' || value.includes('\0')))
        return undefined
      if (/[=\0]/.test(name)) return undefined
      key += value === undefined ? `${name}\0` : `${name}=${value}\0`
    }
  }
  if (terminal !== undefined && terminal !== false) return undefined
  if (init !== undefined && typeof init !== 'boolean') return undefined
  for (const option of [cwd, user, umask, Number(init ?? false)]) {
    const kind = typeof option
    if (kind !== 'undefined' && kind !== 'string' && kind !== 'number') return undefined
    const text = `${option as string | number | undefined}`
    if (text.includes('\0')) return undefined
    key += `\0${kind}${text}`
  }
  return key
}

function environment(
  given: Readonly<Record<string, string | undefined>>,
  uid: number,
  onTerminal: boolean,
): Record<string, string> {
  const all: Record<string, string | undefined> = {
    PATH: DEFAULT_PATH,
    HOME: uid === 0 ? '/root' : '/',
    ...(onTerminal ? { TERM: 'xterm' } : {}),
    ...given,
  }
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(all)) {
    if (value === undefined) continue
    if (name === '' || /[=\0]/.test(name) || typeof value !== 'string' || value.includes('\0'))
      throw invalidOption('env', `${JSON.stringify(name)} and its value can't be passed on`)
    env[name] = value
  }
  return env
}

/** The places that execvp(3) would try. */
function searchPaths(program: string, path: string): string[] {
  if (program.includes('/')) return [program]
  const folders = path.split(':').map(folder => (folder === '' ? '.' : folder))
  return folders.map(folder => `${folder}/${program}`)
}

function parseId(option: string, value: unknown): number {
  const id = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_ID)
    throw invalidOption(
      option,
      `${typeof value === 'string' ? JSON.stringify(value) : String(value)} is no id; numbers from 0 to ${MAX_ID} are`,
    )
  return id
}

function parseUser(user: User): {
  uid: number
  gid: number
  groups: number[]
  name?: string
} {
  if (typeof user === 'object' && user !== null) {
    onlyKeys('user', user, ['uid', 'gid', 'groups'])
    if (user.groups !== undefined && !Array.isArray(user.groups))
      throw invalidOption('user.groups', 'must be a list of numbers')
    const groups = (user.groups ?? []).map(group => parseId('user.groups', group))
    if (groups.length > NGROUPS_MAX)
      throw invalidOption('user.groups', `has ${groups.length} groups; ${NGROUPS_MAX} are the most`)
    return {
      uid: parseId('user.uid', user.uid),
      gid: parseId('user.gid', user.gid ?? 0),
      groups,
    }
  }
  if (typeof user !== 'string') return { uid: parseId('user', user), gid: 0, groups: [] }
  if (isNamed(user)) return { uid: 0, gid: 0, groups: [], name: user }
  const [uid, gid] = user.split(':')
  return { uid: parseId('user', uid), gid: parseId('user', gid ?? '0'), groups: [] }
}
