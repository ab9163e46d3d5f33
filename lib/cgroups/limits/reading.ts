import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readFiles } from '../files.js'
import { folderOf, type GroupFolder, type GroupFolders } from '../folders.js'
import { goneError } from '../tasks.js'
import { cpusOfQuota } from './cpu.js'
import { type CheckedLimits, kindNames, kindOf } from './limits.js'
import type { LimitNumber } from './values.js'

/** What limits hold: the normal form, and `cpus` as well. */
export interface ToldLimits extends CheckedLimits {
  cpus?: LimitNumber
}

type KindName = (typeof kindNames)[number]

interface Found {
  name: KindName
  version: 1 | 2
  /** Path by name of the file. */
  files: Map<string, string>
}

function find(group: GroupFolders, name: KindName): Found | undefined {
  const files = new Map<string, string>()
  let version: 1 | 2 | undefined
  for (const source of kindOf(name).sources) {
    let folder: GroupFolder | undefined
    for (const controller of source.controllers) folder ??= folderOf(group, controller)
    if (folder === undefined) continue
    version = folder.version
    for (const file of source.files(version)) files.set(file, join(folder.path, file))
  }
  return version === undefined ? undefined : { name, version, files }
}

function isThere({ folders }: GroupFolders): boolean {
  return folders.some(({ path }) => existsSync(path))
}

/**
 * The limits that hold for a group itself; those above it may be lower. A controller that
 * the group does not have, and what its kernel does not know, is left out. Only of
 * `kinds`, if they are given.
 *
 * @throws CofferdamError `ENOENT` when the group has been removed.
 */
export async function readLimits(
  group: GroupFolders,
  kinds: readonly KindName[] = kindNames,
): Promise<ToldLimits> {
  const found = kinds.map(name => find(group, name)).filter(kind => kind !== undefined)
  const paths = found.flatMap(({ files }) => [...files.values()])
  const texts = await readFiles(paths)
  if (paths.length > 0 && texts.every(text => text === undefined) && !isThere(group))
    throw goneError(group)
  const byPath = new Map(paths.map((path, i) => [path, texts[i]]))
  const limits: Record<string, unknown> = {}
  for (const { name, version, files } of found) {
    const value = kindOf(name).read(file => byPath.get(files.get(file) ?? ''), version)
    if (value !== undefined) limits[name] = value
  }
  const told = limits as ToldLimits
  const cpus = cpusOfQuota(told.cpu)
  return cpus === undefined ? told : { cpus, ...told }
}
