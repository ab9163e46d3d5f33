import { fstatSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { native } from '../base/index.js'
import { lockExclusively, openDirectory, openInRoot } from '../mounts/index.js'
import { encode, hostStep } from '../plan/index.js'
import type { JournalEntry } from './journal.js'

/** A mount target that init is about to make in the caller's files. */
interface MadeTarget {
  root: string
  /** Device and inode of the root: its path may be another's later. */
  identity: string
  path: string
  kind: 'directory' | 'file'
}

/** Targets that other containers of this program still used when they should have gone. */
const left = new Set<MadeTarget>()

/**
 * Journal entries for a mount target: one for each part of the path that is
 * missing, to be noted before init makes them.
 */
export function targetEntries(root: string, path: string, file: boolean): JournalEntry[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  const prefixes = parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)
  const firstMissing = prefixes.findIndex(prefix => !exists(root, prefix))
  if (firstMissing < 0) return []
  const identity = withDescriptors(root, '/', false, identityOf)
  return prefixes.slice(firstMissing).map((prefix, i, missing) => {
    const made: MadeTarget = {
      root,
      identity,
      path: prefix,
      kind: file && i === missing.length - 1 ? 'file' : 'directory',
    }
    return recordedTarget({ made })
  })
}

/** The journal entry of which this is the record. */
export function recordedTarget(record: object): JournalEntry {
  const { made } = record as { made: MadeTarget }
  return { step: `mount target ${made.path}`, undo: () => removeTarget(made), record: { made } }
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

/** Whether {@link removeLeftTargets} has anything to do. */
export function targetsAreLeft(): boolean {
  return left.size > 0
}

/** Removes what could not be removed before, the latest first. */
export function removeLeftTargets(): void {
  for (const made of [...left].reverse()) {
    left.delete(made)
    removeTarget(made)
  }
}

function identityOf(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return `${dev}:${ino}`
}

/**
 * Removes what was made for a mount, if it is still as it was made: an empty
 * directory, or a file without content. It stays while another container
 * uses the same root, since removing it would undo that one's mount; the last
 * of this program's takes it along.
 */
function removeTarget(made: MadeTarget): void {
  const { root, path, kind } = made
  try {
    if (withDescriptors(root, '/', false, identityOf) !== made.identity) return
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
    if (errno === EAGAIN) {
      left.add(made)
      return
    }
    const gone = errno === ENOENT || code === 'ENOENT'
    const changed = code === 'ENOTEMPTY' || code === 'EBUSY' || code === 'ENOTDIR'
    if (!gone && !changed) throw error
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
