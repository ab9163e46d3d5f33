import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CofferdamError, invalidOption, onlyKeys, show } from '../base/index.js'
import { attachedProgram, exchangeProgram, loadProgram, type Program } from './bpf.js'
import { listWrites, setOfList } from './device-list.js'
import { decodeProgram, deviceProgram, encodeProgram } from './device-program.js'
import {
  accessBits,
  type CheckedRule,
  checkDeviceRules,
  type DeviceAccess,
  type DeviceRule,
  defaultDeviceRules,
} from './device-rules.js'
import { allowedBits, type DeviceSet, deviceSet, isEverything, rulesOf } from './device-set.js'
import { type FileWrite, readFiles, writeFiles } from './files.js'
import { type GroupFolder, type GroupFolders, unifiedOf } from './folders.js'
import { goneError } from './tasks.js'

/** Rules on devices that have been checked, and are the same for any number of groups. */
export interface Devices {
  readonly set: DeviceSet
}

let defaults: Devices | undefined

/** @throws CofferdamError `ERR_INVALID_OPTION` naming `option`. */
export function devicesOption(option: string, rules: unknown): Devices {
  if (rules === defaultDeviceRules) {
    defaults ??= { set: deviceSet(checkDeviceRules(option, rules)) }
    return defaults
  }
  const checked: CheckedRule[] = checkDeviceRules(option, rules)
  return { set: deviceSet(checked) }
}

/**
 * The normal form of rules, without what makes no difference: what {@link Cgroup.devices} gives of a
 * group that has them.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`.
 */
export function normalDeviceRules(rules: readonly (DeviceRule | string)[]): DeviceRule[] {
  return rulesOf(devicesOption('devices', rules).set)
}

/**
 * Whether rules allow an access, all of it.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`.
 */
export function allowsDevice(
  rules: readonly (DeviceRule | string)[],
  access: DeviceAccess,
): boolean {
  const { set } = devicesOption('devices', rules)
  onlyKeys('access', access, ['type', 'major', 'minor', 'access'])
  const { type, major, minor } = access
  if (type !== 'b' && type !== 'c')
    throw invalidOption('access.type', `${show(type)} is neither b nor c`)
  const wanted = accessBits('access.access', access.access)
  return (wanted & ~allowedBits(set, type, major, minor)) === 0
}

/** Where rules on devices can go. */
export function devicePlaces(group: GroupFolders) {
  const old = group.folders.find(
    ({ version, controllers }) => version === 1 && controllers.includes('devices'),
  )
  const unified = unifiedOf(group)
  if (old === undefined && unified === undefined)
    throw new CofferdamError(`devices: ${group.path} is in no hierarchy that knows them`, {
      code: 'ERR_UNSUPPORTED',
      option: 'devices',
      controller: 'devices',
      hint: 'they take the devices controller of version 1, or a mount of version 2: mount -t cgroup2',
    })
  return { old, unified }
}

/** Version 1 knows only what is allowed in addition to something, or refused in addition. */
export function inexpressible(path: string): CofferdamError {
  return new CofferdamError(`devices: the controller of version 1 can't keep to these rules`, {
    code: 'ERR_UNSUPPORTED',
    option: 'devices',
    path,
    controller: 'devices',
    hint: 'a rule takes some devices out of what another one, of all minor or all major numbers, says: mount -t cgroup2, where a program keeps to any rules, or say them without',
  })
}

/**
 * Has a group keep to rules. On hosts that have both, the controller of version 1 does it where
 * it can, and a program of version 2 where it can't: for rules that it does not know, and for
 * a group in use in which all was allowed, since on the way from there it would refuse all.
 */
export async function setDevices(group: GroupFolders, { set }: Devices): Promise<void> {
  await keepTo(group, set, false)
}

/** What makes a new group keep to rules, where all is allowed in the one above it. */
export interface DeviceRecipe {
  writes: readonly FileWrite[]
  /** The list of version 1, and what it says then. */
  list?: { path: string; text: string }
  /** Attached to the folder of version 2. */
  program?: Program
}

/** The same for a new group; gives what does it for others, if that can be told. */
export async function setFirstDevices(
  group: GroupFolders,
  { set }: Devices,
): Promise<DeviceRecipe | undefined> {
  return await keepTo(group, set, true)
}

async function keepTo(
  group: GroupFolders,
  set: DeviceSet,
  fresh: boolean,
): Promise<DeviceRecipe | undefined> {
  const { old, unified } = devicePlaces(group)
  const before = old === undefined ? undefined : await listIn(old.path)
  const gap = before?.trim() === ALL_ALLOWED && !isEverything(set)
  const avoids =
    !fresh && unified !== undefined && gap && old !== undefined && (await isUsed(old.path))
  const writes =
    old === undefined || before === undefined || avoids
      ? undefined
      : gap || before.trim() !== ALL_ALLOWED || unified === undefined
        ? listWrites(old.path, before, set, unified === undefined)
        : []
  if (writes === undefined && unified === undefined) throw inexpressible(old?.path ?? group.path)
  // First the one that is to keep to the rules, so that at no moment nobody does.
  const byProgram = writes === undefined && !isEverything(set)
  const program = byProgram ? programOf(set) : undefined
  if (writes !== undefined) await writeOrRestore(old as GroupFolder, before as string, writes)
  if (unified !== undefined) exchangeProgram(unified.path, program)
  if (writes === undefined && old !== undefined && before?.trim() !== ALL_ALLOWED)
    await writeFiles(listWrites(old.path, before ?? '', everything) as FileWrite[])
  const isShown = writes === undefined || !hasHidden(set)
  if (isShown) await verify(group, set)
  if (!fresh || !isShown || (old !== undefined && before?.trim() !== ALL_ALLOWED)) return undefined
  const path = old === undefined ? undefined : `${old.path}/devices.list`
  return {
    writes: writes ?? [],
    ...(path === undefined ? {} : { list: { path, text: await listIn(old?.path as string) } }),
    ...(program === undefined ? {} : { program }),
  }
}

/** What `devices.list` says where all is allowed; or where exceptions from that are not shown. */
export const ALL_ALLOWED = 'a *:* rwm'

const everything = devicesOption('devices', ['a']).set

/** Whether version 1 keeps to a set by exceptions that it does not show. */
function hasHidden(set: DeviceSet): boolean {
  return listWrites('', '', set) === undefined
}

async function listIn(folder: string): Promise<string> {
  const [text] = await readFiles([join(folder, 'devices.list')])
  if (text !== undefined) return text
  throw goneError({ path: folder, folders: [] })
}

/** Whether there are processes or further groups in it. */
async function isUsed(folder: string): Promise<boolean> {
  const [processes] = await readFiles([join(folder, 'cgroup.procs')])
  if (processes !== undefined && processes !== '') return true
  return readdirSync(folder, { withFileTypes: true }).some(entry => entry.isDirectory())
}

/** Of a list it is all or nothing. */
async function writeOrRestore({ path }: GroupFolder, before: string, writes: readonly FileWrite[]) {
  try {
    await writeFiles(writes)
  } catch (error) {
    const back = listWrites(path, await listIn(path), setOfList(before)) ?? []
    await writeFiles(back).catch(() => undefined) // what is worse than the first error is not known
    throw error
  }
}

/** What was set is what there is, or the kernel has not done what it said. */
async function verify(group: GroupFolders, set: DeviceSet): Promise<void> {
  const [wanted, found] = [JSON.stringify(rulesOf(set)), JSON.stringify(await readDevices(group))]
  if (wanted === found) return
  throw new CofferdamError(`devices: ${group.path} was to have ${wanted} and has ${found}`, {
    code: 'EIO',
    controller: 'devices',
    hint: 'another program changes the same group',
  })
}

/**
 * The rules that a group keeps to, apart from those of groups above and of other programs that
 * may be attached to it.
 */
export async function readDevices(group: GroupFolders): Promise<DeviceRule[]> {
  const { old, unified } = devicePlaces(group)
  const program = unified && attachedProgram(unified.path)
  if (program !== undefined) {
    const set = decodeProgram(program.instructions)
    if (set !== undefined) return rulesOf(set)
    throw new CofferdamError(`devices: program ${program.number} can't be made sense of`, {
      code: 'ERR_UNSUPPORTED',
      path: unified?.path,
      controller: 'devices',
      hint: 'another version of this package has attached it',
    })
  }
  return rulesOf(old === undefined ? everything : setOfList(await listIn(old.path)))
}

/** The program that keeps to a set of rules. */
export function programOf(set: DeviceSet): Program {
  return loadProgram(encodeProgram(deviceProgram(set)))
}
