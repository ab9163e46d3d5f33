import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { type CofferdamError, readPseudoFile } from '../base/index.js'
import type { Answer, FileOperation } from './batch.js'
import { findController, THREADED, unsupportedController } from './controllers.js'
import { type FileWrite, groupError, runFiles } from './files.js'
import { controllersIn, folderIn, type GroupFolder, type GroupFolders } from './folders.js'
import { type Hierarchy, hierarchiesNow } from './layout.js'
import { CPUSET, madeBy, makeBelow, readsGiven, unmake, withGiven } from './make-below.js'
import { mayWrite } from './names.js'
import { ancestry, noteParents } from './parents.js'

/** What a new group is to have. */
export interface Making {
  /** Controllers that it can't do without; default: all that there are, as far as they can be had. */
  controllers: readonly string[] | undefined
  /** Of those that there are, the ones that its limits need. */
  needed?: readonly string[]
  /** A group of threads, version 2. */
  threaded: boolean
}

/** A group that is to be made. */
export interface PlannedGroup extends GroupFolders {
  readonly hierarchies: readonly Hierarchy[]
  readonly making: Making
}

/**
 * Where a group's folders will be, before anything is done: in the hierarchies of its
 * controllers, and always in the unified one, where there is one.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` for a controller that there is not.
 */
export function planGroup(path: string, making: Making): PlannedGroup {
  const { hierarchies: all, mode } = hierarchiesNow()
  if (all.length === 0) throw unsupportedController('cgroup', all)
  const { controllers, threaded, needed = [] } = making
  const found = controllers?.map(controller => findController(controller, all))
  const hierarchies =
    found === undefined
      ? all.filter(each => each.name === undefined && isAble(each, path))
      : all.filter(
          each =>
            found.some(({ hierarchy }) => hierarchy === each) ||
            (each.version === 2 && isAble(each, path)),
        )
  if (hierarchies.length === 0) throw forbidden(all, path)
  const folders = hierarchies.map((hierarchy): GroupFolder => {
    const folder = folderIn(hierarchy, path)
    if (hierarchy.version === 1)
      return { version: 1, controllers: controllersIn(hierarchy), path: folder }
    // Beside version 1 it is a companion, and what it hands on it could not have processes with.
    const asked =
      found ?? (mode === 'hybrid' ? needed.map(each => findController(each, all)) : undefined)
    const names = asked
      ?.filter(each => each.hierarchy === hierarchy)
      .flatMap(({ name }) => name ?? [])
    const usable = threaded
      ? hierarchy.controllers.filter(name => THREADED.includes(name))
      : hierarchy.controllers
    return { version: 2, controllers: names ?? usable, path: folder }
  })
  return { path, folders, hierarchies, making }
}

/** For who may make a group nowhere. */
function forbidden(all: readonly Hierarchy[], path: string): CofferdamError {
  const last = all.at(-1) as Hierarchy
  const code = all.every(({ readonly }) => readonly) ? 'EROFS' : 'EACCES'
  const errno = -constants.errno[code]
  return groupError('mkdir', folderIn(last, path), { code, errno, syscall: 'mkdir' })
}

/** Whether this program may make groups in the deepest one above this that is there. */
function isAble(hierarchy: Hierarchy, path: string): boolean {
  let up = dirname(path)
  if (mayWrite(folderIn(hierarchy, up))) return true
  while (up !== '/' && !existsSync(folderIn(hierarchy, up))) up = dirname(up)
  return mayWrite(folderIn(hierarchy, up))
}

/** As often a parent may vanish between the making of it and of what is below. */
const TRIES = 100

/**
 * Makes a group in all its hierarchies, and those above it that are missing, and writes its
 * first values; or nothing stays of it.
 */
export async function makeGroup(
  planned: PlannedGroup,
  writes: readonly FileWrite[] = [],
): Promise<GroupFolders> {
  return (await makeBelow(planned, writes)) ?? (await makeWhole(planned, writes))
}

async function makeWhole(
  planned: PlannedGroup,
  writes: readonly FileWrite[],
): Promise<GroupFolders> {
  const { path, hierarchies } = planned
  const folders = planned.folders.map((folder, i) => ({ folder, top: hierarchies[i] as Hierarchy }))
  const last = writes.map((write): FileOperation => ({ kind: 'write', ...write }))
  const reads = readsGiven(planned.folders)
  for (let tries = 1; ; tries++) {
    const makes = folders.flatMap(({ folder, top }) => makeOne(folder, top, path, planned.making))
    const all = [...makes, ...last, ...reads]
    let done: readonly Answer[] = []
    try {
      const answers = await runFiles(all, before => {
        done = before
      })
      noteParents(madeBy(all, answers), planned)
      const given = answers.slice(all.length - reads.length)
      return { path, folders: planned.folders.map(folder => withGiven(folder, given.at(-1))) }
    } catch (error) {
      await unmake(madeBy(all, done))
      if (done.length >= makes.length || !isRace(error as CofferdamError, tries)) throw error
    }
  }
}

/**
 * Another program has removed the parent, which was empty for a moment, or has made it anew, and
 * not yet given it what a cpuset needs.
 */
function isRace({ code, syscall, controller }: CofferdamError, tries: number): boolean {
  if (code === 'ENOENT' && syscall === 'mkdir') return tries < TRIES
  return controller === 'cpuset' && syscall === 'write' && tries < TRIES / 10
}

/** What makes a group in one hierarchy. */
function makeOne(
  folder: GroupFolder,
  hierarchy: Hierarchy,
  path: string,
  making: Making,
): FileOperation[] {
  const chain = ancestry(path).map(each => folderIn(hierarchy, each))
  const operations = chain.flatMap((each): FileOperation[] => {
    const tolerate = each === folder.path ? [] : ['EEXIST']
    return [{ kind: 'mkdir', path: each, tolerate }, ...cpusetOf(folder, each)]
  })
  if (folder.version === 1) return operations
  return [...operations, ...handOn(folder, hierarchy, path, making)]
}

/**
 * A new cpuset of version 1 is empty, takes no process, and has nothing for those below: it gets
 * what the one above has. So does one above that is still so.
 */
function cpusetOf(of: GroupFolder, folder: string): FileOperation[] {
  if (of.version === 2 || !of.controllers.includes('cpuset')) return []
  return CPUSET.flatMap((file): FileOperation[] => {
    const path = join(folder, file)
    if (read(path) !== '') return []
    let value = ''
    for (let up = dirname(folder); value === '' && up !== '/'; up = dirname(up))
      value = read(join(up, file))
    return [{ kind: 'write', path, value }]
  })
}

const read = (path: string) => readPseudoFile(path)?.trim() ?? ''

/**
 * The groups above hand on the controllers, from top to bottom. What was not asked for by name
 * is left out where it can't be had.
 */
function handOn(
  folder: GroupFolder,
  hierarchy: Hierarchy,
  path: string,
  { controllers, threaded, needed = [] }: Making,
): FileOperation[] {
  const above = folder.controllers.length > 0 ? ['/', ...ancestry(path).slice(0, -1)] : []
  const operations = above.flatMap(each => {
    const file = join(folderIn(hierarchy, each), 'cgroup.subtree_control')
    const has = (readPseudoFile(file) ?? '').split(/\s+/)
    return folder.controllers
      .filter(name => !has.includes(name))
      .map((name): FileOperation => {
        const tolerate =
          controllers === undefined && !needed.includes(name)
            ? ['EBUSY', 'EACCES', 'EPERM', 'ENOENT', 'EINVAL', 'EROFS', 'EOPNOTSUPP']
            : []
        return { kind: 'write', path: file, value: `+${name}`, controller: name, tolerate }
      })
  })
  if (!threaded) return operations
  const type = join(folder.path, 'cgroup.type')
  return [...operations, { kind: 'write', path: type, value: 'threaded' }]
}
