import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { CofferdamError, conflict, identify, native, nativeError } from '../base/index.js'
import { call, hostStep, slot } from '../plan/index.js'
import { runHost } from '../run/index.js'
import { type FileOperation, operationText, runList } from './batch.js'
import { allProcesses, killGroup, requireOutside, whoIsIn } from './control.js'
import { GroupEvents } from './events/events.js'
import { runFiles } from './files.js'
import { type GroupFolder, type GroupFolders, unifiedOf } from './folders.js'
import { forgetParents, removableParents } from './parents.js'
import type { ListKind } from './quick.js'
import { descendantsOf } from './tree.js'
import {
  type Deadline,
  deadlineOf,
  lookUntil,
  TimeOut,
  timeOutError,
  waitForFile,
  waitForProcess,
} from './waiting.js'

/** As long a removal may take, if nothing else is said. */
export const MOST_TIME = '10s'

/** Removes a group with all below it; see Cgroup.delete(). */
export async function removeGroup(
  group: GroupFolders,
  kill: boolean,
  asked?: Deadline,
): Promise<void> {
  if (group.path === '/') throw conflict('delete', "'/' can't be removed")
  if (kill) {
    GroupEvents.beforeRemoval(group.path)
    if (await isRemovedAtOnce(group)) return
  } else if ((await allProcesses(group)).length > 0) throw await busy(group)
  const deadline = asked ?? deadlineOf('delete', {}, MOST_TIME)
  try {
    await lookUntil(async round => {
      GroupEvents.beforeRemoval(group.path)
      if (await isRemoved(group)) return true
      if (!kill) throw await busy(group)
      const left = present(group)
      requireOutside(left, 'delete')
      await killGroup(left, constants.signals.SIGKILL)
      await untilEmpty(left, { ...deadline, at: Math.min(deadline.at, again(round)) })
      GroupEvents.beforeRemoval(group.path)
      return (await isRemoved(group)) ? true : undefined
    }, deadline)
  } catch (error) {
    throw timeOutError('it does not become empty', group.path, error, await whoIsIn(group))
  }
}

/** As most can be: they have no processes any more, and none below. */
async function isRemovedAtOnce(group: GroupFolders): Promise<boolean> {
  if (removableParents(group).length > 0) return await areRemoved([group], group)
  let list = ''
  for (let i = group.folders.length - 1; i >= 0; i--)
    list += operationText('rmdir', (group.folders[i] as GroupFolder).path, '', [ENOENT])
  // What else went wrong shows when it is done again.
  return (await runList(list, QUICK)).errno === undefined
}

const QUICK: ListKind = { short: true, moves: false }

const { ENOENT } = constants.errno

async function busy(group: GroupFolders): Promise<CofferdamError> {
  return new CofferdamError(`${group.path}: there are processes in it, or below`, {
    code: 'EBUSY',
    syscall: 'rmdir',
    path: group.folders[0]?.path ?? group.path,
    controller: 'cgroup',
    hint: `${await whoIsIn(group)}; kill them, or leave out kill: false`,
  })
}

/** Then those are ended that somebody has put in meanwhile; later each time, to a second. */
const again = (round: number) => performance.now() + Math.min(100 * 2 ** round, 1000)

/** What is left of it: a process may be in some of its hierarchies only. */
function present({ path, folders }: GroupFolders): GroupFolders {
  return { path, folders: folders.filter(folder => existsSync(folder.path)) }
}

/** Tries to remove it; false while there is a process in it or below. */
async function isRemoved(group: GroupFolders): Promise<boolean> {
  // Most have none below.
  if (await areRemoved([group], group)) return true
  return areRemoved([...(await descendantsOf(group)).reverse(), group], group)
}

const GONE = ['ENOENT']

const UNUSED = ['EBUSY', 'ENOTEMPTY', 'ENOENT', 'EACCES', 'EPERM', 'EROFS']

/**
 * Version 2 first: what it refuses, the others would as a rule. At last the groups above that
 * were made for it, if nobody else uses them.
 */
async function areRemoved(groups: readonly GroupFolders[], last: GroupFolders): Promise<boolean> {
  const removes: FileOperation[] = []
  for (const { folders } of groups)
    for (let i = folders.length - 1; i >= 0; i--)
      removes.push({ kind: 'rmdir', path: (folders[i] as GroupFolder).path, tolerate: GONE })
  const parents = removableParents(last)
  for (const path of parents) removes.push({ kind: 'rmdir', path, tolerate: UNUSED })
  try {
    const answers = await runFiles(removes)
    const own = removes.length - parents.length
    forgetParents(parents.filter((_, i) => answers[own + i] === 0))
    return true
  } catch (error) {
    const { code } = error as CofferdamError
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false
    throw error
  }
}

/**
 * Waits until all that were there have ended. Of version 2 the kernel tells; in version 1 alone
 * each process is waited for.
 */
async function untilEmpty(group: GroupFolders, deadline: Deadline): Promise<void> {
  const unified = unifiedOf(group)
  try {
    if (unified !== undefined)
      await waitForFile(join(unified.path, 'cgroup.events'), isEmpty, deadline)
    for (const pid of await allProcesses(group)) await untilEnded(pid, deadline)
  } catch (error) {
    if (!(error instanceof TimeOut)) throw error
  }
}

const isEmpty = (events: string) => /^populated 0$/m.test(events)

async function untilEnded(pid: number, deadline: Deadline): Promise<void> {
  const identity = identify(pid)
  if (identity === undefined) return
  const result = slot('pidfd')
  let pidfd: number | undefined
  try {
    pidfd = runHost(hostStep('pidfd', call('pidfd_open', [pid, 0], { result })))
  } catch (error) {
    const typed = nativeError('pidfd_open', error) as CofferdamError
    if (typed.code === 'ESRCH') return
    throw typed
  }
  try {
    await waitForProcess(pidfd, identity, deadline)
  } finally {
    native().close(pidfd)
  }
}
