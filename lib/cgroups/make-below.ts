import { dirname } from 'node:path'
import { type Answer, type FileOperation, runBatch } from './batch.js'
import { type FileWrite, runFiles } from './files.js'
import { folderIn, type GroupFolder, type GroupFolders } from './folders.js'
import type { Hierarchy } from './layout.js'
import type { Making, PlannedGroup } from './make.js'
import { ancestry } from './parents.js'

/**
 * By no more operations than those that it takes when the group above is there and hands on all
 * that is needed, as a rule; undefined, and nothing is made, when that does not do.
 */
export async function makeBelow(
  { path, folders, making }: PlannedGroup,
  writes: readonly FileWrite[],
): Promise<GroupFolders | undefined> {
  if (making.threaded) return undefined
  const operations = operationsBelow(folders, writes)
  const { answers, failure } = await runBatch(operations)
  const given = failure === undefined ? givenFolders(folders, answers, making) : undefined
  if (given !== undefined) return { path, folders: given }
  await unmake(madeBy(operations, answers))
  return undefined
}

/**
 * What makes a group where the one above it is there. The last two tell which controllers that has, and
 * which are handed on.
 */
export function operationsBelow(
  folders: readonly GroupFolder[],
  writes: readonly FileWrite[],
  reads: readonly FileOperation[] = [],
): FileOperation[] {
  const makes = folders.flatMap(folder => [
    { kind: 'mkdir', path: folder.path } as const,
    ...copiesTo(folder, folder.path),
  ])
  const all = writes.map((write): FileOperation => ({ kind: 'write', ...write }))
  return [...makes, ...all, ...reads, ...readsAbove(folders), ...readsGiven(folders)]
}

function readsAbove(folders: readonly GroupFolder[]): FileOperation[] {
  const unified = folders.find(({ version }) => version === 2)
  if (unified === undefined || unified.controllers.length === 0) return []
  return [{ kind: 'read', path: `${dirname(unified.path)}/cgroup.controllers` }]
}

/** What makes the groups above, as far as they are missing, and has them hand on controllers. */
export function operationsAbove({ path, folders, hierarchies }: PlannedGroup): FileOperation[] {
  const above = ancestry(path).slice(0, -1)
  return folders.flatMap((folder, i) =>
    above.flatMap((each): FileOperation[] => {
      const at = folderIn(hierarchies[i] as Hierarchy, each)
      const further = [...copiesTo(folder, at), ...handingOn(folder, at)]
      return [{ kind: 'mkdir', path: at, tolerate: ['EEXIST'], skips: further.length }, ...further]
    }),
  )
}

/** A cpuset gets what the one above has. */
function copiesTo({ version, controllers }: GroupFolder, to: string): FileOperation[] {
  if (version === 2 || !controllers.includes('cpuset')) return []
  return CPUSET.map(file => ({
    kind: 'copy',
    path: `${to}/${file}`,
    from: `${dirname(to)}/${file}`,
  }))
}

function handingOn({ version, controllers }: GroupFolder, from: string): FileOperation[] {
  if (version === 1 || controllers.length === 0) return []
  const value = controllers.map(name => `+${name}`).join(' ')
  return [{ kind: 'write', path: `${from}/cgroup.subtree_control`, value }]
}

/** Of version 1, empty at first; then it takes no process, and has nothing for those below. */
export const CPUSET = ['cpuset.cpus', 'cpuset.mems']

export function readsGiven(folders: readonly GroupFolder[]): FileOperation[] {
  const unified = folders.find(({ version }) => version === 2)
  if (unified === undefined) return []
  return [{ kind: 'read', path: `${unified.path}/cgroup.controllers` }]
}

/**
 * The folders with the controllers that they have; undefined if that is less than was asked for, or
 * than the group above could hand on.
 */
export function givenFolders(
  folders: readonly GroupFolder[],
  answers: readonly Answer[],
  { controllers: asked }: Making,
): GroupFolder[] | undefined {
  const made = folders.map(folder => withGiven(folder, answers.at(-1)))
  const [wanted, given] = [folders.at(-1), made.at(-1)]
  if (wanted?.version !== 2 || wanted.controllers.length === 0) return made
  const above = asked === undefined ? `${answers.at(-2)}`.split(/\s+/) : wanted.controllers
  const missing = wanted.controllers.some(
    name => above.includes(name) && !given?.controllers.includes(name),
  )
  return missing ? undefined : made
}

/** Takes back what was made. */
export async function unmake(folders: readonly string[]): Promise<void> {
  const undo = [...folders].reverse()
  await runFiles(undo.map(path => ({ kind: 'rmdir', path, tolerate: BUSY })))
}

/** Of a parent that another program has begun to use, or has removed. */
const BUSY = ['EBUSY', 'ENOTEMPTY', 'ENOENT']

export function withGiven(folder: GroupFolder, given: Answer | undefined): GroupFolder {
  if (folder.version === 1 || typeof given !== 'string') return folder
  return { ...folder, controllers: given.split(/\s+/).filter(Boolean) }
}

/** The folders that operations have made. */
export function madeBy(all: readonly FileOperation[], answers: readonly Answer[]): string[] {
  return all.filter(({ kind }, i) => kind === 'mkdir' && answers[i] === 0).map(each => each.path)
}
