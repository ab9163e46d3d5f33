import { existsSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { CofferdamError, invalidOption } from '../base/index.js'
import {
  type BindMount,
  directoriesOf,
  isHostDevice,
  Layers,
  lookAtRoot,
  type Mount,
  rootDirectories,
  type Source,
} from '../mounts/index.js'
import {
  HOSTNAME_MAX,
  hostnamePlaceholder,
  kinds,
  type NamespaceKind,
  openReference,
} from '../namespaces/index.js'
import { type EncodedPlan, encode, explainPlan, slot } from '../plan/index.js'
import {
  type Attributes,
  type ProcessOptions,
  type ProcessSpecification,
  plainKey,
  specificationKey,
  specifyProcess,
} from '../process/index.js'
import { givenSlots, type Launch, launchOf } from '../run/index.js'
import { checkConfiguration, compose, composeExec, composePark, composeSetup } from './compose.js'
import { joiningKey, parkedKeyring } from './compose-attributes.js'
import {
  type Entry,
  entryOf,
  type GroupMounts,
  groupMounts,
  mountsKey,
  noEntry,
  plannedEntry,
} from './compose-group.js'
import { stateFolder } from './compose-kept.js'
import { type Inspected, isComposed } from './compose-mounts.js'
import { clonesPid } from './compose-namespaces.js'
import { composeProcess, type ProcessRequest } from './compose-process.js'
import { type Configuration, hasGroup, isolates } from './configuration.js'
import { planFor } from './group.js'
import { checkKept } from './kept.js'

/** All that can be computed once for any number of containers. */
export interface Prepared extends PreparedProcesses {
  inspected: Inspected
  /** How it is made, by where the hierarchies are mounted in which it has a group. */
  launches: Map<string, Launch>
}

/** What can be computed once for what runs in a container. */
export interface PreparedProcesses {
  /** How a further process gets into the container, by what is to be so before it does. */
  joining: Map<string, Launch>
  /**
   * Encoded process halves by what was asked for: shared by configurations
   * that differ in nothing that concerns them.
   */
  processes: Map<string, EncodedPlan>
}

/** How many configurations, and processes of each, are kept encoded. */
const CACHE_SIZE = 64

const cache = new Map<string, Prepared>()

const hostnameVariable = hostnamePlaceholder('HOSTNAME=')

/** Checks and encodes a configuration, or finds that it has been before. */
export function prepare(configuration: Configuration): Prepared {
  const key = cacheKey(configuration)
  const known = key === undefined ? undefined : cache.get(key)
  if (known !== undefined) return known

  checkConfiguration(configuration)
  checkKept(configuration)
  const inspected = inspect(configuration)
  const prepared: Prepared = {
    inspected,
    launches: new Map(),
    ...prepareProcesses(configuration),
  }
  // With a group it is known only when there is one.
  if (!hasGroup(configuration)) prepareLaunch(configuration, prepared)
  // The process half is encoded later, but what is wrong with it is said now.
  if (configuration.steps.length > 0) {
    const specification = specify({ argv: ['x'], ...configuration.process })
    composeProcess(configuration, { specification, pipes: [] })
  }
  if (key !== undefined) remember(cache, key, prepared)
  return prepared
}

/** The encoded setup half of a container, in a group that is in hierarchies mounted there. */
export function prepareLaunch(
  configuration: Configuration,
  { inspected, launches }: Prepared,
  mounts?: GroupMounts,
): Launch {
  const key = mountsKey(mounts)
  const known = launches.get(key)
  if (known !== undefined) return known
  const entry = entryOf(mounts, configuration.lifetime === 'detached')
  const steps = composeSetup(configuration, inspected, entry)
  const launch = launchOf([...steps, ...composePark(configuration)], {
    given: configuration.lifetime === 'attached' ? [] : [stateFolder],
    cloneFlags: clonesPid(configuration) ? Number(kinds.pid.flag.value) : 0,
    into: entry.into,
  })
  remember(launches, key, launch)
  return launch
}

/** What is to run, if that has been said. */
export interface Program extends ProcessOptions {
  argv?: readonly string[]
}

/**
 * What a start says, and where it says nothing, as with an option that is
 * undefined, what `process()` said.
 */
export function withDefaults<T extends ProcessOptions>(
  { process }: Configuration,
  argv: readonly string[] | undefined,
  options: T,
): T & Program {
  const all: Record<string, unknown> = { ...process }
  for (const [name, value] of Object.entries(options)) if (value !== undefined) all[name] = value
  if (argv !== undefined) all.argv = argv
  if (
    process?.env !== undefined &&
    Object.prototype.toString.call(options.env) === '[object Object]'
  )
    all.env = { ...process.env, ...options.env }
  return all as T & Program
}

/** What is to run, checked. */
export interface Specified {
  specification: ProcessSpecification
  /** Of equal ones the same. */
  key: string
}

const specified = new Map<string, Specified>()

/** What runs in a container, which is not checked again if the same has been before. */
export function specifyOnce(program: Program): Specified {
  const plain = program.argv && plainKey(program.argv, program)
  const known = plain === undefined ? undefined : specified.get(plain)
  if (known !== undefined) return known
  const specification = specify(program)
  const made = { specification, key: specificationKey(specification) }
  if (plain !== undefined) remember(specified, plain, made)
  return made
}

/** What runs in a container. */
export function specify(program: Program): ProcessSpecification {
  if (program.argv === undefined) throw invalidOption('argv', 'names no program to start')
  return specifyProcess(program.argv, program, hostnameVariable)
}

/** The host name that a container sees: its own, or the one that it shares. */
export function hostnameOf(configuration: Configuration, id: string): string {
  if (configuration.hostname !== undefined) return configuration.hostname
  return isolates(configuration, 'uts') ? id : hostname().slice(0, HOSTNAME_MAX)
}

/**
 * The encoded setup half of a process that joins a container, or the one of the
 * last time that it was to be the same.
 */
export function prepareExec(
  configuration: Configuration,
  prepared: PreparedProcesses,
  attributes?: Attributes,
  mounts?: GroupMounts,
): Launch {
  const key = `${joiningKey(attributes)}${mountsKey(mounts)}`
  const known = prepared.joining.get(key)
  if (known !== undefined) return known
  const container = slot('container')
  const entry = entryOf(mounts, false)
  const steps = composeExec(configuration, container, attributes, entry)
  const launch = launchOf(steps, { given: [container], into: entry.into })
  remember(prepared.joining, key, launch)
  return launch
}

/** The encoded process half for what is to run, or the one of the last time. */
export function prepareProcess(
  configuration: Configuration,
  prepared: PreparedProcesses,
  request: ProcessRequest,
  specificationKey: string,
): EncodedPlan {
  const { pipes, further = 0, dies, joins, capabilities } = request
  const set = capabilities === undefined ? '' : JSON.stringify(capabilities)
  const key = `${pipes} ${further} ${dies} ${joins} ${set}\0${specificationKey}`
  const known = prepared.processes.get(key)
  if (known !== undefined) return known
  const steps = composeProcess(configuration, request)
  const encoded = encode(steps, { given: givenSlots(further) })
  remember(prepared.processes, key, encoded)
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
  const { id: _, steps, mounts, ...rest } = configuration
  if (steps.length > 0) return undefined
  // What the same description comes to depends on who asks.
  let text = `${globalThis.process.geteuid?.()}`
  // Most of it is not said; and JSON of what is small takes less than of all at once.
  for (const name in rest) {
    const value = rest[name as keyof typeof rest]
    if (value !== undefined) text += `\0${name}\0${JSON.stringify(value)}`
  }
  return `${text}\0${mounts.map(textOf).join()}`
}

const texts = new WeakMap<Mount, string>()

/** A mount as text, which is made once: there may be hundreds, and they don't change. */
function textOf(mount: Mount): string {
  let text = texts.get(mount)
  if (text === undefined) {
    text = JSON.stringify(mount)
    texts.set(mount, text)
  }
  return text
}

const processCaches = new Map<string, Map<string, EncodedPlan>>()

/** Where the process halves of a configuration are kept. */
function processesOf(configuration: Configuration): Map<string, EncodedPlan> {
  const { steps, capabilities, noNewPrivileges, process, isolation, idMappings } = configuration
  const fresh = new Map<string, EncodedPlan>()
  if (steps.length > 0) return fresh
  // Namespaces decide over users that there are, and over what all capabilities are.
  const concerned = [
    capabilities,
    noNewPrivileges,
    parkedKeyring(process?.keyring),
    isolation,
    idMappings,
    globalThis.process.geteuid?.(),
  ]
  const key = JSON.stringify(concerned)
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
    if (typeof how === 'object')
      openReference(`isolate.${kind}`, kind as NamespaceKind, how.join).close()
  return {
    ...(isComposed(configuration) ? { rootEntries: lookAtRoot() } : {}),
    sources: lookAtSources(mounts),
  }
}

function isFile({ source, optional }: BindMount): boolean {
  if (optional && !existsSync(source)) return false
  return !look('mount', source).isDirectory()
}

function lookAtSources(mounts: readonly Mount[]): Source[] {
  const layers = new Layers()
  const files = new Set<Mount>()
  return mounts.map(mount => {
    const source = { isFile: false, isDevice: false }
    for (const directory of directoriesOf(mount)) requireDirectory('mount', directory)
    if (mount.type === 'bind') source.isFile = isFile(mount)
    if (mount.type === 'filesystem' && mount.source.startsWith('/')) look('mount', mount.source)
    if (mount.type === 'device') source.isDevice = isHostDevice(mount)
    if (mount.type === 'move') source.isFile = files.has(layers.on(mount.from) as Mount)
    if (source.isFile) files.add(mount)
    layers.add(mount)
    return source
  })
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
  return { joining: new Map(), processes: processesOf(configuration) }
}

/** The whole plan of a configuration, printed. */
export function explain(configuration: Configuration): string {
  const inspected = inspect(configuration)
  const specification = specify({ argv: ['PROGRAM', 'ARGUMENT…'], ...configuration.process })
  const entry = hasGroup(configuration) ? explainedEntry(configuration) : noEntry
  const program = { specification, pipes: [0, 1, 2] }
  return explainPlan(compose(configuration, inspected, program, entry))
}

function explainedEntry(configuration: Configuration): Entry {
  const { id = 'ID', lifetime } = configuration
  const kept = lifetime === 'detached'
  const { group, isUnit } = planFor(configuration, id)
  return isUnit ? entryOf(groupMounts(group), kept) : plannedEntry(group, kept)
}
