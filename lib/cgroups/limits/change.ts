import { join } from 'node:path'
import { CofferdamError } from '../../base/index.js'
import { readFiles, writeFiles } from '../files.js'
import { folderOf, type GroupFolders } from '../folders.js'
import { PARTITION } from './cpuset.js'
import { type CheckedLimits, kindNames } from './limits.js'
import { KERNEL_LIMIT } from './memory.js'
import { readLimits } from './reading.js'
import { unsupported } from './target.js'
import { undo, undoOf } from './undo.js'
import { toldLimit, toldNumber } from './values.js'
import { limitWrites } from './writes.js'

/**
 * Changes the limits that are named, and no others, while the group runs too. If the kernel
 * refuses one, those before it are set back.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` for what this host can't express, before anything
 * is written; otherwise the kernel's own error: `EBUSY` for memory that is in use, on v1 and
 * with `checkBeforeUpdate`; `EINVAL` and `ERANGE` for what it does not take.
 */
export async function setLimits(
  group: GroupFolders,
  limits: CheckedLimits,
  option = 'limits',
): Promise<void> {
  const named = kindNames.filter(name => limits[name] !== undefined)
  const writes = limitWrites(group, limits, option, await readLimits(group, named))
  if (limits.memory?.checkBeforeUpdate) await checkUsage(group, limits, option)
  const back = await undoOf(writes)
  try {
    await writeFiles(writes)
    await verifyLimits(group, limits, option)
  } catch (error) {
    await undo(back)
    throw error
  }
}

/** The OCI's checkBeforeUpdate: v2 would kill, where v1 refuses. */
async function checkUsage(
  group: GroupFolders,
  { memory }: CheckedLimits,
  option: string,
): Promise<void> {
  const folder = folderOf(group, 'memory')
  if (folder === undefined || memory?.max === undefined || memory.max === 'max') return
  const path = join(folder.path, folder.version === 2 ? 'memory.current' : 'memory.usage_in_bytes')
  const [text] = await readFiles([path])
  const usage = toldNumber(text) ?? 0
  if (usage <= memory.max) return
  throw new CofferdamError(
    `memory: ${option}.memory.max, ${memory.max}, is below usage, ${usage}`,
    {
      code: 'EBUSY',
      option: `${option}.memory.max`,
      controller: 'memory',
      path,
      hint: 'without checkBeforeUpdate the kernel reclaims what it can, and v2 kills for the rest',
    },
  )
}

/**
 * Some values the kernel takes and does not heed. Looks for those, if there are such among
 * the limits that have just been written.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED`.
 */
export async function verifyLimits(
  group: GroupFolders,
  { cpuset, memory }: CheckedLimits,
  option = 'limits',
): Promise<void> {
  const { partition } = cpuset ?? {}
  if (partition !== undefined && partition !== 'member') {
    const told = await readOne(group, 'cpuset', PARTITION)
    // 'root invalid (Cpu list in cpuset.cpus not exclusive)', the reason since Linux 6.0
    if (told !== partition)
      throw unsupported(
        `${option}.cpuset.partition`,
        'cpuset',
        `the kernel can't make one of these processors: ${told}`,
        'name some in cpuset.cpus that no group beside it uses; the group above has to be a partition too, or to have them in cpuset.cpus.exclusive',
      )
  }
  if (memory?.kernel === undefined || memory.kernel === 'max') return
  const held = toldLimit(await readOne(group, 'memory', KERNEL_LIMIT))
  if (held !== memory.kernel)
    throw unsupported(
      `${option}.memory.kernel`,
      'memory',
      `this kernel takes ${KERNEL_LIMIT} and heeds no limit in it`,
      "memory.max counts the kernel's memory too",
    )
}

async function readOne(
  group: GroupFolders,
  controller: string,
  file: string,
): Promise<string | undefined> {
  const folder = folderOf(group, controller)
  if (folder === undefined) return undefined
  const [text] = await readFiles([join(folder.path, file)])
  return text?.trim()
}
