import { openSync, readSync } from 'node:fs'
import { groupError } from './files.js'

/** Opens a file of a group; undefined when the kernel has none of that name. */
export function openFile(path: string, flags = 'r'): number | undefined {
  try {
    return openSync(path, flags)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw groupError('open', path, error)
  }
}

const buffer = Buffer.alloc(4096)

/** What an open file says now; undefined when its group has been removed. */
export function readNow(fd: number): string | undefined {
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENODEV') return undefined
    throw error
  }
}
