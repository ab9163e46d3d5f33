import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { native } from '../base/index.js'
import { digest, lockExclusively, openDirectory, openInRoot } from '../mounts/index.js'
import { encode, hostStep, type Made, O_NOFOLLOW } from '../plan/index.js'
import type { JournalEntry } from './journal.js'

/** A mount target that init is about to make in the caller's files. */
interface MadeTarget extends Made {
  root: string
  /** Device and inode of the root: its path may be another's later. */
  identity: string
  path: string
}

/** Targets that other containers of this program still used when they should have gone. */
const left = new Set<MadeTarget>()

/**
 * Journal entries for a mount target: one for each part of the path that is
 * missing, to be noted before init makes them.
 */
export function targetEntries(root: string, path: string, makes: Made): JournalEntry[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  const prefixes = parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)
  const last = prefixes.length - 1
  const firstMissing = prefixes.findIndex((prefix, i) => !exists(root, prefix, i === last))
  if (firstMissing < 0) return []
  const identity = withDescriptors(root, '/', {}, identityOf)
  return prefixes.slice(firstMissing).map((prefix, i, missing) => {
    const what: Made = i === missing.length - 1 ? makes : { kind: 'directory' }
    return recordedTarget({ made: { ...what, root, identity, path: prefix } })
  })
}

/** The journal entry of which this is the record. */
export function recordedTarget(record: object): JournalEntry {
  const { made } = record as { made: MadeTarget }
  return { step: `mount target ${made.path}`, undo: () => removeTarget(made), record: { made } }
}

function exists(root: string, path: string, last: boolean): boolean {
  try {
    withDescriptors(root, path, { follow: !last }, () => undefined)
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

/** Removes what could not be removed before, what is in a directory before that. */
export function removeLeftTargets(): void {
  for (const made of [...left].sort((a, b) => b.path.length - a.path.length)) {
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
 * directory, a file with the content that it was given. It stays while another
 * container uses the same root, since removing it would undo that one's mount; the
 * last of this program's takes it along.
 */
function removeTarget(made: MadeTarget): void {
  const { root, path, kind } = made
  try {
    if (withDescriptors(root, '/', {}, identityOf) !== made.identity) return
    withDescriptors(root, dirname(path), { exclusive: true }, parent => {
      const entry = `/proc/self/fd/${parent}/${path.slice(path.lastIndexOf('/') + 1)}`
      if (kind === 'directory') rmdirSync(entry)
      else if (isUnchanged(entry, made)) unlinkSync(entry)
    })
  } catch (error) {
    const { errno, code } = error as { errno?: number; code?: string }
    if (errno === EAGAIN) {
      left.add(made)
      return
    }
    const gone = errno === ENOENT || code === 'ENOENT'
    // What the user may not read has been made by nobody here.
    const changed = ['ENOTEMPTY', 'EBUSY', 'ENOTDIR', 'EACCES', 'ELOOP'].includes(code ?? '')
    if (!gone && !changed) throw error
  }
}

/** Whether it is what was made, and nothing that somebody else has put there. */
function isUnchanged(entry: string, { kind, mark }: MadeTarget): boolean {
  const stat = lstatSync(entry)
  if (kind === 'link') return stat.isSymbolicLink() && readlinkSync(entry) === mark
  if (kind === 'device')
    return (stat.isCharacterDevice() || stat.isBlockDevice()) && `${stat.rdev}` === mark
  if (!stat.isFile() || mark === undefined) return stat.isFile() && stat.size === 0
  // Until it is whole nobody may do anything with it; see makeFile() of lib/mounts.
  if ((stat.mode & 0o7777) === 0) return true
  const { O_RDONLY, O_NOFOLLOW: noFollow, O_NONBLOCK } = constants
  const file = openSync(entry, O_RDONLY | noFollow | O_NONBLOCK)
  try {
    return fstatSync(file).isFile() && digest(readFileSync(file)) === mark
  } finally {
    closeSync(file)
  }
}

const ENOENT = 2
const EAGAIN = 11

/** Calls `use` with a descriptor of `path`, resolved without leaving `root`. */
function withDescriptors<T>(
  root: string,
  path: string,
  { exclusive = false, follow = true }: { exclusive?: boolean; follow?: boolean },
  use: (fd: number) => T,
): T {
  const [openRoot, rootSlot] = openDirectory(root)
  const operations = [
    openRoot,
    ...(exclusive ? [lockExclusively(rootSlot)] : []),
    openInRoot(rootSlot, path, undefined, {}, ...(follow ? [] : [O_NOFOLLOW])),
  ]
  const fds = native().run(encode([hostStep('mount target', ...operations)], { hold: true }).bytes)
  try {
    return use(fds.at(-1) as number)
  } finally {
    for (const fd of fds) native().close(fd)
  }
}
