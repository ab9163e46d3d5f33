import { accessSync, constants, openSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  deviceNumbers,
  fileOperationKinds,
  groupVersionAt,
  type MountInfo,
  native,
  parseMountInfo,
  parseOptions,
  readPseudoFile,
} from '../base/index.js'
import { type Membership, parseMembership } from './membership.js'
import { findOwn } from './own.js'

/**
 * Which versions there are. `hybrid`: version 1, and a mount of the unified hierarchy beside
 * it, with controllers or without; `legacy`: version 1 alone.
 */
export type LayoutMode = 'unified' | 'hybrid' | 'legacy' | 'none'

/** One hierarchy that is mounted where this program can see it. */
export interface Hierarchy {
  version: 1 | 2
  /**
   * Those that it has: of version 1 as its mount says, `cpu` and `cpuacct` together for
   * instance; of version 2 those that its topmost group here has, `cgroup.controllers`.
   */
  controllers: readonly string[]
  /** Of a named one of version 1: `'systemd'` for `name=systemd`. */
  name?: string
  /** Where it is mounted; of several places the one that shows most and may be written to. */
  mountPoint: string
  /** All the places. */
  mountPoints: readonly string[]
  /** The group that is seen at `mountPoint`, as this program's cgroup namespace names it. */
  root: string
  /** The mount is read-only. */
  readonly: boolean
  /** This program's group, as `/proc/self/cgroup` names it; undefined if that leaves it out. */
  own?: string
  /** Its folder, if the mount shows it. */
  ownFolder?: string
  /** Whether this program may make groups below its own. */
  writable: boolean
  /**
   * Controllers that a group made there can have: of version 1 all that the hierarchy has,
   * of version 2 those that this program's own group has been given. None where it may not
   * write.
   */
  delegatable: readonly string[]
}

/** What there is of control groups, as this program sees it. */
export interface Layout {
  mode: LayoutMode
  /** Version 1 in the order of the mounts, then version 2. */
  hierarchies: readonly Hierarchy[]
  /**
   * Files of a version 2 group that who it is delegated to has to own;
   * `/sys/kernel/cgroup/delegate`, Linux 4.15.
   */
  delegate: readonly string[]
}

/** As kernels had it before they told, cgroups(7), "Cgroups delegation". */
const DELEGATE = ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']

/**
 * What there is of control groups, found by looking: at the mounts, whatever their places,
 * and at this program's own groups. It works in a cgroup namespace, where only part of a
 * hierarchy is bound, and where another file system covers a mount. cgroups(7),
 * cgroup_namespaces(7), `/proc/self/mountinfo`, `/proc/self/cgroup`, statfs(2)
 *
 * Nothing is made for the purpose: whether a group can be made is told by the modes of
 * files alone.
 * Equivalent to: `findmnt -t cgroup,cgroup2; cat /proc/self/cgroup`
 */
export async function layout(): Promise<Layout> {
  return layoutNow()
}

let cached: { own: string | undefined; layout: Layout } | undefined

/** For each look; node:fs takes four times as long. */
const OWN_GROUPS = [fileOperationKinds.indexOf('read'), '/proc/self/cgroup', '', 0, 0, ''].join(
  '\0',
)

/** The same at once. It is looked up again when mounts or own groups have changed. */
export function layoutNow(): Layout {
  const known = ofTheseMounts()
  const [own] = native().filesNow(OWN_GROUPS).texts
  return known !== undefined && known.own === own ? known.layout : look(own)
}

/**
 * The hierarchies alone: what is told of this program's own groups, and of what it may do there, may
 * be old. Looked up again when mounts have changed.
 */
export function hierarchiesNow(): Pick<Layout, 'mode' | 'hierarchies'> {
  return ofTheseMounts()?.layout ?? layoutNow()
}

function ofTheseMounts(): typeof cached {
  if (mountsHaveChanged()) cached = undefined
  return cached
}

function look(own: string | undefined): Layout {
  const mounts = Buffer.from(readPseudoFile('/proc/self/mountinfo') ?? '', 'latin1')
  const memberships = parseMembership(readPseudoFile('/proc/self/cgroup') ?? '')
  const layout = lookUp(parseMountInfo(mounts), memberships)
  cached = { own, layout }
  return layout
}

/** The table of mounts, open from the first look on: to read it anew each time takes ten times as long. */
let table: number | undefined

/** Whether the kernel has said so since the last look; proc_pid_mounts(5). */
function mountsHaveChanged(): boolean {
  try {
    if (table !== undefined) return native().hasChanged(table)
    table = openSync('/proc/self/mountinfo', constants.O_RDONLY)
  } catch {
    // Without a proc there is nothing to be found either.
  }
  return true
}

function lookUp(mounts: readonly MountInfo[], memberships: readonly Membership[]): Layout {
  const places = new Map<string, MountInfo[]>()
  for (const mount of mounts) {
    if ((mount.fsType !== 'cgroup' && mount.fsType !== 'cgroup2') || !isSeen(mount)) continue
    const device = `${mount.major}:${mount.minor}`
    const others = places.get(device)
    if (others === undefined) places.set(device, [mount])
    else others.push(mount)
  }
  const all = [...places.values()].map(of => hierarchyOf(of, memberships))
  const hierarchies = [1, 2].flatMap(version => all.filter(each => each.version === version))
  const [first, last] = [hierarchies[0], hierarchies.at(-1)]
  const mode =
    first === undefined
      ? 'none'
      : last?.version === 1
        ? 'legacy'
        : first.version === 2
          ? 'unified'
          : 'hybrid'
  const delegate = lines(readPseudoFile('/sys/kernel/cgroup/delegate'))
  return { mode, hierarchies, delegate: delegate.length > 0 ? delegate : DELEGATE }
}

/** Whether what the table says is what the path leads to: another mount may cover it. */
function isSeen({ mountPoint, fsType, major, minor }: MountInfo): boolean {
  try {
    if (deviceNumbers(statSync(mountPoint).dev) !== `${major}:${minor}`) return false
    return groupVersionAt(mountPoint) === (fsType === 'cgroup' ? 1 : 2)
  } catch {
    return false
  }
}

function hierarchyOf(places: readonly MountInfo[], memberships: readonly Membership[]): Hierarchy {
  const mount = places.reduce(better)
  const { mountPoint, root } = mount
  const version = mount.fsType === 'cgroup' ? 1 : 2
  const known = parseOptions(mount.superOptions)
  const name = known.find(([option]) => option === 'name')?.[1]
  const controllers = version === 2 ? controllersOf(mountPoint) : []
  const membership = memberships.find(each =>
    version === 2
      ? each.hierarchy === 0
      : each.controllers.length > 0 &&
        each.controllers.every(one => known.some(option => sameController(one, option))),
  )
  const v1 = membership?.controllers.filter(one => !one.startsWith('name=')) ?? []
  const own = membership?.path
  const ownFolder = own === undefined ? undefined : findOwn(version, mountPoint, root, own)
  const readonly = isReadonly(mount)
  const writable = ownFolder !== undefined && mayWrite(ownFolder)
  const given = version === 1 ? v1 : ownFolder === undefined ? [] : controllersOf(ownFolder)
  return {
    version,
    controllers: version === 1 ? v1 : controllers,
    ...(version === 1 && typeof name === 'string' ? { name } : {}),
    mountPoint,
    mountPoints: places.map(place => place.mountPoint),
    root,
    readonly,
    ...(own === undefined ? {} : { own }),
    ...(ownFolder === undefined ? {} : { ownFolder }),
    writable,
    delegatable: writable ? given : [],
  }
}

/** `/proc/PID/cgroup` has `name=x`, the mount's options have it split. */
function sameController(one: string, [option, value]: [string, string | true]): boolean {
  return value === true ? one === option : one === `${option}=${value}`
}

function better(a: MountInfo, b: MountInfo): MountInfo {
  if (isReadonly(a) !== isReadonly(b)) return isReadonly(a) ? b : a
  return depth(b.root) < depth(a.root) ? b : a
}

/** How far below the hierarchy's own root: the parts of the path, those upward counted less. */
const depth = (root: string) =>
  root.split('/').reduce((sum, part) => sum + (part === '' ? 0 : part === '..' ? -1 : 1), 0)

const isReadonly = ({ options, superOptions }: MountInfo) =>
  [options, superOptions].some(list => list.split(',').includes('ro'))

function mayWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    accessSync(join(folder, 'cgroup.procs'), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Those that a version 2 group has; none where it is no such. */
export function controllersOf(folder: string): string[] {
  return lines(readPseudoFile(join(folder, 'cgroup.controllers')))
}

const lines = (text = '') => text.split(/\s+/).filter(Boolean)
