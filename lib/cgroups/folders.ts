import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CofferdamError } from '../base/index.js'
import { controllersOf, type Hierarchy, hierarchiesNow, layoutNow } from './layout.js'
import { below } from './own.js'

/** A group's folder in one hierarchy. */
export interface GroupFolder {
  version: 1 | 2
  /**
   * What can be limited and counted by files in it: those of the hierarchy in version 1, a named
   * one's name as `name=x`; those that the group has been given in version 2.
   */
  controllers: readonly string[]
  /** Absolute, of the host. */
  path: string
}

/** Where a group's files are. */
export interface GroupFolders {
  /** `/cofferdam/demo`, the same below each hierarchy's mount. */
  readonly path: string
  /** Of version 1 first, in the order of the mounts; version 2 last. */
  readonly folders: readonly GroupFolder[]
}

/** The group's folder that has a controller. */
export function folderOf(group: GroupFolders, controller: string): GroupFolder | undefined {
  return group.folders.find(folder => folder.controllers.includes(controller))
}

/** The group's folder of version 2, where the files `cgroup.*` are; it may have no controller. */
export function unifiedOf(group: GroupFolders): GroupFolder | undefined {
  return group.folders.find(({ version }) => version === 2)
}

/** A hierarchy's controllers as a group's folder has them. */
export function controllersIn({ controllers, name }: Hierarchy): string[] {
  return name === undefined ? [...controllers] : [...controllers, `name=${name}`]
}

/** Where a group is in a hierarchy. */
export function folderIn({ mountPoint }: Hierarchy, path: string): string {
  if (path === '/') return mountPoint
  return mountPoint === '/' ? path : mountPoint + path
}

/** The hierarchy that a folder is in: the one mounted nearest above it. */
export function hierarchyOfFolder({ path: folder }: GroupFolder): Hierarchy {
  const found = layoutNow()
    .hierarchies.filter(({ mountPoint }) => `${folder}/`.startsWith(join(mountPoint, '/')))
    .reduce<Hierarchy | undefined>(
      (a, b) => (a !== undefined && a.mountPoint.length > b.mountPoint.length ? a : b),
      undefined,
    )
  if (found === undefined)
    throw new CofferdamError(`${folder}: its hierarchy is not mounted any more`, {
      code: 'ENOENT',
      path: folder,
    })
  return found
}

/** Where the hierarchy is mounted that a folder of a group is in: the path without the group's. */
export function mountPointOf({ path }: GroupFolders, folder: GroupFolder): string {
  return folder.path.slice(0, folder.path.length - path.length)
}

/** The folder of a group as `/proc/PID/cgroup` names it; undefined if the mount does not show it. */
export function folderOfMembership(hierarchy: Hierarchy, membership: string): string | undefined {
  const way = below(hierarchy.root, membership)
  return way === undefined ? undefined : join(hierarchy.mountPoint, way)
}

/** The folders that a group has now, in whichever hierarchies it is. */
export function existingFolders(path: string): GroupFolder[] {
  return hierarchiesNow().hierarchies.flatMap((hierarchy): GroupFolder[] => {
    const folder = folderIn(hierarchy, path)
    if (!existsSync(`${folder}/cgroup.procs`)) return []
    const { version } = hierarchy
    const controllers = version === 1 ? controllersIn(hierarchy) : controllersOf(folder)
    return [{ version, controllers, path: folder }]
  })
}
