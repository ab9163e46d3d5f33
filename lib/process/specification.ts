import { flagOption, invalidOption, show, textOption } from '../base/index.js'
import type { Placeholder } from '../plan/index.js'
import {
  checkArgv,
  checkEnvironment,
  DEFAULT_PATH,
  parseTerminal,
  searchPaths,
  type TerminalOption,
  type TerminalSize,
} from '../run/index.js'
import {
  type AttributeOptions,
  type Attributes,
  attributeOptions,
  parseAttributes,
} from './attributes.js'
import { parseUser, type User } from './users.js'

/** What runs in a container, and as what. */
export interface ProcessOptions extends AttributeOptions {
  /**
   * Variables of its environment, on top of `PATH`, `HOME` and `HOSTNAME`;
   * `undefined` takes one away. Nothing is inherited from the host.
   */
  env?: Readonly<Record<string, string | undefined>>
  /** Directory that it starts in. Default: `/`. */
  cwd?: string
  /**
   * User and groups. By name it has the group, the further groups and the home
   * directory that the container's `/etc/passwd` and `/etc/group` say, unless it
   * is told others. Default: 0:0 without further groups.
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
  attributes?: Attributes | undefined
}

/** The names of {@link ProcessOptions}. */
export const processOptions = [
  'env',
  'cwd',
  'user',
  'umask',
  'terminal',
  'init',
  ...attributeOptions,
] as const

/**
 * Checks the options of a process and fills in what they leave open. `hostname`
 * is the whole `HOSTNAME=…` of the environment.
 */
export function specifyProcess(
  argv: readonly string[],
  options: ProcessOptions,
  hostname: Placeholder,
): ProcessSpecification {
  checkArgv(argv)
  const { cwd = '/', umask = 0o022, user: wanted = 0, env: given = {} } = options
  const terminal = parseTerminal(options.terminal)
  if (!textOption('cwd', cwd).startsWith('/'))
    throw invalidOption('cwd', `${show(cwd)} is no absolute path`)
  if (!Number.isInteger(umask) || umask < 0 || umask > 0o777)
    throw invalidOption('umask', `${show(umask)} is none; 0 to 0o777 are`)
  const user = parseUser(wanted)
  if (Object.prototype.toString.call(given) !== '[object Object]')
    throw invalidOption('env', 'must be an object, { NAME: value }')
  const env = environment(given, user.uid, terminal !== undefined)
  const variables: (string | Placeholder)[] = []
  for (const name in env) variables.push(`${name}=${env[name]}`)
  if (!Object.hasOwn(given, 'HOSTNAME')) variables.push(hostname)
  return {
    argv: [...argv],
    env: variables,
    cwd,
    ...user,
    umask,
    terminal,
    init: flagOption('init', options.init, false),
    paths: searchPaths(argv[0] as string, env.PATH ?? DEFAULT_PATH),
    attributes: parseAttributes(options),
  }
}

/**
 * What two processes have in common of which the same is said, where that is no more
 * than texts and numbers: equal texts for them, and for no others. Otherwise
 * undefined. Nothing is checked for it, and that makes it cheap.
 */
export function plainKey(argv: readonly string[], options: ProcessOptions): string | undefined {
  if (!Array.isArray(argv)) return undefined
  const said: (string | number)[] = []
  for (const name of processOptions) {
    const value = options[name]
    if (value === undefined || name === 'env') continue
    if (typeof value !== 'string' && typeof value !== 'number') return undefined
    said.push(name, value)
  }
  said.push(argv.length, ...argv)
  const { env } = options
  if (env !== undefined) {
    if (Object.getPrototypeOf(env) !== Object.prototype) return undefined
    for (const name in env) said.push(name, env[name] as string)
  }
  return said.every(isPlain) ? JSON.stringify(said) : undefined
}

const isPlain = (value: unknown) => typeof value === 'string' || Number.isFinite(value)

/**
 * What two specifications have in common when the same comes of them. All of it
 * has been checked and copied, so that no two are mistaken for one another: a NUL,
 * which nothing in them has, divides what may be any text. `paths` follow from the
 * rest. The host name's placeholder is the one thing in `env` without `=`.
 */
export function specificationKey(specification: ProcessSpecification): string {
  const { argv, env, cwd, uid, gid, groups, name, umask, terminal, init, attributes } =
    specification
  const size = terminal && `${terminal.rows} ${terminal.columns}`
  const numbers = `${uid} ${gid} ${groups} ${umask} ${size} ${init}`
  const texts = `${argv.join('\0')}\0${env.join('\0')}\0${cwd}\0${name ?? ''}`
  return `${argv.length} ${env.length} ${numbers}\0${texts}\0${keyOf(attributes)}`
}

function keyOf(attributes: Attributes | undefined): string {
  if (attributes === undefined) return ''
  // Of these only the times of a scheduler are more than JSON knows.
  return JSON.stringify(attributes, attributes.scheduler && withBigints)
}

const withBigints = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)

function environment(
  given: Readonly<Record<string, string | undefined>>,
  uid: number,
  onTerminal: boolean,
): Record<string, string> {
  return checkEnvironment({
    PATH: DEFAULT_PATH,
    HOME: uid === 0 ? '/root' : '/',
    ...(onTerminal ? { TERM: 'xterm' } : {}),
    ...given,
  })
}
