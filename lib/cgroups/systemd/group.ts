import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CofferdamError } from '../../base/index.js'
import { findController } from '../controllers.js'
import { createGroup } from '../create.js'
import { Variant } from '../dbus/index.js'
import { type Devices, setDevices } from '../devices.js'
import { runFiles, writeFiles } from '../files.js'
import {
  existingFolders,
  type GroupFolder,
  type GroupFolders,
  hierarchyOfFolder,
  unifiedOf,
} from '../folders.js'
import { layoutNow } from '../layout.js'
import {
  type CheckedLimits,
  limitControllers,
  limitWrites,
  readLimits,
  setLimits,
  verifyLimits,
} from '../limits/index.js'
import { mayWrite } from '../names.js'
import { defaultManager, ownManager, type Whose } from './detect.js'
import { Manager } from './manager.js'
import { type Placeholder, placeholder } from './placeholder.js'
import { limitProperties, type Property } from './properties.js'
import type { UnitName } from './units.js'

/** A unit of systemd's that a group is, or is in. */
export interface Unit {
  /** As `cofferdam-demo.scope`. */
  name: string
  whose: Whose
}

/** A group of systemd's, in the terms of this package. */
interface UnitGroup extends GroupFolders {
  readonly unit: Unit
}

/** Below a scope: where the group's own processes are, and the one that keeps the scope. */
const [OWN, KEPT] = ['container', 'placeholder']

/** What every unit has: counted, and handed on to this package. */
function commonProperties(unit: UnitName, pid: number | undefined): Property[] {
  const yes = new Variant('b', true)
  const counted = ['CPUAccounting', 'MemoryAccounting', 'IOAccounting', 'TasksAccounting']
  const properties = counted.map((name): Property => [name, yes])
  properties.push(['Description', new Variant('s', 'cofferdam')])
  // So that nothing stays of one that has failed, by an OOM kill for instance.
  properties.push(['CollectMode', new Variant('s', 'inactive-or-failed')])
  if (unit.slice !== undefined) properties.push(['Slice', new Variant('s', unit.slice)])
  if (pid !== undefined) properties.push(['PIDs', new Variant('au', [pid])], ['Delegate', yes])
  return properties
}

/**
 * Makes a transient scope or slice with limits; or nothing stays of it.
 *
 * Of a scope a group below it is the caller's, and what keeps the scope while it is empty
 * is in another, so that it is neither seen nor killed nor stopped with it. Limits are the scope's, so that
 * systemd knows of them; but pids.max is that group's own, since the scope counts one more.
 */
export async function createUnit(
  unit: UnitName,
  limits: CheckedLimits = {},
  devices?: Devices,
  controllers: readonly string[] = [],
): Promise<UnitGroup> {
  for (const name of [...controllers, ...limitControllers(limits)])
    findController(name, layoutNow().hierarchies)
  const whose = ownManager()
  using manager = await Manager.open(whose)
  const kept = unit.kind === 'scope' ? await placeholder() : undefined
  let started = false
  try {
    await manager.start(unit.name, [
      ...commonProperties(unit, kept?.pid),
      ...limitProperties(limits, kept !== undefined),
    ])
    started = true
    const path = await manager.group(unit.name)
    const place = kept === undefined ? groupAt(path) : await ownGroup(path, kept)
    const group = { ...place, unit: { name: unit.name, whose } }
    await writeFiles(limitWrites(group, limits, 'cgroup.limits'))
    await verifyLimits(group, limits, 'cgroup.limits')
    if (devices !== undefined) await setDevices(group, devices)
    return group
  } catch (error) {
    await kept?.end()
    if (started) await manager.stop(unit.name)
    throw error
  }
}

function groupAt(path: string): GroupFolders {
  const folders = existingFolders(path)
  if (folders.length > 0) return { path, folders }
  throw new CofferdamError(`systemd: its group ${path} is not to be seen here`, {
    code: 'ENOENT',
    path,
    controller: 'cgroup',
    hint: 'mount the hierarchies that systemd has',
  })
}

/** Makes the groups below a scope. */
async function ownGroup(scope: string, { pid }: Placeholder): Promise<GroupFolders> {
  const unified = unifiedOf(groupAt(scope))
  if (unified !== undefined) {
    const folder = join(unified.path, KEPT)
    await runFiles([
      { kind: 'mkdir', path: folder },
      { kind: 'write', path: join(folder, 'cgroup.procs'), value: `${pid}`, controller: 'cgroup' },
    ])
  }
  const { group: made } = await createGroup(join(scope, OWN), {
    controllers: undefined,
    threaded: false,
  })
  return { path: made.path, folders: made.folders.flatMap(splitFolder) }
}

/** Of version 2: all but the number of processes is limited and counted in the scope itself. */
function splitFolder(folder: GroupFolder): GroupFolder[] {
  if (folder.version === 1) return [folder]
  const own = folder.controllers.filter(name => name === 'pids')
  const scopes = folder.controllers.filter(name => name !== 'pids')
  return [
    { ...folder, controllers: own },
    { ...folder, controllers: scopes, path: dirname(folder.path) },
  ]
}

/**
 * A group as {@link createUnit} gave it, known by its place; undefined for others. Of slices only
 * transient ones are taken for such: others are systemd's own.
 */
export async function asUnit({ path, folders }: GroupFolders): Promise<UnitGroup | undefined> {
  const whose: Whose = /\/user@\d+\.service\//.test(path) ? 'user' : 'system'
  const [own, scope] = [basename(path), basename(dirname(path))]
  if (own.endsWith('.slice') && defaultManager() === 'systemd') {
    using manager = await Manager.open(whose)
    const is = await manager.transient(own)
    return is ? { path, folders, unit: { name: own, whose } } : undefined
  }
  const place = folders[0]?.path
  const kept =
    place !== undefined && folders.some(each => existsSync(join(dirname(each.path), KEPT)))
  if (own !== OWN || !scope.endsWith('.scope') || !kept) return undefined
  return { path, folders: folders.flatMap(splitFolder), unit: { name: scope, whose } }
}

/** The group of a unit that is known by its name. */
export async function openUnit(unit: UnitName): Promise<UnitGroup> {
  const whose = ownManager()
  using manager = await Manager.open(whose)
  const path = await manager.group(unit.name)
  const place = groupAt(unit.kind === 'scope' ? join(path, OWN) : path)
  const folders = unit.kind === 'scope' ? place.folders.flatMap(splitFolder) : place.folders
  return { path: place.path, folders, unit: { name: unit.name, whose } }
}

/**
 * The folders of a group that hold processes: all but a second one of version 2, which a scope of
 * systemd's has for its limits.
 */
export function homeOf({ path, folders }: GroupFolders): GroupFolders {
  const unified = unifiedOf({ path, folders })
  return { path, folders: folders.filter(each => each.version === 1 || each === unified) }
}

/** Changes limits, which systemd is told of first; all or nothing. */
export async function setUnit(
  { name, whose }: Unit,
  group: GroupFolders,
  limits: CheckedLimits,
): Promise<void> {
  const isScope = name.endsWith('.scope')
  using manager = await Manager.open(whose)
  const before = await readLimits(group)
  await manager.set(name, limitProperties(limits, isScope))
  try {
    await setLimits(group, limits)
  } catch (error) {
    await manager.set(name, limitProperties(only(before, limits), isScope))
    throw error
  }
}

/** Of some limits those that others name too. */
function only(limits: CheckedLimits, named: CheckedLimits): CheckedLimits {
  return Object.fromEntries(Object.entries(limits).filter(([name]) => name in named))
}

/** Ends a unit, and what is in it; it may be gone already. */
export async function stopUnit({ name, whose }: Unit): Promise<void> {
  using manager = await Manager.open(whose)
  await manager.stop(name)
}

/** The scope that a group is in, or is, of an ordinary user's systemd. */
const USER_SCOPE = /\/user@\d+\.service\/(?:.*\/)?([^/]+\.scope)(\/.*)?$/

/**
 * Whether this program can't put processes into a group, but its user's systemd can do so for
 * it: its own group is elsewhere, and what is above both is not the user's. So it is in a
 * session that has not been started by that systemd, by ssh(1) for instance. cgroups(7),
 * "Cgroups delegation: delegation containment"
 */
export function isFar(group: GroupFolders): boolean {
  const unified = unifiedOf(group)
  if (process.geteuid?.() === 0 || unified === undefined || !USER_SCOPE.test(group.path))
    return false
  const own = hierarchyOfFolder(unified).ownFolder
  let above = unified.path
  while (own !== above && !own?.startsWith(`${above}/`) && above !== '/') above = dirname(above)
  return !mayWrite(join(above, 'cgroup.procs'))
}

/** Has the user's systemd put a process into a group. @returns whether it is one of its groups. */
export async function attachProcess({ path }: GroupFolders, pid: number): Promise<boolean> {
  const [, scope, below = ''] = USER_SCOPE.exec(path) ?? []
  if (scope === undefined || process.geteuid?.() === 0) return false
  using manager = await Manager.open('user')
  await manager.attach(scope, below, [pid])
  return true
}
