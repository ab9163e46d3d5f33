import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import { groupError } from './files.js'
import type { GroupFolders } from './folders.js'
import { layoutNow } from './layout.js'

/** Of version 1, where the kernel has no list of its own; cgroups(7). */
const LEGACY = ['cgroup.procs', 'tasks']

/** Hands a group on to a user; see Cgroup.delegate(). */
export async function delegateGroup(
  { folders }: GroupFolders,
  uid: number,
  gid: number,
): Promise<void> {
  const { delegate } = layoutNow()
  for (const { version, path } of folders)
    for (const file of ['', ...(version === 1 ? LEGACY : delegate)])
      try {
        await chown(join(path, file), uid, gid)
      } catch (error) {
        // Not all groups have all of them.
        const missing = file !== '' && (error as NodeJS.ErrnoException).code === 'ENOENT'
        if (!missing) throw groupError('chown', join(path, file), error)
      }
}
