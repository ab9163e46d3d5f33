import { lstatSync } from 'node:fs'
import {
  CofferdamError,
  conflict,
  flagOption,
  invalidOption,
  onlyKeys,
  show,
  textOption,
  textsOption,
} from '../base/index.js'
import {
  Cgroup,
  type CgroupOptions,
  defaultDeviceRules,
  defaultManager,
  type GroupFolders,
  isFrozenNow,
  leafOf,
  type ManagerName,
  mountPointOf,
  newGroupPath,
  type PlannedLimits,
  planLimits,
  type Stats,
  unifiedOf,
} from '../cgroups/index.js'
import { hostId } from '../namespaces/index.js'
import { GROUP, GROUP_PATH_MAX, LEAF } from './compose-group.js'
import type { Configuration } from './configuration.js'
import type { Omission } from './container.js'
import type { Journal, JournalEntry } from './journal.js'
import { mountsAsUser } from './user-namespace.js'

/** What {@link Container.cgroup} takes. */
export interface GroupOptions {
  /**
   * Where it is: an absolute path is below where the hierarchies are mounted, a
   * relative one below the parent that {@link Cgroup.create} takes by default. There
   * must be none yet, so one description makes but one container at a time. Default: the
   * container's id, below `parent`.
   */
  path?: string
  /** The group below which the container's is made, and called by its id. */
  parent?: string
  /**
   * `'systemd'`: a transient scope, called by the container's id or by `path`, a name then;
   * `'cgroupfs'`: folders. Default: systemd where it runs ({@link defaultManager}), unless
   * `path` or `parent` is absolute.
   */
  manager?: ManagerName
  /** Slice that systemd puts the scope in. Default: as for {@link Cgroup.create}. */
  slice?: string
  /** Controllers that it must have, besides those that the limits need. */
  controllers?: readonly string[]
  /**
   * The container may make groups of its own. Its processes start in a group
   * `container` below the one that has the limits, of which the container's cgroup
   * namespace shows nothing: what it does in its own can't raise them. In a user
   * namespace the inner one belongs to the container's root.
   *
   * To write there it needs `mounts.cgroup(TARGET, { readonly: false })`, and on v2 has
   * to move its processes into groups further down before it can hand on controllers.
   * cgroups(7), cgroup_namespaces(7). Default: false.
   */
  delegate?: boolean
}

const STEP = 'control group'

/** The inner group of one that is delegated. */
const DELEGATED = 'container'

/** {@link GroupOptions}, checked, and copied. */
export function groupOptions(options: GroupOptions): GroupOptions {
  onlyKeys('cgroup', options, ['path', 'parent', 'manager', 'slice', 'controllers', 'delegate'])
  const { path, parent, manager, slice, controllers, delegate } = options
  if (path !== undefined && parent !== undefined)
    throw conflict('cgroup.parent', 'path says already where the group is')
  if (manager !== undefined && manager !== 'systemd' && manager !== 'cgroupfs')
    throw invalidOption('cgroup.manager', `${show(manager)} is none; systemd and cgroupfs are`)
  if (manager === 'cgroupfs' && slice !== undefined)
    throw conflict('cgroup.slice', 'only groups of systemd are in slices')
  return {
    ...(manager === undefined ? {} : { manager }),
    ...(slice === undefined ? {} : { slice: textOption('cgroup.slice', slice) }),
    ...(path === undefined ? {} : { path: textOption('cgroup.path', path) }),
    ...(parent === undefined ? {} : { parent: textOption('cgroup.parent', parent) }),
    ...(controllers === undefined
      ? {}
      : { controllers: textsOption('cgroup.controllers', controllers) }),
    delegate: flagOption('cgroup.delegate', delegate, false),
  }
}

/**
 * Where a container's group is to be: what relative paths are below is another program's
 * to know differently, so they don't stay so.
 */
function pathFor({ group }: Configuration, id: string): { path: string; manager: ManagerName } {
  const { path, parent } = group ?? {}
  const below = parent === undefined ? id : `${parent === '/' ? '' : parent}/${id}`
  const said = path ?? below
  const manager = group?.manager ?? (said.startsWith('/') ? 'cgroupfs' : defaultManager())
  if (manager === 'systemd') return { path: said, manager }
  const whole =
    path !== undefined ? newGroupPath('cgroup.path', path) : newGroupPath('cgroup.parent', below)
  if (Buffer.byteLength(whole) > GROUP_PATH_MAX - DELEGATED.length - 1)
    throw invalidOption('cgroup', `${whole} is longer than ${GROUP_PATH_MAX} bytes`)
  return { path: whole, manager }
}

/**
 * What is going to be made, as far as that is known: with a scope of systemd's that is its
 * business, and only the hierarchies are told of.
 */
export function planFor(
  configuration: Configuration,
  id: string,
): { group: PlannedLimits; isUnit: boolean } {
  const { controllers } = controllersOf(configuration)
  const { path, manager } = pathFor(configuration, id)
  const isUnit = manager === 'systemd'
  const where = isUnit ? `/${path}.scope` : path
  const limits = isUnit ? {} : configuration.limits
  return { group: planLimits(where, { controllers, threaded: false }, limits, 'limits'), isUnit }
}

const controllersOf = ({ group }: Configuration): { controllers?: readonly string[] } =>
  group?.controllers === undefined ? {} : { controllers: group.controllers }

/** A container's group as its journal has it. */
interface MadeGroup {
  path: string
  /** As long as `path` is a name of systemd's. */
  manager?: ManagerName
  /**
   * Inodes of its folders, by their path, once they are there: another program's
   * group of this name has others.
   */
  inodes?: Record<string, number>
}

/** A container's own group, and what its processes start in. */
export class OwnGroup {
  /**
   * @param outer The one that has the limits.
   * @param inner The same, or the inner one of a group that is delegated.
   */
  constructor(
    readonly outer: Cgroup,
    readonly inner: Cgroup,
  ) {}

  /**
   * Where in version 2 a further process goes when the group itself can have none, since
   * the container has made groups in it: to where the first process is.
   */
  leaf(pid: number): string {
    const unified = unifiedOf(this.inner)
    const leaf = unifiedOf(leafOf(this.inner, pid))
    if (unified === undefined || leaf === undefined) return this.inner.path
    return leaf.path.slice(mountPointOf(this.inner, unified).length)
  }

  /** What goes to a plan's placeholders. */
  text(placeholder: string, leaf = this.inner.path): string | undefined {
    if (placeholder === LEAF) return leaf
    return placeholder === GROUP ? this.inner.path : undefined
  }

  /** Whether its processes are stopped, as the kernel has it at this moment. */
  isFrozen(): boolean {
    return isFrozenNow(this.outer)
  }
}

/**
 * What made init end, told better when it was the memory limit: that holds from its first
 * page on, and what is too little for init is too little for any program.
 */
export async function withGroup(error: unknown, group: OwnGroup | undefined): Promise<unknown> {
  if ((error as CofferdamError).code !== 'ERR_INIT_DIED' || group === undefined) return error
  const { memory } = await group.outer.stats({ only: ['memory'] }).catch(() => ({}) as Stats)
  if (!memory?.oomKills) return error
  return new CofferdamError(`memory: ${(error as Error).message}, since memory ran out`, {
    code: 'ERR_INIT_DIED',
    controller: 'memory',
    cause: error,
    hint: `limits.memory is too little to make a container in: ${memory.limit}`,
  })
}

/** The journal's entry for a group that is about to be made. */
function groupEntry(made: MadeGroup): JournalEntry & { record: { group: MadeGroup } } {
  return { step: STEP, undo: () => removeGroup(made), record: { group: made } }
}

/** The journal entry of which this is the record. */
export function recordedGroup(record: object): JournalEntry {
  return groupEntry((record as { group: MadeGroup }).group)
}

/** Whether a record is of a group. */
export function isGroupRecord(record: object): boolean {
  return 'group' in record
}

/**
 * Makes the group of a container, whole or not at all. What is about to be made is
 * noted first, and no process is in it before it is known by its inodes.
 */
export async function makeGroup(
  configuration: Configuration,
  id: string,
  journal: Journal,
): Promise<{ group: OwnGroup | undefined; omitted: Omission[] }> {
  const { limits, devices, group, limitsOptional } = configuration
  const { path, manager } = pathFor(configuration, id)
  const made: MadeGroup = manager === 'systemd' ? { path, manager } : { path }
  const entry = groupEntry(made)
  journal.add(entry)
  let outer: Cgroup
  const omitted: Omission[] = []
  const options: CgroupOptions = {
    manager,
    ...(group?.slice === undefined ? {} : { slice: group.slice }),
    ...(limits === undefined ? {} : { limits }),
    ...controllersOf(configuration),
  }
  try {
    if (devices === undefined)
      outer = await withDefaultDevices(configuration, path, options, omitted)
    else
      outer = await Cgroup.create(path, {
        ...options,
        devices: [...defaultDeviceRules, ...devices],
      })
  } catch (error) {
    journal.forget(entry) // it is there as a whole, or not at all
    const told = asTold(error)
    if (!limitsOptional || !isRefusal(told)) throw told
    return { group: undefined, omitted: [{ step: STEP, error: told }] }
  }
  made.path = outer.path
  delete made.manager
  made.inodes = inodesOf(outer)
  journal.recorded()
  const inner = group?.delegate === true ? await makeInner(configuration, outer) : outer
  return { group: new OwnGroup(outer, inner), omitted }
}

/** An option of the group's that was refused, by the name that it has in the builder. */
function asTold(error: unknown): unknown {
  const { option, message, hint } = error as CofferdamError
  if (!(error instanceof CofferdamError) || !option?.startsWith('cgroup.limits')) return error
  const plain = hint === undefined ? message : message.replace(` (${hint})`, '')
  const name = option.replace('cgroup.', '')
  const { code, controller, path } = error
  const details = { code, controller, path, hint, option: name, cause: error }
  return new CofferdamError(plain.replace(option, name), details)
}

/** Whether it is the machine that has not got it, and not the caller who is wrong. */
function isRefusal(error: unknown): error is CofferdamError {
  const { code = '' } = error as CofferdamError
  return (
    error instanceof CofferdamError &&
    !['ERR_CONFLICT', 'ERR_INVALID_OPTION', 'EEXIST'].includes(code)
  )
}

/**
 * Nobody has asked for the default list of devices, so that it can't be had is no error;
 * in a user namespace there is no use for it, since no device files can be made there.
 */
async function withDefaultDevices(
  configuration: Configuration,
  path: string,
  options: CgroupOptions,
  omitted: Omission[],
): Promise<Cgroup> {
  if (mountsAsUser(configuration)) return await Cgroup.create(path, options)
  // A unit is not made twice.
  const made = options.manager === 'systemd' ? await Cgroup.create(path, options) : undefined
  try {
    await made?.setDevices(defaultDeviceRules)
    return made ?? (await Cgroup.create(path, { ...options, devices: defaultDeviceRules }))
  } catch (error) {
    if (!isRefusal(error) || error.controller !== 'devices') throw error
    omitted.push({ step: 'devices', error })
    return made ?? (await Cgroup.create(path, options))
  }
}

/** The group that a container's processes start in, and that it may do with as it likes. */
async function makeInner(configuration: Configuration, outer: Cgroup): Promise<Cgroup> {
  const { idMappings } = configuration
  const inner = await Cgroup.create(`${outer.path}/${DELEGATED}`, controllersOf(configuration))
  if (idMappings === undefined) return inner
  const [uid, gid] = [hostId(idMappings.uid, 0), hostId(idMappings.gid, 0)]
  if (uid !== undefined && gid !== undefined) await inner.delegate(uid, gid)
  return inner
}

/**
 * The group of a container that another program has made, by its journal; undefined when
 * it has gone, or is not there yet.
 */
export async function findGroup(journal: Journal): Promise<OwnGroup | undefined> {
  const record = journal.records.find(isGroupRecord)
  if (record === undefined) return undefined
  const { path, inodes } = (record as { group: MadeGroup }).group
  if (inodes === undefined) return undefined
  try {
    const outer = await Cgroup.open(path)
    if (!isSame(outer, inodes)) return undefined
    const inner = await Cgroup.open(`${path}/${DELEGATED}`).catch(() => outer)
    return new OwnGroup(outer, inner)
  } catch (error) {
    if ((error as CofferdamError).code === 'ENOENT') return undefined
    throw error
  }
}

/** Ends all that is in a group, and removes it; another program's of this name stays. */
async function removeGroup({ path, manager, inodes }: MadeGroup): Promise<void> {
  try {
    const group = await Cgroup.open(path, manager === undefined ? {} : { manager })
    if (inodes !== undefined && !isSame(group, inodes)) return
    // Nothing of ours has been in it before it was known.
    await group.delete({ kill: inodes !== undefined })
  } catch (error) {
    const { code } = error as CofferdamError
    const others = inodes === undefined && code === 'EBUSY'
    if (code !== 'ENOENT' && !others) throw error
  }
}

function inodesOf({ folders }: GroupFolders): Record<string, number> {
  return Object.fromEntries(folders.map(({ path }) => [path, lstatSync(path).ino]))
}

/** What is left of it is all as it was. */
function isSame({ folders }: GroupFolders, inodes: Record<string, number>): boolean {
  return folders.every(
    ({ path }) => lstatSync(path, { throwIfNoEntry: false })?.ino === inodes[path],
  )
}
