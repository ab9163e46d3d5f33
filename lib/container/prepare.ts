import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { CofferdamError, invalidOption } from '../base/index.js'
import { lookAtRoot, rootDirectories } from '../mounts/index.js'
import { HOSTNAME_MAX, hostnamePlaceholder, kinds } from '../namespaces/index.js'
import { type EncodedPlan, encode, explainPlan, type Step, slot } from '../plan/index.js'
import {
  type ProcessOptions,
  type ProcessSpecification,
  processKey,
  specifyProcess,
} from '../process/index.js'
import {
  checkConfiguration,
  clonesPid,
  compose,
  composeExec,
  composePark,
  composeProcess,
  composeSetup,
  givenSlots,
  isolates,
  type ProcessRequest,
} from './compose.js'
import { stateFolder } from './compose-kept.js'
import { type Inspected, isComposed } from './compose-mounts.js'
import type { Configuration } from './configuration.js'
import type { Launch } from './init.js'
import { checkKept } from './kept.js'

/** All that can be computed once for any number of containers. */
export interface Prepared extends Launch, PreparedProcesses {
  inspected: Inspected
}

/** What can be computed once for what runs in a container. */
export interface PreparedProcesses {
  /** How a further process gets into the container, once one has been wanted. */
  exec?: Launch
  /**
   * Encoded process halves by what was asked for: shared by configurations
   * that differ in nothing that concerns them.
   */
  processes: Map<string, EncodedPlan>
}

/** How many configurations, and processes of each, are kept encoded. */
const CACHE_SIZE = 64

const cache = new Map<string, Prepared>()

/** Checks and encodes a configuration, or finds that it has been before. */
export function prepare(configuration: Configuration): Prepared {
  const key = cacheKey(configuration)
  const known = key === undefined ? undefined : cache.get(key)
  if (known !== undefined) return known

  checkConfiguration(configuration)
  checkKept(configuration)
  const inspected = inspect(configuration)
  const steps = composeSetup(configuration, inspected)
  const host = encodeHost(steps, false)
  const ahead = encodeHost(steps, true)
  const initSteps: Step[] = steps.filter(step => step.side !== 'host')
  const prepared: Prepared = {
    inspected,
    cloneFlags: clonesPid(configuration) ? Number(kinds.pid.flag.value) : 0,
    host,
    ahead,
    setup: encode([...initSteps, ...composePark(configuration)], {
      given: [
        ...(configuration.lifetime === 'attached' ? [] : [stateFolder]),
        ...(host?.held ?? []),
        ...(ahead?.held ?? []),
      ],
    }),
    processes: processesOf(configuration),
  }
  // The process half is encoded later, but what is wrong with it is said now.
  if (configuration.steps.length > 0) {
    const specification = specify(configuration, configuration.process?.argv ?? ['x'], {})
    composeProcess(configuration, { specification, pipes: [] })
  }
  if (key !== undefined) remember(cache, key, prepared)
  return prepared
}

/** The host's steps, those that may be carried out in advance or the others. */
function encodeHost(steps: readonly Step[], ahead: boolean): EncodedPlan | null {
  const own = steps.filter(step => step.side === 'host' && (step.ahead ?? false) === ahead)
  return own.length > 0 ? encode(own, { hold: true }) : null
}

/** What runs in a container when `argv` and `options` add to its configuration. */
export function specify(
  { process }: Configuration,
  argv: readonly string[] | undefined,
  options: ProcessOptions,
): ProcessSpecification {
  const program = argv ?? process?.argv
  if (program === undefined) throw invalidOption('argv', 'names no program to start')
  const both = process?.env && Object.prototype.toString.call(options.env) === '[object Object]'
  const env = both ? { env: { ...process.env, ...options.env } } : {}
  const all = { ...process, ...options, ...env }
  return specifyProcess(program, all, hostnamePlaceholder('HOSTNAME='))
}

/** The host name that a container sees: its own, or the one that it shares. */
export function hostnameOf(configuration: Configuration, id: string): string {
  if (configuration.hostname !== undefined) return configuration.hostname
  return isolates(configuration, 'uts') ? id : hostname().slice(0, HOSTNAME_MAX)
}

/** The encoded setup half of a process that joins a container. */
export function prepareExec(configuration: Configuration, prepared: PreparedProcesses): Launch {
  const container = slot('container')
  prepared.exec ??= {
    cloneFlags: 0,
    host: null,
    ahead: null,
    setup: encode(composeExec(configuration, container), { given: [container] }),
  }
  return prepared.exec
}

/** The encoded process half for what is to run, or the one of the last time. */
export function prepareProcess(
  configuration: Configuration,
  prepared: PreparedProcesses,
  key: string | undefined,
  request: () => ProcessRequest,
): EncodedPlan {
  const known = key === undefined ? undefined : prepared.processes.get(key)
  if (known !== undefined) return known
  const wanted = request()
  const steps = composeProcess(configuration, wanted)
  const encoded = encode(steps, { given: givenSlots(wanted.further ?? 0) })
  if (key !== undefined) remember(prepared.processes, key, encoded)
  return encoded
}

/** After a failure: the paths are looked at anew the next time. */
export function forget(configuration: Configuration): void {
  const key = cacheKey(configuration)
  if (key !== undefined) cache.delete(key)
}

/**
 * What two equal configurations have in common. Steps of the caller's own may
 * close over anything, so configurations with such are not compared.
 */
function cacheKey(configuration: Configuration): string | undefined {
  const { id: _, steps, process, ...rest } = configuration
  const processKey = keyOfProcess(process)
  if (steps.length > 0 || processKey === undefined) return undefined
  // What the same description comes to depends on who asks.
  return `${globalThis.process.geteuid?.()}\0${JSON.stringify(rest)}\0${processKey}`
}

function keyOfProcess(process: Configuration['process']): string | undefined {
  return process === undefined ? '' : processKey(process.argv, process)
}

const processCaches = new Map<string, Map<string, EncodedPlan>>()

/** Where the process halves of a configuration are kept. */
function processesOf({ steps, capabilities, noNewPrivileges, process }: Configuration) {
  const fresh = new Map<string, EncodedPlan>()
  const processKey = keyOfProcess(process)
  if (steps.length > 0 || processKey === undefined) return fresh
  const key = `${JSON.stringify([capabilities, noNewPrivileges])}\0${processKey}`
  const known = processCaches.get(key)
  if (known === undefined) remember(processCaches, key, fresh)
  return known ?? fresh
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  if (map.size >= CACHE_SIZE) map.delete(map.keys().next().value as string)
  map.set(key, value)
}

/**
 * Looks at the paths of a configuration, so that a wrong one is an error that
 * names its option. What changes afterwards is noticed by the step concerned.
 */
function inspect(configuration: Configuration): Inspected {
  const { rootfs, isolation, mounts } = configuration
  if (rootfs !== undefined)
    for (const path of rootDirectories(rootfs)) requireDirectory('rootfs', path)
  for (const [kind, how] of Object.entries(isolation ?? {}))
    if (typeof how === 'object') look(`isolate.${kind}`, how.join)
  return {
    ...(isComposed(configuration) ? { rootEntries: lookAtRoot() } : {}),
    sourceIsFile: mounts.map(mount =>
      mount.type === 'bind' ? !look('mount', mount.source).isDirectory() : false,
    ),
  }
}

function look(option: string, path: string) {
  try {
    return statSync(path)
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    throw new CofferdamError(`${option}: ${path}: ${code}`, {
      code,
      errno: -errno,
      syscall: 'stat',
      option,
      path,
      cause,
    })
  }
}

function requireDirectory(option: string, path: string): void {
  if (!look(option, path).isDirectory())
    throw new CofferdamError(`${option}: ${path} is not a directory`, {
      code: 'ENOTDIR',
      option,
      path,
    })
}

/** For a container that another program has made. */
export function prepareProcesses(configuration: Configuration): PreparedProcesses {
  return { processes: processesOf(configuration) }
}

/** The whole plan of a configuration, printed. */
export function explain(configuration: Configuration): string {
  const inspected = inspect(configuration)
  const argv = configuration.process?.argv ?? ['PROGRAM', 'ARGUMENT…']
  const specification = specify(configuration, argv, {})
  return explainPlan(compose(configuration, inspected, { specification, pipes: [0, 1, 2] }))
}
