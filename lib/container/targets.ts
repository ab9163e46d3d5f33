import { fstatSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { native } from '../base/index.js'
import { lockExclusively, openDirectory, openInRoot } from '../mounts/index.js'
import { encode, hostStep } from '../plan/index.js'
import type { JournalEntry } from './journal.js'

/** A mount target that init is about to make in the caller's files. */
interface MadeTarget {
  root: string
  path: string
  kind: 'directory' | 'file'
}

/**
 * Journal entries for a mount target: one for each part of the path that is
 * missing, to be noted before init makes them.
 */
export function targetEntries(root: string, path: string, file: boolean): JournalEntry[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  const prefixes = parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)
  const firstMissing = prefixes.findIndex(prefix => !exists(root, prefix))
  if (firstMissing < 0) return []
  return prefixes.slice(firstMissing).map((prefix, i, missing) => {
    const made: MadeTarget = {
      root,
      path: prefix,
      kind: file && i === missing.length - 1 ? 'file' : 'directory',
    }
    return { step: `mount target ${prefix}`, undo: () => removeTarget(made), record: { made } }
  })
}

function exists(root: string, path: string): boolean {
  try {
    withDescriptors(root, path, false, () => undefined)
    return true
  } catch (error) {
    if ((error as { errno?: number }).errno === ENOENT) return false
    throw error
  }
}

/**
 * Removes what was made for a mount, if it is still as it was made: an empty
 * directory, or a file without content. It stays while another container
 * uses the same root, since removing it would undo that one's mount.
 */
function removeTarget({ root, path, kind }: MadeTarget): void {
  try {
    if (kind === 'file') {
      const changed = withDescriptors(root, path, true, fd => {
        const stat = fstatSync(fd)
        return !stat.isFile() || stat.size > 0
      })
      if (changed) return
    }
    withDescriptors(root, dirname(path), true, parent => {
      const entry = `/proc/self/fd/${parent}/${path.slice(path.lastIndexOf('/') + 1)}`
      if (kind === 'file') unlinkSync(entry)
      else rmdirSync(entry)
    })
  } catch (error) {
    const { errno, code } = error as { errno?: number; code?: string }
    const gone = errno === ENOENT || code === 'ENOENT'
    const changed = code === 'ENOTEMPTY' || code === 'EBUSY' || code === 'ENOTDIR'
    const shared = errno === EAGAIN
    if (!gone && !changed && !shared) throw error
  }
}

const ENOENT = 2
const EAGAIN = 11

/** Calls `use` with a descriptor of `path`, resolved without leaving `root`. */
function withDescriptors<T>(
  root: string,
  path: string,
  exclusive: boolean,
  use: (fd: number) => T,
): T {
  const [openRoot, rootSlot] = openDirectory(root)
  const operations = [
    openRoot,
    ...(exclusive ? [lockExclusively(rootSlot)] : []),
    openInRoot(rootSlot, path),
  ]
  const fds = native().run(encode([hostStep('mount target', ...operations)], { hold: true }).bytes)
  try {
    return use(fds.at(-1) as number)
  } finally {
    for (const fd of fds) native().close(fd)
  }
}
