import * as mounts from '../mounts/index.js'
import { hostId } from '../namespaces/index.js'
import { type InitStep, type Step, slot } from '../plan/index.js'
import type { Configuration } from './configuration.js'
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
) {
  const place: mounts.Place = { root, journal }
  return {
    place,
    steps: [
      mounts.procStep(place, proc_, proc),
      mounts.sysStep(place, sys, sysfs),
      mounts.devStep(place, dev, options),
    ],
  }
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
  /** For each mount, whether its source is a file and not a directory. */
  sourceIsFile: readonly boolean[]
  /** What there is in the host's root directory, if the root is composed of that. */
  rootEntries?: readonly mounts.RootEntry[]
}

/** All of them, from a mount namespace that is a copy of the host's to the new root. */
export function composeMounts(configuration: Configuration, inspected: Inspected): Step[] {
  const { rootfs } = configuration
  const steps: Step[] = []
  // What lies in memory need not be taken back.
  const journal = rootfs?.type === 'directory' || rootfs?.upper !== undefined
  const { place, steps: standard } = standardFor(configuration, journal)
  steps.push(propagation)
  steps.push(rootStep(configuration, inspected))
  // While the host's proc is still in sight: the kernel allows a user
  // namespace no proc that shows more than one it sees already.
  if (rootfs !== undefined) steps.push(...standard)
  configuration.mounts.forEach((mount, i) => {
    const below = placeBelow(place, configuration, i)
    steps.push(mounts.mountStep(mount, below, inspected.sourceIsFile[i] === true))
  })
  steps.push(...composeHiding(configuration))
  if (rootfs !== undefined) steps.push(mounts.pivotStep(root, rootfs))
  // Last, since mount targets may have had to be made.
  if (rootfs?.readonly) steps.push(mounts.readonlyRootStep(root))
  return steps
}

function rootStep(configuration: Configuration, { rootEntries }: Inspected): Step {
  const { rootfs } = configuration
  if (rootfs === undefined) return mounts.hostRootStep(root)
  if (rootEntries !== undefined && rootfs.type === 'overlay')
    return mounts.composedRootStep(rootfs, rootEntries, root)
  return mounts.rootStep(rootfs, root, mountsAsUser(configuration))
}

/** Whether the root has to be composed: an overlay of the host's, where that is not allowed. */
export function isComposed(configuration: Configuration): boolean {
  const { rootfs } = configuration
  return rootfs?.type === 'overlay' && rootfs.lower.includes('/') && mountsAsUser(configuration)
}

/** The standard mounts; in a user namespace they are made another way. */
function standardFor(configuration: Configuration, journal: boolean) {
  const { idMappings, proc, sysfs } = configuration
  const asUser = mountsAsUser(configuration)
  if (!asUser && proc === 'new' && sysfs === 'new') return journal ? onDisk : inMemory
  // Of a user namespace that is joined it is not known which groups it has.
  const ttyGroup = asUser
    ? idMappings !== undefined && hostId(idMappings.gid, mounts.TTY_GROUP) !== undefined
    : true
  return standardMounts(journal, { bound: asUser, ttyGroup }, configuration)
}

/** Whether the path lies below `outer`. */
function isBelow(path: string, outer: string): boolean {
  return path.startsWith(outer.endsWith('/') ? outer : `${outer}/`)
}

/** The mount that the one with this number lies on, if that is another of the caller's. */
function mountBelow({ mounts: own }: Configuration, number: number): mounts.Mount | undefined {
  const { target } = own[number] as mounts.Mount
  return own.slice(0, number).findLast(mount => isBelow(target, mount.target))
}

/** The caller's directories in which mount targets may have to be made. */
export function lockedDirectories(configuration: Configuration): Set<string> {
  const { rootfs, mounts: own } = configuration
  const directories = new Set<string>()
  if (rootfs?.type === 'directory') directories.add(rootfs.path)
  own.forEach((_, i) => {
    const below = mountBelow(configuration, i)
    if (below?.type === 'bind') directories.add(below.source)
  })
  return directories
}

/**
 * The place of the mount with this number: below an earlier one, it is not in
 * the rootfs that a missing target is made.
 */
function placeBelow(place: mounts.Place, configuration: Configuration, number: number) {
  const { target } = configuration.mounts[number] as mounts.Mount
  const outer = mountBelow(configuration, number)
  if (outer?.type === 'bind')
    return {
      root,
      journal: true,
      onHost: { root: outer.source, path: target.slice(outer.target.length) },
    }
  const inStandard = configuration.rootfs && standardPlaces.some(([path]) => isBelow(target, path))
  return outer !== undefined || inStandard ? inMemory.place : place
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
  const over = own.filter(({ target }) => standardPlaces.some(([path]) => `${target}/` === path))
  if (maskedPaths === undefined && readonlyPaths === undefined && over.length === 0)
    return [defaultMasks, defaultReadonly]
  const masked = maskedPaths ?? mounts.defaultMaskedPaths
  const readonly = readonlyPaths ?? mounts.defaultReadonlyPaths
  const [mask, protect] = hiding(masked, readonly, over)
  return [...(masked.length > 0 ? [mask] : []), ...(readonly.length > 0 ? [protect] : [])]
}
