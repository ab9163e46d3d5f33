import {
  invalidOption,
  type Membership,
  onlyKeys,
  parseMembership,
  parseMountInfo,
  parseOptions,
  readPseudoFile,
  show,
} from '../base/index.js'
import { call, type InitStep, mode, type Operation, type Slot, slot, step } from '../plan/index.js'
import {
  type AttributeSettings,
  attributeFlags,
  attributeNames,
  attributeSettings,
  fresh,
} from './attributes.js'
import type { NewMountOptions } from './file-system.js'
import { checkTarget, ours } from './made.js'
import {
  attachAt,
  type FileSystemOptions,
  MOUNT_ATTR,
  newFileSystem,
  setAttributes,
} from './operations.js'
import { type PropagationMode, propagationOption, setPropagation } from './propagation.js'
import { type Place, put } from './steps.js'

/**
 * One hierarchy: the unified one of version 2, or one of version 1 with these controllers
 * (`['cpu', 'cpuacct']`, together or none), or a name, or both.
 */
export type CgroupHierarchy =
  | 'unified'
  | { readonly controllers?: readonly string[]; readonly name?: string }

/** Options of {@link cgroup}. */
export interface CgroupMountOptions extends NewMountOptions {
  /** Only this one, at the target itself; one of version 1 is made if it is not there. Default: all. */
  hierarchy?: CgroupHierarchy
}

/** The control groups of a container. */
export interface CgroupMount extends AttributeSettings {
  type: 'cgroup'
  target: string
  hierarchy?: CgroupHierarchy
  propagation: readonly PropagationMode[]
}

/**
 * Mounts the control groups that the container's cgroup namespace shows: where there is
 * but the one hierarchy, that; where there are others (cgroups(7), version 1), a
 * directory for each, as hosts have them in `/sys/fs/cgroup`, and `unified`. Read-only
 * unless asked otherwise. Without a
 * cgroup namespace of its own it shows those of the whole machine.
 * Equivalent to: `mount -t cgroup2 -o ro,nosuid,nodev,noexec cgroup2 TARGET`
 *
 * With `hierarchy` it mounts that one alone. A named one of version 1 has no controllers, and
 * serves to keep account of which process belongs to what; see {@link removeHierarchy} for its end. Only the initial cgroup namespace may make one.
 *
 * ```ts
 * const jobs = { hierarchy: { name: 'jobs' }, readonly: false }
 * await mounts.apply([mounts.cgroup('/mnt/jobs', jobs)])
 * await using group = await cgroups.Cgroup.create('/nightly', { controllers: ['name=jobs'] })
 * ```
 *
 * Equivalent to: `mount -t cgroup -o none,name=jobs none /mnt/jobs`
 */
export function cgroup(target: string, options: CgroupMountOptions = {}): CgroupMount {
  onlyKeys('cgroup', options, [...attributeNames, 'propagation', 'hierarchy'])
  const hierarchy = hierarchyOption(options.hierarchy)
  return ours({
    type: 'cgroup',
    target: checkTarget('cgroup', target),
    ...(hierarchy === undefined ? {} : { hierarchy }),
    ...attributeSettings('cgroup', options, { ...fresh, readonly: true, noexec: true }),
    propagation: propagationOption('cgroup.propagation', options.propagation),
  })
}

function hierarchyOption(value: unknown): CgroupHierarchy | undefined {
  const option = 'cgroup.hierarchy'
  if (value === undefined || value === 'unified') return value
  onlyKeys(option, value, ['controllers', 'name'])
  const { controllers, name } = value as { controllers?: unknown; name?: unknown }
  if (controllers !== undefined && !Array.isArray(controllers))
    throw invalidOption(`${option}.controllers`, `${show(controllers)} is no list`)
  const list = controllers ?? []
  for (const each of list)
    if (typeof each !== 'string' || !/^[a-z_]+$/.test(each) || OPTIONS.includes(each))
      throw invalidOption(`${option}.controllers`, `${show(each)} is no name of a controller`)
  // As the kernel takes it, cgroup1_parse_param(); MAX_CGROUP_ROOT_NAMELEN
  if (name !== undefined && (typeof name !== 'string' || !/^[A-Za-z0-9._-]{1,63}$/.test(name)))
    throw invalidOption(
      `${option}.name`,
      `${show(name)} is no name of a hierarchy; 1 to 63 letters, digits, '.', '_' and '-' are`,
    )
  if (list.length === 0 && name === undefined)
    throw invalidOption(option, 'has neither controllers nor a name')
  return {
    ...(list.length > 0 ? { controllers: [...list] } : {}),
    ...(name === undefined ? {} : { name }),
  }
}

/** What the file system takes besides controllers. */
const OPTIONS = [
  'all',
  'none',
  'noprefix',
  'clone_children',
  'cpuset_v_mode',
  'xattr',
  'favordynmods',
]

/** What the unified one takes. */
const UNIFIED = [
  'nsdelegate',
  'favordynmods',
  'memory_localevents',
  'memory_recursiveprot',
  'memory_hugetlb_accounting',
  'pids_localevents',
]

/** A hierarchy: the name of its directory, and how it is mounted. */
interface Hierarchy {
  name: string
  type: 'cgroup' | 'cgroup2'
  options: FileSystemOptions
}

/** The hierarchies that there are, by `/proc/self/cgroup`; cgroups(7). */
function hierarchies(text: string): Hierarchy[] {
  return parseMembership(text).flatMap(({ hierarchy, controllers }: Membership): Hierarchy[] => {
    if (controllers.length === 0) return hierarchy === 0 ? [unified()] : []
    const name = controllers.find(each => each.startsWith('name='))?.slice('name='.length)
    return [
      ofVersion1(
        controllers.filter(each => !each.startsWith('name=')),
        name,
      ),
    ]
  })
}

/**
 * With the options that it has already. Of the machine's one hierarchy they are the last mount's
 * that is made in the initial cgroup namespace: one without them would take `nsdelegate` from all
 * containers. In other cgroup namespaces the kernel pays them no heed. cgroups(7)
 */
function unified(): Hierarchy {
  const mounts = parseMountInfo(readPseudoFile('/proc/self/mountinfo') ?? '')
  const own = parseOptions(mounts.find(({ fsType }) => fsType === 'cgroup2')?.superOptions ?? '')
  const options = own.filter(([name]) => UNIFIED.includes(name)) // not seclabel and the like
  return { name: 'unified', type: 'cgroup2', options: Object.fromEntries(options) }
}

function ofVersion1(controllers: readonly string[], name: string | undefined): Hierarchy {
  const options: Record<string, string | true> = controllers.length === 0 ? { none: true } : {}
  for (const controller of controllers) options[controller] = true
  if (name !== undefined) options.name = name
  return { name: controllers.join(',') || (name ?? ''), type: 'cgroup', options }
}

const one = (which: CgroupHierarchy): Hierarchy =>
  which === 'unified' ? unified() : ofVersion1(which.controllers ?? [], which.name)

/** The step that mounts them all, or one. */
export function cgroupStep(mount: CgroupMount, place: Place): InitStep {
  const all = hierarchies(readPseudoFile('/proc/self/cgroup') ?? '')
  const flags = attributeFlags(mount)
  const name = `cgroup ${mount.target}`
  const top = slot('cgroup')
  const propagation = setPropagation(top, mount.propagation)
  const only = mount.hierarchy === undefined ? undefined : one(mount.hierarchy)
  const single = only ?? (all.every(({ type }) => type === 'cgroup2') ? unified() : undefined)
  if (single !== undefined)
    return step(
      name,
      ...newFileSystem(single.type, slot('fs'), top, single.options, ...flags),
      ...put(top, mount.target, place),
      ...propagation,
    )
  const { nosuid, nodev, noexec, readonly } = MOUNT_ATTR
  const options = { mode: '755', size: '64k' }
  return step(
    name,
    ...newFileSystem('tmpfs', slot('fs'), top, options, nosuid, nodev, noexec),
    ...put(top, mount.target, place),
    ...all.flatMap(each => hierarchy(top, each, flags)),
    ...(mount.readonly === true ? [setAttributes(top, { set: [readonly] })] : []),
    ...propagation,
  )
}

function hierarchy(
  top: Slot,
  { name, type, options }: Hierarchy,
  flags: ReturnType<typeof attributeFlags>,
): Operation[] {
  const tree = slot(name)
  const several = type === 'cgroup' ? name.split(',') : []
  return [
    call('mkdirat', [top, name, mode(0o755)]),
    ...newFileSystem(type, slot('fs'), tree, options, ...flags),
    attachAt(tree, top, name),
    // Each controller is found by its own name too.
    ...(several.length > 1 ? several.map(each => call('symlinkat', [name, top, each])) : []),
  ]
}
