import { join } from 'node:path'
import { CofferdamError, invalidOption, show } from '../base/index.js'
import { controllerOf, readFiles, writeFiles } from './files.js'
import { folderOf, type GroupFolder, type GroupFolders, unifiedOf } from './folders.js'

/** The folders where a file may be, the likeliest first. */
function candidates(group: GroupFolders, file: string): GroupFolder[] {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(file))
    throw invalidOption('file', `${show(file)} is no name of a group's file`)
  const likely = folderOf(group, controllerOf(file)) ?? unifiedOf(group)
  const others = group.folders.filter(folder => folder !== likely)
  return likely === undefined ? others : [likely, ...others]
}

async function find(group: GroupFolders, file: string): Promise<[path: string, text: string]> {
  for (const folder of candidates(group, file)) {
    const path = join(folder.path, file)
    const [text] = await readFiles([path])
    if (text !== undefined) return [path, text]
  }
  const controller = controllerOf(file)
  throw new CofferdamError(`${controller}: ${group.path} has no file ${file}`, {
    code: 'ENOENT',
    path: join(group.folders[0]?.path ?? group.path, file),
    controller,
    hint: 'the kernel or the group does not have it, or the group has been removed',
  })
}

/** What a file of a group says, wherever it is. */
export async function readGroupFile(group: GroupFolders, file: string): Promise<string> {
  return (await find(group, file))[1]
}

/** Writes a file of a group, wherever it is. Some can't be read, so it is tried in each folder. */
export async function writeGroupFile(group: GroupFolders, file: string, value: unknown) {
  if (typeof value !== 'string' || value.includes('\0'))
    throw invalidOption('value', `${show(value)} is no text without NUL characters`)
  const all = candidates(group, file)
  for (const [i, folder] of all.entries()) {
    try {
      const path = join(folder.path, file)
      return await writeFiles([{ path, value, controller: controllerOf(file) }])
    } catch (error) {
      const { code, syscall } = error as CofferdamError
      if (code !== 'ENOENT' || syscall === 'write' || i === all.length - 1) throw error
    }
  }
}
