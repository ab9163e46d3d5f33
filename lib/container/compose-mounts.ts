import { conflict } from '../base/index.js'
import * as mounts from '../mounts/index.js'
import { hostId } from '../namespaces/index.js'
import { type InitStep, type Slot, type Step, slot } from '../plan/index.js'
import { composeOwnSysctls } from './compose-sysctls.js'
import { type Configuration, closesDevices, isolates } from './configuration.js'
import { mountsAsUser } from './user-namespace.js'

// The mounts of a container: which, in which order, and where on the host a
// target lies that has to be made.

/** The container's root directory, in every plan: a slot gets its number when a plan is encoded. */
const root = slot('root')

// The standard mounts, which the paths that are hidden are found from.
const proc_ = slot('proc')
const sys = slot('sysfs')
const dev = slot('dev')

/** Where the standard mounts are, and the descriptors of them. */
const standardPlaces = [
  ['/proc/', proc_],
  ['/sys/', sys],
  ['/dev/', dev],
] as const

// What is the same for all containers is made once, since making it is most of
// what a new configuration costs.
const propagation = mounts.propagationStep()
const [inMemory, onDisk] = [standardMounts(false), standardMounts(true)]
const [defaultMasks, defaultReadonly] = hiding(
  mounts.defaultMaskedPaths,
  mounts.defaultReadonlyPaths,
  [],
)

/** `/proc`, `/sys` and `/dev`; `journal` if the root is on disk. */
function standardMounts(
  journal: boolean,
  options: mounts.DevOptions = {},
  { proc, sysfs }: Pick<Configuration, 'proc' | 'sysfs'> = { proc: 'new', sysfs: 'new' },
  own: readonly mounts.Mount[] = [],
) {
  const place: mounts.Place = { root, journal }
  const steps: Step[] = []
  if (!own.some(mount => replaced(mount) === proc_)) steps.push(mounts.procStep(place, proc_, proc))
  if (!own.some(mount => replaced(mount) === sys)) steps.push(mounts.sysStep(place, sys, sysfs))
  steps.push(mounts.devStep(place, dev, options))
  return { place, steps }
}

/** The standard mount that one of the caller's stands in for: a proc at `/proc`, a sysfs at `/sys`. */
function replaced(mount: mounts.Mount): Slot | undefined {
  if (mount.type !== 'filesystem') return undefined
  if (mount.fstype === 'proc' && mount.target === '/proc') return proc_
  if (mount.fstype === 'sysfs' && mount.target === '/sys') return sys
  return undefined
}

/**
 * A path as it is found from the standard mount that it is in, by descriptor:
 * whoever can move `/proc` in the rootfs must not move what is masked in it.
 * `over` are the mounts that the caller has put over a standard one.
 */
function inside(path: string, over: readonly mounts.Mount[]): mounts.Inside {
  const standard = standardPlaces.find(([place]) => path.startsWith(place))
  if (standard === undefined || over.some(mount => `${mount.target}/` === standard[0]))
    return { root, path }
  return { root: standard[1], path: path.slice(standard[0].length - 1) }
}

/** The steps that hide, and make read-only, over the standard mounts. */
function hiding(
  masked: readonly string[],
  readonly: readonly string[],
  over: readonly mounts.Mount[],
): [InitStep, InitStep] {
  return [
    mounts.maskStep(
      { root: dev, path: '/null' },
      masked.map(path => inside(path, over)),
    ),
    mounts.readonlyStep(readonly.map(path => inside(path, over))),
  ]
}

/** What is known of a configuration once its paths have been looked at. */
export interface Inspected {
  /** For each mount, what its source is. */
  sources: readonly mounts.Source[]
  /** What there is in the host's root directory, if the root is composed of that. */
  rootEntries?: readonly mounts.RootEntry[]
}

/** All of them, from a mount namespace that is a copy of the host's to the new root. */
export function composeMounts(configuration: Configuration, inspected: Inspected): Step[] {
  const { rootfs } = configuration
  const steps: Step[] = []
  // What lies in memory need not be taken back.
  const journal =
    rootfs?.type === 'directory' || (rootfs?.type === 'overlay' && rootfs.upper !== undefined)
  const { place, steps: standard } = standardFor(configuration, journal)
  const peers = new Map<mounts.Mount, Slot>()
  for (const mount of configuration.mounts) {
    if (!mounts.isPeer(mount)) continue
    const tree = slot('peer')
    peers.set(mount, tree)
    steps.push(mounts.peerStep(mount, tree))
  }
  const hears = rootfs?.type === 'directory' && mounts.keepsPeers(configuration.rootPropagation)
  if (hears) steps.push(mounts.peerRootStep(rootfs, root))
  steps.push(propagation)
  steps.push(rootStep(configuration, inspected, hears))
  // While the host's proc is still in sight: the kernel allows a user
  // namespace no proc that shows more than one it sees already.
  if (rootfs !== undefined) steps.push(...standard)
  steps.push(
    ...mounts.sequenceSteps(configuration.mounts, {
      place: ({ target }, layers) => placeBelow(place, configuration, layers, target),
      sources: inspected.sources,
      peers,
      tree: mount => (rootfs === undefined ? undefined : replaced(mount)),
      asUser: mountsAsUser(configuration),
    }),
  )
  if (rootfs !== undefined) steps.push(...composeOwnSysctls(configuration, proc_))
  steps.push(...composeHiding(configuration))
  if (rootfs === undefined) return steps
  steps.push(mounts.changeRootStep(configuration.rootChange, root, rootfs))
  const propagations = rootPropagation(configuration)
  if (propagations.length > 0) steps.push(mounts.rootPropagationStep(root, propagations))
  // Last, since mount targets may have had to be made.
  if (rootfs.readonly === true) steps.push(mounts.readonlyRootStep(root))
  return steps
}

function rootPropagation({ rootfs, rootPropagation: asked }: Configuration) {
  return asked.length === 0 && rootfs?.type === 'tmpfs' ? rootfs.propagation : asked
}

function rootStep(configuration: Configuration, { rootEntries }: Inspected, peer: boolean): Step {
  const { rootfs } = configuration
  if (rootfs === undefined) return mounts.hostRootStep(root)
  if (rootEntries !== undefined && rootfs.type === 'overlay')
    return mounts.composedRootStep(rootfs, rootEntries, root, closesDevices(configuration))
  const inPlace = configuration.rootChange === 'chroot'
  const userAttributes = mountsAsUser(configuration)
  const nodev = isRootClosed(configuration)
  return mounts.rootStep(rootfs, root, { nodev, userAttributes, peer, inPlace })
}

/** Whether device files in the root can't be opened; an empty one may say so itself. */
function isRootClosed(configuration: Configuration): boolean {
  const { rootfs, rootNodev } = configuration
  if (rootfs?.type === 'tmpfs' && rootNodev === undefined) return rootfs.nodev === true
  return closesDevices(configuration)
}

/** How a process that has joined a container comes to its root, where its namespaces do not say. */
export function rootAgain({ rootfs, rootChange }: Configuration): InitStep[] {
  return rootChange === 'chroot' && rootfs?.type === 'directory'
    ? [mounts.chrootToStep(rootfs.path)]
    : []
}

/** Whether the root has to be composed: an overlay of the host's, where that is not allowed. */
export function isComposed(configuration: Configuration): boolean {
  const { rootfs } = configuration
  return rootfs?.type === 'overlay' && rootfs.lower.includes('/') && mountsAsUser(configuration)
}

/** Refuses a root that can't be mounted, or changed to, as it is asked for. */
export function checkRootfs(configuration: Configuration): void {
  const { rootfs, rootChange, rootPropagation } = configuration
  if (rootfs === undefined) return
  const own = isolates(configuration, 'mount')
  if (rootChange === 'chroot' && rootfs.type !== 'directory')
    throw conflict('rootfs.change', 'chroot is for a root that is a directory')
  if (!own && rootChange !== 'chroot')
    throw conflict('rootfs', "needs a mount namespace: isolate('mount')")
  if (!own && (rootfs.readonly === true || rootPropagation.length > 0))
    throw conflict('rootfs', "readonly and propagation need a mount namespace: isolate('mount')")
  if (!isComposed(configuration) || rootfs.type !== 'overlay') return
  if (rootfs.lower.length > 1 || rootfs.upper !== undefined)
    throw conflict(
      'rootfs',
      'in a user namespace / can only be the one lower directory, without an upper one',
    )
}

/** The standard mounts; in a user namespace they are made another way. */
function standardFor(configuration: Configuration, journal: boolean) {
  const { idMappings, proc, sysfs, mounts: own } = configuration
  const asUser = mountsAsUser(configuration)
  const nodev = closesDevices(configuration)
  const usual = proc === 'new' && sysfs === 'new' && nodev && !own.some(replaced)
  if (!asUser && usual) return journal ? onDisk : inMemory
  // Of a user namespace that is joined it is not known which groups it has.
  const ttyGroup = asUser
    ? idMappings !== undefined && hostId(idMappings.gid, mounts.TTY_GROUP) !== undefined
    : true
  return standardMounts(journal, { bound: asUser, ttyGroup, nodev }, configuration, own)
}

/** The caller's directories in which mount targets may have to be made. */
export function lockedDirectories({ rootfs, mounts: own }: Configuration): Set<string> {
  const directories = new Set<string>()
  if (rootfs?.type === 'directory') directories.add(rootfs.path)
  const layers = new mounts.Layers()
  for (const mount of own) {
    const below = layers.below(mount.target)?.mount
    if (below?.type === 'bind') directories.add(below.source)
    layers.add(mount)
  }
  return directories
}

/**
 * The place of a mount: below an earlier one, it is not in the rootfs that a missing
 * target is made.
 */
function placeBelow(
  place: mounts.Place,
  configuration: Configuration,
  layers: mounts.Layers,
  target: string,
): mounts.Place {
  const { rootfs } = configuration
  const outer = layers.below(target)
  const on = outer?.mount
  const host = on?.type === 'bind' ? on.source : on?.type === 'overlay' ? on.upper : undefined
  if (outer !== undefined && host !== undefined) {
    const path = target.slice(outer.point.length)
    return { root, journal: true, onHost: { root: host, path } }
  }
  if (outer !== undefined || rootfs === undefined)
    return outer === undefined ? place : inMemory.place
  const inStandard = standardPlaces.some(([path]) => mounts.isBelow(target, path))
  // In a user namespace no device files can be made anyway.
  const nodev =
    !mountsAsUser(configuration) &&
    (inStandard ? closesDevices(configuration) : isRootClosed(configuration))
  return { ...(inStandard ? inMemory.place : place), nodev }
}

function composeHiding(configuration: Configuration): Step[] {
  const { rootfs, maskedPaths, readonlyPaths, mounts: own } = configuration
  if (rootfs === undefined) {
    // Over the host's own root, by path.
    const here = (paths: readonly string[] = []) => paths.map(path => ({ root, path }))
    const steps: Step[] = []
    if (maskedPaths?.length)
      steps.push(mounts.maskStep({ root, path: '/dev/null' }, here(maskedPaths)))
    if (readonlyPaths?.length) steps.push(mounts.readonlyStep(here(readonlyPaths)))
    return steps
  }
  const over = own.filter(
    mount =>
      mounts.isNewMount(mount) &&
      replaced(mount) === undefined &&
      standardPlaces.some(([path]) => `${mount.target}/` === path),
  )
  if (maskedPaths === undefined && readonlyPaths === undefined && over.length === 0)
    return [defaultMasks, defaultReadonly]
  const masked = maskedPaths ?? mounts.defaultMaskedPaths
  const readonly = readonlyPaths ?? mounts.defaultReadonlyPaths
  const [mask, protect] = hiding(masked, readonly, over)
  return [...(masked.length > 0 ? [mask] : []), ...(readonly.length > 0 ? [protect] : [])]
}
