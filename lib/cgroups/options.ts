import {
  CofferdamError,
  conflict,
  type Duration,
  flagOption,
  onlyKeys,
  textOption,
} from '../base/index.js'
import { controllersOption } from './controllers.js'
import { createGroup } from './create.js'
import type { DeviceRule } from './device-rules.js'
import { devicesOption } from './devices.js'
import { existingFolders, type GroupFolders } from './folders.js'
import { type Limits, parseLimits } from './limits/index.js'
import { groupPath, newGroupPath } from './names.js'
import { makeAgain, remember } from './remembered.js'
import {
  asUnit,
  createUnit,
  type ManagerName,
  managerOption,
  openUnit,
  type Unit,
  unitName,
} from './systemd/index.js'
import type { WaitOptions } from './waiting.js'

/** Options of {@link Cgroup.create}. */
export interface CgroupOptions {
  /**
   * Controllers that the group can't do without, as `['memory', 'pids']`; `'name=x'` is a named
   * hierarchy of version 1. Either version's names will do. Default: all that there are, as far
   * as this program may have them; of the unified hierarchy beside version 1 those that limits
   * ask for, and those that the group above hands on already.
   */
  controllers?: readonly string[]
  /**
   * A group of threads, whose processes are those of the nearest group above that is none;
   * version 2. Default: false. cgroups(7), "Thread mode"
   */
  threaded?: boolean
  /** What it may use, from the beginning; as {@link Cgroup.set} has it. */
  limits?: Limits
  /** Which devices its processes may use; as {@link Cgroup.setDevices} has it. Default: as above it. */
  devices?: readonly (DeviceRule | string)[]
  /**
   * `'systemd'`: it is a transient unit, a scope or a slice, and systemd knows its limits;
   * `'cgroupfs'`: a folder. Default: for a name systemd where it runs, {@link defaultManager}, for
   * an absolute path a folder.
   */
  manager?: ManagerName
  /** Slice that a scope of systemd's is in. Default: `system.slice`, or a user's `app.slice`. */
  slice?: string
}

/** Options of {@link Cgroup.open}. */
export type OpenOptions = Pick<CgroupOptions, 'manager'>

/** Options of {@link Cgroup.delete}. */
export interface DeleteOptions extends WaitOptions {
  /** End the processes in it and below first. Otherwise they are an error, `EBUSY`. Default: true. */
  kill?: boolean
  /** Default: 10 seconds. */
  timeout?: Duration
}

/** A group's folders, and the unit of systemd's that it is, if it is one. */
export type ManagedGroup = GroupFolders & { unit?: Unit }

/** Makes a group; see Cgroup.create(). */
export async function make(path: string, options: CgroupOptions): Promise<ManagedGroup> {
  const again = await makeAgain(path, options)
  if (again !== undefined) return again
  onlyKeys('cgroup', options, ['controllers', 'threaded', 'limits', 'devices', 'manager', 'slice'])
  const manager = managerOption('cgroup', textOption('path', path), options.manager)
  const controllers = controllersOption('cgroup.controllers', options.controllers)
  const threaded = flagOption('cgroup.threaded', options.threaded, false)
  const limits =
    options.limits === undefined ? undefined : parseLimits('cgroup.limits', options.limits)
  const devices =
    options.devices === undefined ? undefined : devicesOption('cgroup.devices', options.devices)
  if (manager === 'cgroupfs') {
    if (options.slice !== undefined)
      throw conflict('cgroup.slice', 'only groups of systemd are in slices')
    const whole = newGroupPath('path', path)
    const copy = structuredClone(options)
    const created = await createGroup(whole, { controllers, threaded }, limits, devices)
    if (path === whole) remember(copy, created)
    return created.group
  }
  if (threaded)
    throw conflict('cgroup.threaded', "systemd has no such; manager: 'cgroupfs' makes one")
  newGroupPath('path', `/${path}`)
  return await createUnit(unitName('cgroup', path, options.slice), limits, devices, controllers)
}

/** Finds a group; see Cgroup.open(). */
export async function find(path: string, options: OpenOptions): Promise<ManagedGroup> {
  onlyKeys('cgroup', options, ['manager'])
  const manager = managerOption('cgroup', textOption('path', path), options.manager)
  if (manager === 'systemd') return await openUnit(unitName('cgroup', path, undefined))
  const wanted = groupPath('path', path)
  const group = { path: wanted, folders: existingFolders(wanted) }
  if (group.folders.length === 0)
    throw new CofferdamError(`${wanted}: there is no such group in any hierarchy`, {
      code: 'ENOENT',
      path: wanted,
      controller: 'cgroup',
      hint: 'Cgroup.create() makes one',
    })
  return (await asUnit(group)) ?? group
}
