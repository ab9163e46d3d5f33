import { invalidOption } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  close,
  flags,
  hostStep,
  mode,
  O_CLOEXEC,
  O_WRONLY,
  type Operation,
  Placeholder,
  type Slot,
  slot,
} from '../plan/index.js'
import { enterGroups, type GroupEntry, groupEntry, openFolder } from '../run/index.js'
import type { FileWrite } from './files.js'
import type { GroupFolders } from './folders.js'
import { NAME_MAX } from './names.js'

/**
 * How a process that is to be made gets into a group, before it does anything else and
 * before it leaves its cgroup namespace: its host steps belong to the launch, as does
 * `into`, and `steps` are the first of init's. clone3(2) `CLONE_INTO_CGROUP` on version 2,
 * a write of its own to `tasks` on version 1.
 */
export function entering({ folders }: GroupFolders): GroupEntry {
  return groupEntry(folders)
}

/**
 * A new group for each process, made by the host before there is one, with limits that
 * are in force when it begins: mkdirat(2) in each hierarchy, and what is to be written.
 * It is encoded once: of the paths of `group`, the last part is the placeholder `name`,
 * which is filled in for each process.
 *
 * What has been made stays when a step fails, and is the caller's to remove; the same
 * name can't be made twice (`EEXIST`).
 *
 * @param writes In this order; their paths are in the group's folders. An error that one
 * tolerates leaves it out.
 */
export function making(
  { folders }: GroupFolders,
  writes: readonly FileWrite[],
  name = 'group',
): GroupEntry {
  const places = folders.map(({ version, path }) => {
    const parent = path.slice(0, path.lastIndexOf('/') + 1)
    return { version, path: new Placeholder(name, NAME_MAX, parent), template: path }
  })
  const made = places.map(({ path }) => call('mkdirat', [AT_FDCWD, path, mode(0o755)]))
  const unified = places.find(({ version }) => version === 2)
  const open = new Map<string, Slot>()
  const operations: Operation[] = []
  const folderOf = ({ path, template }: (typeof places)[number]) => {
    const known = open.get(template)
    if (known !== undefined) return known
    const folder = slot('group')
    operations.push(openFolder(path, folder))
    open.set(template, folder)
    return folder
  }
  const file = slot('file')
  for (const { path, value, tolerate = [] } of writes) {
    const place = places.find(({ template }) => path.startsWith(`${template}/`))
    if (place === undefined)
      throw invalidOption('writes', `${path} is in none of the group's folders`)
    const rest = path.slice(place.template.length + 1)
    const about = [place.path, `/${rest}`]
    operations.push(
      call('openat', [folderOf(place), rest, flags(O_WRONLY, O_CLOEXEC)], {
        result: file,
        about,
        ...(tolerate.length > 0 ? { tolerate, skip: 1 } : {}),
      }),
      call('write', [file, value, Buffer.byteLength(value)], { about, tolerate }),
    )
  }
  const into = unified === undefined ? undefined : folderOf(unified)
  if (writes.length > 0) operations.push({ ...close(file), tolerate: ['EBADF'] })
  for (const folder of open.values()) if (folder !== into) operations.push(close(folder))
  const host = [hostStep('make groups', ...made)]
  if (operations.length > 0)
    host.push(hostStep(writes.length > 0 ? 'limits' : 'group', ...operations))
  return { host, into, steps: enterGroups(places) }
}
