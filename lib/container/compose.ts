import { CofferdamError, conflict, invalidOption } from '../base/index.js'
import {
  boundingSet,
  type CapabilitySets,
  capabilitySets,
  defaults as defaultCapabilities,
  keepCapabilities,
  toBits,
} from '../capabilities/index.js'
import * as mounts from '../mounts/index.js'
import { hostname, join, type NamespaceKind, unshare } from '../namespaces/index.js'
import { loopbackUp } from '../netlink/index.js'
import { type InitStep, type Plan, park, type Slot, type Step, slot, step } from '../plan/index.js'
import * as proc from '../process/index.js'
import { type Configuration, defaultIsolation, type StepPlacement } from './configuration.js'

/** Slots that the process half finds filled: the standard streams. */
export const streamSlots = [slot('stdin'), slot('stdout'), slot('stderr')] as const

/** The container's root directory, in every plan: a slot gets its number when a plan is encoded. */
const root = slot('root')

// Steps that are the same for all containers are made once, since making them
// is most of what a new configuration costs.
const detach = proc.detachStep()
const loopback = loopbackUp()
const setHostname = hostname()
const propagation = mounts.propagationStep()
const inMemory = standardMounts({ root, journal: false })
const onDisk = standardMounts({ root, journal: true })
const defaultMasks = mounts.maskStep(root, mounts.defaultMaskedPaths)
const defaultReadonly = mounts.readonlyStep(root, mounts.defaultReadonlyPaths)

function standardMounts(place: mounts.Place) {
  return { place, steps: [mounts.procStep(place), mounts.sysStep(place), mounts.devStep(place)] }
}

/** What is known of a configuration once its paths have been looked at. */
export interface Inspected {
  /** For each mount, whether its source is a file and not a directory. */
  sourceIsFile: readonly boolean[]
}

/** What runs in the container, with what its start adds. */
export interface ProcessRequest {
  specification: proc.ProcessSpecification
  /** Which of the standard streams are pipes of ours. */
  pipes: readonly number[]
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
    clone: isolates(configuration, 'pid') ? ['pid'] : [],
    setup: composeSetup(configuration, inspected),
    process: composeProcess(configuration, process),
  }
}

/** The setup half. */
export function composeSetup(configuration: Configuration, inspected: Inspected): Step[] {
  const { rootfs } = configuration
  const steps: Step[] = []

  if (rootfs?.type === 'directory') steps.push(mounts.lockStep(rootfs.path))
  steps.push(detach)

  // Joined namespaces are found by the host's paths, so before a new mount
  // namespace is entered, and the mount namespace itself last of all.
  for (const [kind, path] of joins(configuration)) steps.push(join(kind, path))
  const created = (['mount', 'uts', 'ipc', 'network', 'cgroup'] as const).filter(kind =>
    isolates(configuration, kind),
  )
  if (created.length > 0) steps.push(unshare(created))
  if (isolates(configuration, 'network')) steps.push(loopback)
  if (isolates(configuration, 'uts')) steps.push(setHostname)

  if (isolates(configuration, 'mount')) {
    steps.push(propagation)
    steps.push(rootfs === undefined ? mounts.hostRootStep(root) : mounts.rootStep(rootfs, root))
    steps.push(...composeMounts(configuration, inspected))
  }
  return insert(steps, configuration, 'setup')
}

function composeMounts(configuration: Configuration, inspected: Inspected): Step[] {
  const { rootfs, maskedPaths, readonlyPaths } = configuration
  const steps: Step[] = []
  // What lies in memory need not be taken back.
  const { place, steps: standard } =
    rootfs?.type === 'directory' || rootfs?.upper !== undefined ? onDisk : inMemory
  // While the host's proc is still in sight: the kernel allows a user
  // namespace no proc that shows more than one it sees already.
  if (rootfs !== undefined) steps.push(...standard)
  configuration.mounts.forEach((mount, i) => {
    steps.push(mounts.mountStep(mount, place, inspected.sourceIsFile[i] === true))
  })
  if (maskedPaths === undefined && rootfs !== undefined) steps.push(defaultMasks)
  else if (maskedPaths?.length) steps.push(mounts.maskStep(root, maskedPaths))
  if (readonlyPaths === undefined && rootfs !== undefined) steps.push(defaultReadonly)
  else if (readonlyPaths?.length) steps.push(mounts.readonlyStep(root, readonlyPaths))
  if (rootfs !== undefined) steps.push(mounts.pivotStep(root, rootfs))
  // Last, since mount targets may have had to be made.
  if (rootfs?.readonly) steps.push(mounts.readonlyRootStep(root))
  return steps
}

/** The process half. */
export function composeProcess(
  configuration: Configuration,
  { specification, pipes }: ProcessRequest,
): Step[] {
  const sets = resolveCapabilities(configuration)
  const steps: Step[] = [
    proc.streamsStep(streamSlots),
    // Needs CAP_SETPCAP, which the change of user may take away.
    boundingSet(sets),
  ]
  if (specification.uid !== 0 && pipes.length > 0)
    steps.push(proc.streamOwnerStep(pipes, specification.uid, specification.gid))
  steps.push(proc.userStep(specification, keepCapabilities()))
  steps.push(capabilitySets(sets))
  if (configuration.noNewPrivileges) steps.push(proc.noNewPrivilegesStep())
  steps.push(proc.readyStep(specification), proc.execStep(specification))
  return insert(steps, configuration, 'process')
}

/** Whether the container gets a namespace of this kind of its own. */
export function isolates(configuration: Configuration, kind: NamespaceKind): boolean {
  const { isolation } = configuration
  return isolation === undefined ? defaultIsolation.includes(kind) : isolation[kind] === 'new'
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
export function resolveCapabilities({ capabilities }: Configuration): CapabilitySets {
  if (capabilities === undefined || Array.isArray(capabilities)) {
    const bits = toBits('capabilities', (capabilities as []) ?? defaultCapabilities)
    return { bounding: bits, effective: bits, permitted: bits, inheritable: 0n, ambient: 0n }
  }
  const options = capabilities as Exclude<typeof capabilities, readonly unknown[]>
  const bits = (name: keyof CapabilitySets) => toBits(`capabilities.${name}`, options[name] ?? [])
  return {
    bounding: bits('bounding'),
    effective: bits('effective'),
    permitted: bits('permitted'),
    inheritable: bits('inheritable'),
    ambient: bits('ambient'),
  }
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

/** Ends the setup half. */
export const parkStep: InitStep = step('park', park())

/** Refuses what contradicts itself, before anything is done. */
export function checkConfiguration(configuration: Configuration): void {
  const { isolation, rootfs } = configuration
  const own = (kind: NamespaceKind) => isolates(configuration, kind)
  for (const kind of ['user', 'time'] as const)
    if (isolation?.[kind] !== undefined)
      throw new CofferdamError(`isolate: ${kind} namespaces are not supported yet`, {
        code: 'ERR_UNSUPPORTED',
        option: `isolate.${kind}`,
      })
  if (typeof isolation?.pid === 'object')
    throw new CofferdamError('isolate: joining a PID namespace is not supported yet', {
      code: 'ERR_UNSUPPORTED',
      option: 'isolate.pid',
    })
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
