import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CofferdamError, conflict, identify, readPseudoFile } from '../base/index.js'
import { findController } from './controllers.js'
import { readFiles, writeFiles } from './files.js'
import { folderOf, type GroupFolder, type GroupFolders, unifiedOf } from './folders.js'
import { layoutNow } from './layout.js'
import { goneError, processesOf } from './tasks.js'
import { descendantsOf, subfolders } from './tree.js'
import { type Deadline, lookUntil, timeOutError, waitForFile } from './waiting.js'

/** Where a group is stopped: version 2's own file, or the controller of version 1. */
function freezer(group: GroupFolders): GroupFolder {
  const folder = unifiedOf(group) ?? folderOf(group, 'freezer')
  if (folder !== undefined && group.path !== '/') return folder
  findController('freezer', layoutNow().hierarchies)
  throw new CofferdamError(`freezer: the group ${group.path} can't be frozen`, {
    code: 'ERR_UNSUPPORTED',
    controller: 'freezer',
    hint:
      group.path === '/'
        ? 'it is the topmost one'
        : 'it has no folder in the freezer hierarchy, or in the unified one',
  })
}

/** Stops all processes of a group and of those below; see Cgroup.freeze(). */
export async function freezeGroup(group: GroupFolders, deadline: Deadline): Promise<void> {
  requireOutside(group, 'freeze')
  const folder = freezer(group)
  try {
    if (folder.version === 2) await freezeUnified(folder, '1', deadline)
    else await freezeLegacy(folder, deadline)
  } catch (error) {
    await thawGroup(group, { at: Number.POSITIVE_INFINITY, signal: undefined }).catch(
      () => undefined,
    )
    throw timeOutError('it could not be frozen in time', group.path, error, await whoIsIn(group))
  }
}

/** Lets them go on. */
export async function thawGroup(group: GroupFolders, deadline: Deadline): Promise<void> {
  const folder = freezer(group)
  const legacy = folderOf(group, 'freezer')
  try {
    if (legacy?.version === 1)
      await writeFiles([
        { path: join(legacy.path, 'freezer.state'), value: 'THAWED', controller: 'freezer' },
      ])
    if (folder.version === 2) await freezeUnified(folder, '0', deadline)
  } catch (error) {
    throw timeOutError(
      'it could not be thawed in time',
      group.path,
      error,
      'a group above it is frozen',
    )
  }
}

/** Whether all processes of a group are stopped, by itself or by a group above. */
export async function isFrozen(group: GroupFolders): Promise<boolean> {
  const folder = freezer(group)
  const [state] = await readFiles([stateFile(folder)])
  if (state === undefined) throw goneError({ path: folder.path, folders: [] })
  return saysFrozen(state)
}

/** The same, at once: a look into one file. False where there is nothing to look into. */
export function isFrozenNow(group: GroupFolders): boolean {
  const folder = unifiedOf(group) ?? folderOf(group, 'freezer')
  return folder !== undefined && saysFrozen(readPseudoFile(stateFile(folder)) ?? '')
}

const stateFile = ({ version, path }: GroupFolder) =>
  join(path, version === 2 ? 'cgroup.events' : 'freezer.state')

/** Of either version's file. */
const saysFrozen = (state: string) => /^(frozen 1|FROZEN)$/m.test(state)

async function freezeUnified({ path }: GroupFolder, value: '0' | '1', deadline: Deadline) {
  await writeFiles([{ path: join(path, 'cgroup.freeze'), value, controller: 'cgroup' }])
  // One below a frozen group stays so, whatever is written to its own file.
  const wanted = (events: string) => saysFrozen(events) === (value === '1')
  if ((await waitForFile(join(path, 'cgroup.events'), wanted, deadline)) === undefined)
    throw goneError({ path, folders: [] })
  // The kernel says so of a group whose own processes have stopped, before those below have.
  for (const below of await folderBelow(path, value === '0'))
    await waitForFile(join(below, 'cgroup.events'), wanted, deadline)
}

/** The folders below one; without those that are frozen by themselves, if that is wanted. */
async function folderBelow(path: string, thawed: boolean): Promise<string[]> {
  const children = await subfolders(path)
  const own = thawed ? await readFiles(children.map(each => join(path, each, 'cgroup.freeze'))) : []
  const wanted = children.filter((_, i) => own[i]?.trim() !== '1').map(each => join(path, each))
  const below = await Promise.all(wanted.map(each => folderBelow(each, thawed)))
  return wanted.flatMap((each, i) => [each, ...(below[i] as string[])])
}

/** A look in that many rounds, it is thawed for a moment: what forks meanwhile may hold it up. */
const ROUNDS = 8

/**
 * The freezer of version 1 tells nobody when it is done; freezer-subsystem.rst of the kernel. A
 * task that is just being moved or made may have been missed, so FROZEN is written again.
 */
async function freezeLegacy({ path }: GroupFolder, deadline: Deadline): Promise<void> {
  const file = join(path, 'freezer.state')
  const write = (value: string) => writeFiles([{ path: file, value, controller: 'freezer' }])
  await lookUntil(async round => {
    if (round > 0 && round % ROUNDS === 0) await write('THAWED')
    await write('FROZEN')
    const [state] = await readFiles([file])
    if (state === undefined) throw goneError({ path, folders: [] })
    return saysFrozen(state) ? true : undefined
  }, deadline)
}

/** Sends a signal to all processes of a group and of those below; see Cgroup.kill(). */
export async function killGroup(group: GroupFolders, signal: number): Promise<void> {
  requireOutside(group, 'kill')
  if (group.path === '/') throw conflict('kill', "'/' has all processes that there are")
  const unified = unifiedOf(group)
  const file = unified === undefined ? undefined : join(unified.path, 'cgroup.kill')
  if (signal !== SIGKILL || file === undefined || !existsSync(file))
    return signalGroup(group, signal)
  const strays = await straysOf(group, unified as GroupFolder)
  await writeFiles([{ path: file, value: '1', controller: 'cgroup' }])
  send(strays, signal)
}

const SIGKILL = 9

/** Those that are in a group of version 1, and not in its companion. */
async function straysOf(group: GroupFolders, unified: GroupFolder): Promise<number[]> {
  const legacy = group.folders.filter(({ version }) => version === 1)
  if (legacy.length === 0) return []
  const all = await allProcesses({ ...group, folders: legacy })
  if (all.length === 0) return []
  const known = new Set(await allProcesses({ ...group, folders: [unified] }))
  return all.filter(pid => !known.has(pid))
}

/** Of a group and of those below. */
export async function allProcesses(group: GroupFolders): Promise<number[]> {
  const groups = [group, ...(await descendantsOf(group))]
  const lists = await Promise.all(groups.map(each => processesOf(each).catch(ignoreGone)))
  return [...new Set(lists.flat())]
}

function ignoreGone(error: unknown): number[] {
  if ((error as CofferdamError).code === 'ENOENT') return []
  throw error
}

/** As often it is done where they can't be stopped. */
const MOST_ROUNDS = 100

/**
 * Stopped, none can fork and get away, or end and leave its number to another. Where they
 * can't be stopped, it is done over and over until no new ones turn up.
 */
async function signalGroup(group: GroupFolders, signal: number): Promise<void> {
  const told = new Set<string>()
  const round = async () => {
    const pids = await allProcesses(group)
    // A number may be another process's by now.
    const names = pids.map(pid => `${pid} ${identify(pid)?.startTime}`)
    send(
      pids.filter((_, i) => !told.has(names[i] as string)),
      signal,
    )
    const fresh = names.filter(name => !told.has(name))
    for (const name of fresh) told.add(name)
    return fresh.length
  }
  const deadline: Deadline = { at: performance.now() + 2000, signal: undefined }
  const frozen = await isFrozen(group).catch(() => false)
  try {
    if (!frozen) await freezeGroup(group, deadline)
    await round()
  } catch (error) {
    const { code } = error as CofferdamError
    if (code !== 'ERR_UNSUPPORTED' && code !== 'ETIMEDOUT') throw error
    for (let rounds = 0; rounds < MOST_ROUNDS && (await round()) > 0; rounds++);
    return
  }
  // Who was stopped before stays so, unless it is to end: version 1 ends nobody that is.
  if (!frozen || signal === SIGKILL) await thawGroup(group, deadline)
}

function send(pids: readonly number[], signal: number): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

/** Who stops or ends the group that it is in never comes to the end of it. */
export function requireOutside(group: GroupFolders, option: string): void {
  const own = layoutNow().hierarchies.flatMap(({ ownFolder }) => ownFolder ?? [])
  const inside = group.folders.some(({ path }) =>
    own.some(folder => folder === path || folder.startsWith(`${path}/`)),
  )
  if (inside && group.path !== '/')
    throw conflict(option, `this program is itself in ${group.path}, or below`)
}

/** Names of those that are in a group, as far as a message has room for them. */
export async function whoIsIn(group: GroupFolders): Promise<string> {
  const pids = await allProcesses(group)
  const names = pids
    .slice(0, 8)
    .map(pid => `${pid} (${(readPseudoFile(`/proc/${pid}/comm`) ?? '?').trim()})`)
  if (pids.length === 0) return 'nobody is in it now'
  return `in it: ${names.join(', ')}${pids.length > names.length ? ` and ${pids.length - names.length} more` : ''}`
}
