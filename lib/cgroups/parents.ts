import { type GroupFolders, mountPointOf } from './folders.js'
import { DEFAULT_PARENT } from './names.js'

/** Every group from below the topmost to this one: `/a`, `/a/b`. */
export function ancestry(path: string): string[] {
  const parts = path.split('/').slice(1)
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)
}

/** Groups that this program has made on the way to others, and removes when they are empty. */
const madeParents = new Set<string>()

export function forgetParents(folders: readonly string[]): void {
  for (const folder of folders) madeParents.delete(folder)
}

/** Folders of groups above, deepest first, that go when nobody uses them any more. */
export function removableParents(group: GroupFolders): string[] {
  if (madeParents.size === 0 && !group.path.startsWith(`${DEFAULT_PARENT}/`)) return []
  const above = ancestry(group.path).slice(0, -1).reverse()
  return above.flatMap(path => {
    const removed = group.folders.flatMap(folder => {
      const up = mountPointOf(group, folder) + path
      return path === DEFAULT_PARENT || madeParents.has(up) ? [up] : []
    })
    return removed
  })
}

/** Keeps in mind which of the folders that were made are of groups above this one. */
export function noteParents(made: readonly string[], { folders }: GroupFolders): void {
  for (const each of made) if (!folders.some(({ path }) => path === each)) madeParents.add(each)
}
