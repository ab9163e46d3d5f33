import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

interface Parent {
  watcher: FSWatcher
  inode: bigint | undefined
  /** By the name of the folder. */
  listeners: Map<string, Set<() => void>>
}

const parents = new Map<string, Parent>()

/** What tells a folder of a group from another of its name, before or after it: no number is given twice. */
export function inodeOf(folder: string): bigint | undefined {
  return statSync(folder, { bigint: true, throwIfNoEntry: false })?.ino
}

/**
 * Calls back when a folder has been removed from the one that it is in, or something of its name
 * has come; the kernel tells of that there, and not in the group's own files. All that are watched
 * in one folder share a watch, and all of this program one descriptor. It keeps the program not
 * alive. inotify(7)
 *
 * @returns What ends it; undefined when it can't be watched, for the limits of inotify.
 */
export function watchRemoval(folder: string, removed: () => void): (() => void) | undefined {
  const [path, name] = [dirname(folder), basename(folder)]
  const known = parents.get(path)
  // Another of its name may have come since.
  const parent = known?.inode === inodeOf(path) && known !== undefined ? known : watchParent(path)
  if (parent === undefined) return undefined
  const listeners = parent.listeners.get(name) ?? new Set()
  parent.listeners.set(name, listeners)
  listeners.add(removed)
  return () => {
    listeners.delete(removed)
    if (listeners.size > 0 || parent.listeners.get(name) !== listeners) return
    parent.listeners.delete(name)
    if (parent.listeners.size > 0) return
    parent.watcher.close()
    if (parents.get(path) === parent) parents.delete(path)
  }
}

function watchParent(path: string): Parent | undefined {
  const listeners: Parent['listeners'] = new Map()
  const inode = inodeOf(path)
  let watcher: FSWatcher
  try {
    watcher = watch(path, { persistent: false }, (_event, name) => {
      for (const removed of [...(listeners.get(String(name)) ?? [])]) removed()
    })
  } catch {
    return undefined
  }
  // The folder that is watched has itself been removed: so have those in it.
  watcher.on('error', () => {
    if (parents.get(path) === parent) parents.delete(path)
    for (const each of [...listeners.values()]) for (const removed of [...each]) removed()
  })
  const parent = { watcher, inode, listeners }
  parents.set(path, parent)
  return parent
}
