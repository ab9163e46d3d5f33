import { CofferdamError, conflict, plainCopy } from '../base/index.js'
import type { CapabilitySet } from '../capabilities/index.js'
import type { EncodedPlan } from '../plan/index.js'
import {
  findUser,
  type ProcessOptions,
  type ProcessSpecification,
  processOptions,
  type User,
} from '../process/index.js'
import { type Init, isLogged, type ParsedStdio, parseStdio, type Stdio } from '../run/index.js'
import { copyCapabilities } from './capabilities.js'
import { rootAgain } from './compose-mounts.js'
import { namespacesApart } from './compose-namespaces.js'
import type { CapabilityChange, CapabilityOptions, Configuration } from './configuration.js'
import { readInside } from './errand.js'
import {
  type PreparedProcesses,
  type Program,
  prepareProcess,
  specifyOnce,
  withDefaults,
} from './prepare.js'

/** What {@link Box.start} and {@link Box.exec} take besides the program and its arguments. */
export interface StartOptions extends ProcessOptions {
  /** Where the standard streams go. Default: `'pipe'`. */
  stdio?: Stdio
  /**
   * Its own, as the builder's `capabilities()` takes them, within the bounding set
   * of the container: that is what `'all'` means here, and what `drop` takes from.
   * Default: the container's.
   */
  capabilities?: CapabilitySet | CapabilityOptions | CapabilityChange
}

export const startOptions = ['stdio', 'capabilities', ...processOptions]
export const execOptions = startOptions.filter(name => name !== 'init')

/** Of whom a process is asked. */
export interface Asked {
  configuration: Configuration
  prepared: PreparedProcesses
  /** In whose namespaces a name is looked up. */
  init(): Init
  /** It is the container's first one. */
  isFirst: boolean
  /** Somebody is there to write logs. */
  hasKeeper: boolean
}

/** What a process is started with. */
export interface Request {
  plan: EncodedPlan
  wanted: ParsedStdio
  specification: ProcessSpecification
}

/**
 * Checks and encodes what is to run, as it is said at this moment. Only a user by
 * name takes its time: what is returned looks the name up in the container, when
 * all else is known to be right.
 */
export function requested(
  asked: Asked,
  argv: readonly string[] | undefined,
  options: StartOptions,
): Request | (() => Promise<Request>) {
  const all = withDefaults(asked.configuration, argv, options)
  const request = prepareRequest(asked, all)
  if (request.specification.name === undefined) return request
  const { stdio, ...rest } = all
  const copy = { ...plainCopy('options', rest), ...(stdio === undefined ? {} : { stdio }) }
  return async () => prepareRequest(asked, await lookUp(asked, copy))
}

function prepareRequest(
  { configuration, prepared, isFirst, hasKeeper }: Asked,
  options: StartOptions & Program,
): Request {
  const { stdio, capabilities } = options
  const { specification, key } = specifyOnce(options)
  const onTerminal = specification.terminal !== undefined
  if (onTerminal && stdio !== undefined)
    throw conflict('stdio', 'the standard streams are the terminal')
  const wanted = onTerminal ? { ...parseStdio('ignore'), onTerminal } : parseStdio(stdio)
  if (!(isFirst && hasKeeper) && isLogged(wanted))
    throw new CofferdamError('stdio: nobody is there to write the log', {
      code: 'ERR_UNSUPPORTED',
      option: 'stdio',
      hint: "start() of a container with lifetime 'detached' can have one; { file } always works",
    })
  const request = {
    specification,
    pipes: wanted.pipes,
    further: wanted.streams.length - 3,
    // A process of exec() dies with the program that has called it.
    dies: !isFirst || configuration.lifetime !== 'released',
    joins: !isFirst,
    capabilities: capabilities === undefined ? undefined : copyCapabilities(capabilities),
  }
  const plan = prepareProcess(configuration, prepared, request, key)
  return { plan, wanted, specification }
}

/** The options with a user by name exchanged for the numbers that it has in the container. */
async function lookUp<T extends StartOptions>({ configuration, init }: Asked, options: T) {
  const kinds = namespacesApart(configuration).filter(kind => kind === 'user' || kind === 'mount')
  const names = ['/etc/passwd', '/etc/group']
  const files = await readInside(init(), kinds, rootAgain(configuration), names)
  const { home, ...user } = findUser(options.user as User, ...(files as [string, string]))
  const { env } = options
  const own =
    home === undefined || (env && Object.hasOwn(env, 'HOME')) ? env : { HOME: home, ...env }
  return { ...options, user, ...(own === undefined ? {} : { env: own }) }
}
