import { constants } from 'node:fs'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  type Made,
  MNT_DETACH,
  mode,
  type Named,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  type Operation,
  type OperationOptions,
  type Slot,
  slot,
  step,
  target,
} from '../plan/index.js'
import {
  contentOf,
  type DeviceEntry,
  type DirectoryEntry,
  deviceNumber,
  digest,
  type FileEntry,
  type Ownership,
  type SymlinkEntry,
} from './entries.js'
import {
  attach,
  attachOverRoot,
  cloneTree,
  letGo,
  MOUNT_ATTR,
  newFileSystem,
  openInRoot,
  setAttributes,
} from './operations.js'
import { type Place, put } from './steps.js'

// What is made by name is made in a directory that is held open, by calls that
// follow no symbolic link in the last part, and fail when something is there.

const O_CREAT = named('O_CREAT', constants.O_CREAT)
const O_EXCL = named('O_EXCL', constants.O_EXCL)
const AT_SYMLINK_NOFOLLOW = named('AT_SYMLINK_NOFOLLOW', 0x100)

/** "Leave it as it is"; chown(2). */
const NOBODY = named('-1', 0xffffffff)

/** Opens the directory that it is to be in. */
function parentOf(path: string, { root, ...place }: Place, makes: Made): [Operation, Slot, string] {
  const parent = slot('parent')
  const name = path.slice(path.lastIndexOf('/') + 1)
  return [target(root, path, parent, { ...place, makes }), parent, name]
}

function isOwned({ uid, gid }: Ownership): boolean {
  return uid !== undefined || gid !== undefined
}

function ids({ uid, gid }: Ownership) {
  return [uid ?? NOBODY, gid ?? NOBODY]
}

function changeOwner(parent: Slot, name: string, owner: Ownership): Operation[] {
  if (!isOwned(owner)) return []
  return [call('fchownat', [parent, name, ...ids(owner), AT_SYMLINK_NOFOLLOW])]
}

export function directoryStep(entry: DirectoryEntry, place: Place): InitStep {
  const [open, parent, name] = parentOf(entry.target, place, { kind: 'directory' })
  const made = slot('directory')
  // What mkdir(2) does not do itself.
  const special = isOwned(entry) || (entry.mode & 0o6000) !== 0
  const finish = special
    ? [
        call('openat', [parent, name, flags(O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC)], {
          result: made,
        }),
        call('fchown', [made, ...ids(entry)]),
        call('fchmod', [made, mode(entry.mode)]),
      ]
    : []
  return step(
    `directory ${entry.target}`,
    open,
    call('mkdirat', [parent, name, mode(entry.mode)], {
      tolerate: ['EEXIST'],
      skip: finish.length,
    }),
    ...finish,
    openInRoot(place.root, entry.target, slot('directory'), {}, O_DIRECTORY),
  )
}

export function symlinkStep(entry: SymlinkEntry, place: Place): InitStep {
  const [open, parent, name] = parentOf(entry.target, place, { kind: 'link', mark: entry.to })
  return step(
    `symlink ${entry.target}`,
    open,
    call('symlinkat', [entry.to, parent, name]),
    ...changeOwner(parent, name, entry),
  )
}

/**
 * Makes the file with its content. It has no permissions until it is whole. Its
 * room is taken first, since write(2) may do only a part.
 */
function makeFile(entry: FileEntry, directory: Slot, name: string): Operation[] {
  const made = slot('file')
  const bytes = contentOf(entry)
  const how = flags(O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_CLOEXEC)
  return [
    call('openat', [directory, name, how, mode(0)], { result: made }),
    ...(bytes.length > 0
      ? [
          call('fallocate', [made, 0, 0, bytes.length], { tolerate: ['EOPNOTSUPP'] }),
          call('write', [made, { bytes, text: `<${bytes.length} bytes>` }, bytes.length]),
        ]
      : []),
    ...(isOwned(entry) ? [call('fchown', [made, ...ids(entry)])] : []),
    call('fchmod', [made, mode(entry.mode)]),
    // As long as it is open for writing its mount can't become read-only.
    letGo(made, directory),
  ]
}

/** @param tree Of one that is mounted: its clone, if it has been made already. */
export function fileStep(entry: FileEntry, place: Place, tree?: Slot): InitStep {
  const name = `file ${entry.target}`
  if (entry.mount) {
    const own = tree ?? slot('tree')
    const make = tree === undefined ? fileInMemory(entry, own, place.root) : []
    return step(name, ...make, ...put(own, entry.target, place, { file: true }))
  }
  const makes: Made = { kind: 'file', mark: digest(contentOf(entry)) }
  const [open, parent, last] = parentOf(entry.target, place, makes)
  return step(name, open, ...makeFile(entry, parent, last))
}

/**
 * A file of a file system of its own, which is left in `tree`. That is attached for a
 * moment, over the root of a mount namespace that is private: what is nowhere attached
 * can be cloned since Linux 6.15 only. Then the process is in `directory`.
 */
export function fileInMemory(entry: FileEntry, tree: Slot, directory: Slot): Operation[] {
  const memory = slot('memory')
  const { readonly, nosuid, nodev } = MOUNT_ATTR
  return [
    ...inMemory(memory, contentOf(entry).length, [nosuid, nodev], directory, [
      ...makeFile(entry, memory, 'file'),
      cloneTree(memory, 'file', tree, false),
    ]),
    ...(entry.readonly ? [setAttributes(tree, { set: [readonly] })] : []),
  ]
}

/** Makes and clones one file of so many bytes in a file system that is attached meanwhile. */
function inMemory(
  memory: Slot,
  bytes: number,
  attributes: Named[],
  directory: Slot,
  make: Operation[],
): Operation[] {
  const options = { mode: '700', nr_inodes: '2', size: `${bytes + (64 << 10)}` }
  return [
    ...newFileSystem('tmpfs', slot('fs'), memory, options, ...attributes),
    attachOverRoot(memory),
    ...make,
    call('fchdir', [memory]),
    call('umount2', ['.', MNT_DETACH]),
    call('fchdir', [directory]),
  ]
}

const S_IFREG = named('S_IFREG', 0o100000)
const S_IFCHR = named('S_IFCHR', 0o020000)
const S_IFBLK = named('S_IFBLK', 0o060000)

/**
 * Makes the device file; with `source`, a device of the host that it is the same
 * as, that is bound where no such files may be made.
 */
export function deviceStep(entry: DeviceEntry, place: Place, hostHasIt: boolean): InitStep {
  if (place.nodev) return mountedDeviceStep(entry, place)
  const makes: Made = { kind: 'device', mark: `${deviceNumber(entry)}` }
  const [open, parent, name] = parentOf(entry.target, place, makes)
  const owner = changeOwner(parent, name, entry)
  const bound = hostHasIt ? boundDevice(entry, place, owner.length) : []
  const fallback = hostHasIt ? { tolerate: ['EPERM', 'EEXIST'], otherwise: bound.length } : {}
  return step(
    `device ${entry.target}`,
    open,
    makeDevice(entry, parent, name, fallback),
    ...bound,
    ...owner,
  )
}

function makeDevice(
  entry: DeviceEntry,
  parent: Slot,
  name: string,
  options: OperationOptions = {},
) {
  const kind = entry.kind === 'c' ? S_IFCHR : S_IFBLK
  const number = named(`makedev(${entry.major}, ${entry.minor})`, deviceNumber(entry))
  return call('mknodat', [parent, name, flags(kind, mode(entry.mode)), number], options)
}

/**
 * A device file where such can't be opened: over an empty file it is a mount of its own, of
 * a file system in which nobody else can make any.
 */
function mountedDeviceStep(entry: DeviceEntry, place: Place): InitStep {
  const [memory, tree, at] = [slot('memory'), slot('device'), slot('target')]
  const { nosuid, noexec } = MOUNT_ATTR
  const makes: Made = { kind: 'file', mark: digest(Buffer.alloc(0)) }
  const [open, parent, name] = parentOf(entry.target, place, makes)
  return step(
    `device ${entry.target}`,
    ...inMemory(memory, 0, [nosuid, noexec], place.root, [
      makeDevice(entry, memory, 'device'),
      ...changeOwner(memory, 'device', entry),
      cloneTree(memory, 'device', tree, false),
    ]),
    open,
    call('mknodat', [parent, name, S_IFREG, 0]),
    call('openat', [parent, name, flags(O_PATH, O_NOFOLLOW, O_CLOEXEC)], { result: at }),
    attach(tree, at),
  )
}

/** Leaves out so many operations at its end: they would change the host's file. */
function boundDevice(entry: DeviceEntry, { root, ...place }: Place, skip: number): Operation[] {
  const [tree, at] = [slot('device'), slot('target')]
  const { nosuid, noexec } = MOUNT_ATTR
  return [
    cloneTree(AT_FDCWD, entry.source, tree, false),
    setAttributes(tree, { set: [nosuid, noexec] }),
    target(root, entry.target, at, { ...place, file: true }),
    { ...attach(tree, at), ...(skip > 0 ? { otherwise: skip } : {}) },
  ]
}
