import { join } from 'node:path'
import {
  CofferdamError,
  invalidOption,
  type Membership,
  parseMembership,
  show,
} from '../base/index.js'
import { type FileOperation, operationText, runList } from './batch.js'
import { failureOf, readFiles, runFiles } from './files.js'
import {
  folderOfMembership,
  type GroupFolder,
  type GroupFolders,
  hierarchyOfFolder,
  unifiedOf,
} from './folders.js'
import type { ListKind } from './quick.js'

/** The processes of a group, whichever of its hierarchies they are in; in ascending order. */
export async function processesOf(group: GroupFolders): Promise<number[]> {
  return numbersIn(group, () => 'cgroup.procs')
}

/** The threads of a group. */
export async function threadsOf(group: GroupFolders): Promise<number[]> {
  return numbersIn(group, ({ version }) => (version === 1 ? 'tasks' : 'cgroup.threads'))
}

async function numbersIn(group: GroupFolders, file: (folder: GroupFolder) => string) {
  const texts = await readFiles(group.folders.map(folder => join(folder.path, file(folder))))
  if (texts.every(text => text === undefined)) throw goneError(group)
  return parseNumbers(texts.join('\n'))
}

/** Numbers, one a line; others are skipped: 0 is a process of another PID namespace. */
function parseNumbers(text: string): number[] {
  const numbers = text
    .split('\n')
    .flatMap(line => (/^[1-9]\d{0,9}$/.test(line) ? Number(line) : []))
  return [...new Set(numbers)].sort((a, b) => a - b)
}

/** For a group that is not there any more. */
export function goneError({ path, folders }: GroupFolders): CofferdamError {
  return new CofferdamError(`${path}: there is no such group any more`, {
    code: 'ENOENT',
    path: folders[0]?.path ?? path,
    controller: 'cgroup',
    hint: 'somebody has removed it',
  })
}

/** Puts a process into a group, in all of its hierarchies or in none. */
export async function addProcess(group: GroupFolders, pid: number): Promise<void> {
  checkNumber('pid', pid)
  await move(group.folders, pid, () => 'cgroup.procs')
}

/** The same for a single thread. */
export async function addTask(group: GroupFolders, tid: number): Promise<void> {
  checkNumber('tid', tid)
  // Beside version 1, a companion that is no group of threads is left out: it takes whole processes.
  const unified = unifiedOf(group)
  const [type] = unified === undefined ? [] : await readFiles([join(unified.path, 'cgroup.type')])
  const apart = group.folders.length > 1 && type?.trim() !== 'threaded'
  const folders = group.folders.filter(({ version }) => version === 1 || !apart)
  await move(folders, tid, ({ version }) => (version === 1 ? 'tasks' : 'cgroup.threads'))
}

function checkNumber(option: string, number: unknown): void {
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > 2 ** 31 - 1)
    throw invalidOption(option, `${show(number)} is no number of a process or thread`)
}

async function move(
  folders: readonly GroupFolder[],
  id: number,
  file: (folder: GroupFolder) => string,
): Promise<void> {
  // To go back there, should it get into some only.
  const membership = `/proc/${id}/cgroup`
  let list = operationText('read', membership)
  for (const folder of folders)
    list += operationText('write', `${folder.path}/${file(folder)}`, `${id}`)
  const answers = await runList(list, MOVES)
  if (answers.errno === undefined) return
  const writes = folders.map(folder => writeTo(folder.path, file(folder), id))
  const [text] = answers.texts
  if (text === undefined) throw noProcess(id, answers.errno)
  const back = folders.slice(0, answers.done - 1).reverse()
  const memberships = parseMembership(text)
  const returns = back.flatMap(folder => {
    const from = formerFolder(folder, memberships)
    return from === undefined ? [] : [writeTo(from, file(folder), id)]
  })
  await runFiles(returns.map(write => ({ ...write, tolerate: ['ESRCH'] })))
  throw failureOf([{ kind: 'read', path: membership }, ...writes], answers)
}

const MOVES: ListKind = { short: true, moves: true }

function noProcess(id: number, errno: number): CofferdamError {
  return new CofferdamError(`process ${id}: there is none`, {
    code: 'ESRCH',
    errno,
    path: `/proc/${id}`,
  })
}

const writeTo = (folder: string, file: string, id: number): FileOperation => ({
  kind: 'write',
  path: `${folder}/${file}`,
  value: `${id}`,
  controller: 'cgroup',
})

function formerFolder(folder: GroupFolder, before: readonly Membership[]): string | undefined {
  const own = before.find(({ hierarchy, controllers }) =>
    folder.version === 2
      ? hierarchy === 0
      : controllers.some(one => folder.controllers.includes(one)),
  )
  if (own === undefined) return undefined
  const group = hierarchyOfFolder(folder)
  return folderOfMembership(group, own.path)
}
