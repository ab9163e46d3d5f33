import { CofferdamError, conflict, ignoredSignals, invalidOption } from '../base/index.js'
import {
  boundingSet,
  type CapabilitySets,
  capabilitySets,
  defaults as defaultCapabilities,
  fromBits,
  keepCapabilities,
  toBits,
} from '../capabilities/index.js'
import { lockStep } from '../mounts/index.js'
import {
  hostname,
  join,
  joinProcess,
  kinds,
  type NamespaceKind,
  newNetwork,
  unshare,
} from '../namespaces/index.js'
import { loopbackUp } from '../netlink/index.js'
import {
  type InitStep,
  MAX_FDS,
  type Plan,
  park,
  type Slot,
  type Step,
  sibling,
  slot,
  step,
} from '../plan/index.js'
import * as proc from '../process/index.js'
import {
  keeperStep,
  listenStep,
  parkListeningStep,
  recordStep,
  startSocketStep,
} from './compose-kept.js'
import { composeMounts, type Inspected, isComposed, lockedDirectories } from './compose-mounts.js'
import { type Configuration, isolates, type StepPlacement } from './configuration.js'
import { insertHooks } from './hooks.js'
import {
  checkUser,
  hasUserNamespace,
  keepsGroups,
  opensToHost,
  rootAgainSteps,
  userSteps,
} from './user-namespace.js'

export { isolates }

/** Slots that the process half finds filled: the standard streams. */
export const streamSlots = [slot('stdin'), slot('stdout'), slot('stderr')] as const
const furtherSlots = Array.from({ length: MAX_FDS }, () => slot('further'))

/** All that the process half finds filled, with so many further descriptors. */
export function givenSlots(further: number): Slot[] {
  return [...streamSlots, ...furtherSlots.slice(0, further)]
}

// Steps that are the same for all containers are made once, since making them
// is most of what a new configuration costs.
const detach = proc.detachStep()
const detachForGood = proc.detachStep(false)
const session = proc.sessionStep()
const defaultBounding = boundingSet(resolveCapabilities({ capabilities: undefined }))
let signals: InitStep | undefined
const [networkInAdvance, network] = newNetwork(loopbackUp())
const setHostname = hostname()

/** What runs in the container, with what its start adds. */
export interface ProcessRequest {
  specification: proc.ProcessSpecification
  /** Which of the standard streams are pipes of ours. */
  pipes: readonly number[]
  /** How many descriptors there are besides the standard streams. */
  further?: number
  /** It dies with the program that starts it; default: true. */
  dies?: boolean
}

/**
 * The plan of a configuration: which steps, in which order. This is where the
 * order of things is decided, and the reason for each place is here.
 */
export function compose(
  configuration: Configuration,
  inspected: Inspected,
  process: ProcessRequest,
): Plan {
  return {
    clone: clonesPid(configuration) ? ['pid'] : [],
    setup: composeSetup(configuration, inspected),
    parked: configuration.lifetime === 'attached' ? composeParked(configuration) : [],
    process: composeProcess(configuration, process),
  }
}

/**
 * Whether clone3 makes the PID namespace: not when it is to belong to a new user
 * namespace, or its first process is to be a keeper's child.
 */
export function clonesPid(configuration: Configuration): boolean {
  return beginsPid(configuration) && configuration.lifetime !== 'detached'
}

function beginsPid(configuration: Configuration): boolean {
  return isolates(configuration, 'pid') && !hasUserNamespace(configuration)
}

/** The setup half. */
export function composeSetup(configuration: Configuration, inspected: Inspected): Step[] {
  const steps: Step[] = []
  const own = (kind: NamespaceKind) => isolates(configuration, kind)
  const asUser = hasUserNamespace(configuration)

  for (const directory of lockedDirectories(configuration)) steps.push(lockStep(directory))
  if (own('network') && !asUser) steps.push(networkInAdvance)
  const { lifetime } = configuration
  if (lifetime === 'detached') steps.push(keeperStep(beginsPid(configuration)))
  steps.push(lifetime === 'released' ? detachForGood : detach)
  if (lifetime !== 'attached') steps.push(startSocketStep)

  // Joined namespaces are found by the host's paths, so before a new mount
  // namespace is entered, and the mount namespace itself last of all; and with
  // the host's privileges, so before a new user namespace. One that is joined
  // may be what it takes to join the others.
  const joined = joins(configuration)
  if (!joinsUser(configuration)) for (const [kind, path] of joined) steps.push(join(kind, path))
  if (asUser) {
    // All others are to belong to the user namespace, so they come after it.
    steps.push(...userSteps(configuration, joined), ...unshareAll(configuration))
  } else {
    if (own('network')) steps.push(network)
    const created = (['mount', 'uts', 'ipc', 'cgroup'] as const).filter(own)
    if (created.length > 0) steps.push(unshare(created))
  }
  if (isolates(configuration, 'uts')) steps.push(setHostname)

  if (isolates(configuration, 'mount')) steps.push(...composeMounts(configuration, inspected))
  if (opensToHost(configuration) && joinsUser(configuration)) steps.push(proc.openToHostStep())
  const all = insertHooks(insert(steps, configuration, 'setup'), configuration)
  // Whoever connects finds it whole, and its maker has written down which it is.
  if (lifetime !== 'attached') all.push(...composeParked(configuration), listenStep, recordStep)
  return all
}

/** The namespaces that go with a new user namespace, the PID namespace among them. */
function unshareAll(configuration: Configuration): InitStep[] {
  const all = (['mount', 'uts', 'ipc', 'network', 'cgroup', 'pid'] as const).filter(kind =>
    isolates(configuration, kind),
  )
  const steps: InitStep[] = []
  if (all.length > 0) steps.push(unshare(all))
  if (all.includes('pid')) steps.push(step('first process', sibling()))
  // It ends with a change of user, and a child does not have it.
  const open = opensToHost(configuration) && !joinsUser(configuration)
  steps.push(proc.dieWithHostStep(open, configuration.lifetime !== 'released'))
  if (all.includes('network')) steps.push(step('loopback', ...loopbackUp()))
  return steps
}

/**
 * What init does while it is parked: all that takes its time, and that neither
 * the setup half needs nor the process half changes. When it fails, `start()`
 * says so.
 */
function composeParked(configuration: Configuration): InitStep[] {
  signals ??= proc.signalsStep(ignoredSignals())
  const { capabilities } = configuration
  // Needs CAP_SETPCAP, which the change of user may take away.
  const bounding =
    capabilities === undefined ? defaultBounding : boundingSet(resolveCapabilities(configuration))
  return [session, bounding, signals]
}

/** The setup half of a process that joins a container, of which this is a pidfd. */
export function composeExec(configuration: Configuration, container: Slot): InitStep[] {
  const apart = namespacesApart(configuration)
  return [
    detach,
    ...(apart.length > 0 ? [joinProcess(container, apart)] : []),
    ...(apart.includes('user') ? rootAgainSteps(configuration) : []),
    parkStep,
    ...composeParked(configuration),
  ]
}

/** The process half. */
export function composeProcess(
  configuration: Configuration,
  { specification, pipes, further = 0, dies }: ProcessRequest,
): Step[] {
  const sets = resolveCapabilities(configuration, specification.uid)
  const { uid, gid, terminal } = specification
  checkUser(configuration, specification)
  const steps: Step[] = []
  if (terminal === undefined) {
    steps.push(proc.streamsStep(streamSlots))
    if (uid !== 0 && pipes.length > 0) steps.push(proc.streamOwnerStep(pipes, uid, gid))
  } else {
    steps.push(...proc.terminalSteps(terminal, uid))
  }
  const groupsKept = specification.groups.length === 0 && keepsGroups(configuration)
  steps.push(proc.userStep(specification, keepCapabilities(), groupsKept))
  steps.push(capabilitySets(sets))
  if (configuration.noNewPrivileges) steps.push(proc.noNewPrivilegesStep())
  steps.push(proc.readyStep(specification, dies))
  if (further > 0) steps.push(proc.passStep(further))
  if (specification.init) {
    if (!isolates(configuration, 'pid'))
      throw conflict('init', "needs a PID namespace: isolate('pid')")
    steps.push(proc.initStep(opensToHost(configuration)))
  }
  steps.push(proc.execStep(specification))
  return insert(steps, configuration, 'process')
}

/** The kinds of namespaces in which it may not be where this program is. */
export function namespacesApart(configuration: Configuration): NamespaceKind[] {
  const { isolation = {} } = configuration
  return (Object.keys(kinds) as NamespaceKind[]).filter(
    kind => isolates(configuration, kind) || isolation[kind] !== undefined,
  )
}

function joinsUser({ isolation }: Configuration): boolean {
  return typeof isolation?.user === 'object'
}

function joins({ isolation = {} }: Configuration): [NamespaceKind, string][] {
  const all: [NamespaceKind, string][] = []
  for (const kind of ['network', 'ipc', 'uts', 'cgroup', 'mount'] as const) {
    const how = isolation[kind]
    if (typeof how === 'object') all.push([kind, how.join])
  }
  return all
}

/** The five sets of what `capabilities()` was told, or the default. */
function resolveCapabilities(
  { capabilities }: Pick<Configuration, 'capabilities'>,
  uid = 0,
): CapabilitySets {
  if (capabilities === undefined || Array.isArray(capabilities)) {
    const bounding = toBits('capabilities', (capabilities as []) ?? defaultCapabilities)
    // As in Docker: an ordinary user has none, and could get some from a
    // set-user-ID program.
    const own = uid === 0 ? bounding : 0n
    return { bounding, effective: own, permitted: own, inheritable: 0n, ambient: 0n }
  }
  const options = capabilities as Exclude<typeof capabilities, readonly unknown[]>
  const bits = (name: keyof CapabilitySets) => toBits(`capabilities.${name}`, options[name] ?? [])
  const sets = {
    bounding: bits('bounding'),
    effective: bits('effective'),
    permitted: bits('permitted'),
    inheritable: bits('inheritable'),
    ambient: bits('ambient'),
  }
  // The kernel's own rules; capset(2), prctl(2) PR_CAP_AMBIENT_RAISE.
  const within = (inner: keyof CapabilitySets, outer: keyof CapabilitySets) => {
    const missing = fromBits(sets[inner] & ~sets[outer])
    if (missing.length > 0)
      throw conflict(`capabilities.${inner}`, `${missing.join(', ')} must be in ${outer} as well`)
  }
  within('effective', 'permitted')
  within('ambient', 'permitted')
  within('ambient', 'inheritable')
  within('inheritable', 'bounding')
  return sets
}

/** Puts the caller's own steps in their places. */
function insert(
  steps: Step[],
  configuration: Configuration,
  half: NonNullable<StepPlacement['half']>,
): Step[] {
  for (const { step: own, placement } of configuration.steps) {
    if ((placement.half ?? 'setup') !== half) continue
    const name = placement.before ?? placement.after ?? (half === 'setup' ? 'pivot' : 'exec')
    let at = steps.findIndex(step => step.name === name)
    if (at < 0) {
      if (placement.before !== undefined || placement.after !== undefined)
        throw invalidOption('step', `there is no step ${JSON.stringify(name)} to go beside`)
      at = steps.length
    }
    steps.splice(placement.after === undefined ? at : at + 1, 0, own)
  }
  return steps
}

/** Ends the setup half of what dies with this program. */
export const parkStep: InitStep = step('park', park())

/** Ends the setup half. One that is bound to its maker does the rest while it is parked. */
export function composePark(configuration: Configuration): InitStep[] {
  if (configuration.lifetime !== 'attached') return [parkListeningStep]
  return [parkStep, ...composeParked(configuration)]
}

/** Refuses what contradicts itself, before anything is done. */
export function checkConfiguration(configuration: Configuration): void {
  const { isolation, rootfs } = configuration
  const own = (kind: NamespaceKind) => isolates(configuration, kind)
  const unsupported = (option: string, what: string) =>
    new CofferdamError(`isolate: ${what} is not supported yet`, { code: 'ERR_UNSUPPORTED', option })
  if (isolation?.time !== undefined) throw unsupported('isolate.time', 'a time namespace')
  if (typeof isolation?.pid === 'object')
    throw unsupported('isolate.pid', 'joining a PID namespace')
  if (isComposed(configuration) && rootfs?.type === 'overlay') {
    const alone = rootfs.lower.length === 1 && rootfs.upper === undefined
    if (!alone)
      throw conflict(
        'rootfs',
        'in a user namespace / can only be the one lower directory, without an upper one',
      )
  }
  if (rootfs !== undefined && !own('mount'))
    throw conflict('rootfs', "needs a mount namespace: isolate('mount')")
  if (configuration.mounts.length > 0 && !own('mount'))
    throw conflict('mount', "needs a mount namespace: isolate('mount')")
  if (configuration.hostname !== undefined && !own('uts'))
    throw conflict('hostname', "needs a UTS namespace: isolate('uts')")
  for (const option of ['maskedPaths', 'readonlyPaths'] as const) {
    if ((configuration[option]?.length ?? 0) > 0 && !own('mount'))
      throw conflict(option, "needs a mount namespace: isolate('mount')")
  }
}
