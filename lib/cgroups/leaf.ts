import { CofferdamError, readPseudoFile } from '../base/index.js'
import { folderOfMembership, type GroupFolders, hierarchyOfFolder, unifiedOf } from './folders.js'
import { parseMembership } from './membership.js'

/**
 * The same group, but of version 2 the one below it that a process of it is in. For another
 * process that is to join it when the group itself can have none: who was given it has made
 * groups of its own in it, and a group that hands on controllers (`cgroup.subtree_control`)
 * has no processes, so clone3(2) fails with `EBUSY`. What runc and crun do in that case.
 *
 * @throws CofferdamError `ESRCH` when there is no such process, or it is not in that group.
 */
export function leafOf(group: GroupFolders, pid: number): GroupFolders {
  const unified = unifiedOf(group)
  if (unified === undefined) return group
  const text = readPseudoFile(`/proc/${pid}/cgroup`) ?? ''
  const own = parseMembership(text).find(({ hierarchy }) => hierarchy === 0)?.path
  // A group that has been removed under a process that has ended is marked so; cgroups(7).
  const path = own === undefined ? undefined : folderOfMembership(hierarchyOfFolder(unified), own)
  if (path !== unified.path && !path?.startsWith(`${unified.path}/`))
    throw new CofferdamError(`cgroup: process ${pid} is not in ${unified.path}`, {
      code: 'ESRCH',
      path: unified.path,
    })
  const folders = group.folders.map(folder =>
    folder === unified ? { ...folder, path: path as string } : folder,
  )
  return { path: group.path, folders }
}
