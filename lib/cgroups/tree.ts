import { type Dirent, existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { groupError } from './files.js'
import type { GroupFolders } from './folders.js'
import { controllersOf } from './layout.js'
import { goneError } from './tasks.js'

/** The groups right below one, in whichever of its hierarchies; by name. */
export async function childrenOf(group: GroupFolders): Promise<GroupFolders[]> {
  const lists = await Promise.all(group.folders.map(({ path }) => subfolders(path)))
  const names = [...new Set(lists.flat())].sort()
  return names.map(name => ({
    path: join(group.path, name),
    folders: group.folders.flatMap((folder, i) => {
      if (!lists[i]?.includes(name)) return []
      const path = join(folder.path, name)
      return [
        folder.version === 1
          ? { ...folder, path }
          : { ...folder, path, controllers: controllersOf(path) },
      ]
    }),
  }))
}

/** All groups below one, each before those below it. One that vanishes meanwhile has none. */
export async function descendantsOf(group: GroupFolders): Promise<GroupFolders[]> {
  const children = await childrenOf(group)
  const below = await Promise.all(children.map(descendantsOf))
  return children.flatMap((child, i) => [child, ...(below[i] as GroupFolders[])])
}

/** Names of the groups right below a folder; none where it has gone. */
export async function subfolders(path: string): Promise<string[]> {
  let entries: Dirent[]
  try {
    entries = await readdir(path, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw groupError('readdir', path, error)
  }
  return entries.filter(entry => entry.isDirectory()).map(({ name }) => name)
}

/** @throws CofferdamError `ENOENT` for a group that has been removed from all its hierarchies. */
export function mustBeThere(group: GroupFolders): void {
  if (!group.folders.some(({ path }) => existsSync(path))) throw goneError(group)
}
