import { openSync, readSync } from 'node:fs'
import {
  CofferdamError,
  Descriptor,
  invalidOption,
  type MountInfo,
  parseMountInfo,
} from '../base/index.js'
import { call, flags, O_CLOEXEC, O_RDONLY, slot } from '../plan/index.js'
import type { Errand } from '../run/index.js'
import { newFileSystem } from './operations.js'

/**
 * Whose mounts: those of a process, by its number, or of this program; or a table
 * that has been opened, by {@link openTable} say.
 */
export type MountsOf = number | 'self' | Descriptor

/**
 * The mounts of a process's mount namespace that can be reached from its root
 * directory, lower ones before those that are on them. Equivalent to:
 * `findmnt --task PID`, `cat /proc/PID/mountinfo`
 *
 * @throws CofferdamError `ENOENT` when there is no such process, or proc shows it to
 * nobody else (`hidepid=2`), `EPERM` when this user may not look into it
 * (`hidepid=1`), `EINVAL` when it has just ended.
 */
export async function list(process: MountsOf = 'self'): Promise<MountInfo[]> {
  const table = openTableOf(process)
  try {
    return readTable(table.fd)
  } finally {
    if (table !== process) table.close()
  }
}

/**
 * An errand for `namespaces.run()` that opens the table of a mount namespace which
 * need not have a process, or a proc of its own. Needs CAP_SYS_ADMIN there.
 *
 * ```ts
 * using table = await namespaces.run({ mount: '/run/pinned/mnt' }, mounts.openTable())
 * const list = await mounts.list(table)
 * ```
 */
export function openTable(): Errand<Descriptor> {
  const [context, proc, result] = [slot('fs'), slot('proc'), slot('table')]
  return {
    name: 'open the table of mounts',
    operations: [
      // What is at /proc there may be anything.
      ...newFileSystem('proc', context, proc),
      call('openat', [proc, 'self/mountinfo', flags(O_RDONLY, O_CLOEXEC)], { result }),
    ],
    result,
    take: descriptor => descriptor,
  }
}

/** Opens a process's table; one that is open is given back. */
export function openTableOf(process: MountsOf): Descriptor {
  if (process instanceof Descriptor) {
    if (process.fd < 0) throw invalidOption('process', 'is a descriptor that has been closed')
    return process
  }
  if (process !== 'self' && !(Number.isInteger(process) && process > 0))
    throw invalidOption('process', "is no process; its number, 'self' or a Descriptor are")
  const path = `/proc/${process}/mountinfo`
  try {
    return new Descriptor(openSync(path, 'r'))
  } catch (cause) {
    throw tableError(path, cause as NodeJS.ErrnoException)
  }
}

/** Reads a table from its beginning. It is the kernel's memory, so nothing is waited for. */
export function readTable(fd: number): MountInfo[] {
  let bytes = Buffer.allocUnsafeSlow(65_536)
  for (let used = 0; ; ) {
    if (used === bytes.length) bytes = Buffer.concat([bytes], used * 2)
    const size = readAt(fd, bytes, used)
    if (size === 0) return parseMountInfo(bytes.subarray(0, used))
    used += size
  }
}

/** The kernel gives a page at a time. */
function readAt(fd: number, bytes: Buffer, at: number): number {
  try {
    return readSync(fd, bytes, at, bytes.length - at, at)
  } catch (cause) {
    throw tableError(`descriptor ${fd}`, cause as NodeJS.ErrnoException)
  }
}

function tableError(path: string, cause: NodeJS.ErrnoException): CofferdamError {
  const { code = 'EIO', errno = 0, syscall } = cause
  const details = { code, errno: -errno, syscall, path, cause }
  return new CofferdamError(`${path}: ${code}`, details)
}
