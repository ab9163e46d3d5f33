import { invalidOption } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type HostStep,
  hostStep,
  type InitStep,
  mode,
  type Named,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  type Operation,
  type Slot,
  slot,
  step,
} from '../plan/index.js'
import { attributeFlags } from './attributes.js'
import {
  attachAt,
  attachOverRoot,
  cloneTree,
  MOUNT_ATTR,
  MS,
  newFileSystem,
  setAttributes,
} from './operations.js'
import { checkOverlay, type OverlayRoot, overlayText } from './overlay.js'
import { setPropagation } from './propagation.js'
import { type EmptyRoot, emptyRoot, type TmpfsOptions, tmpfsData } from './tmpfs.js'

/** A root that is a directory of the host. */
export interface DirectoryRoot {
  type: 'directory'
  path: string
  readonly: boolean
}

/** What a container's root can be. */
export type Root = OverlayRoot | DirectoryRoot | EmptyRoot

/** An overlay or a tmpfs of unknown make, checked, as one of our own. */
export function checkRoot(root: OverlayRoot | EmptyRoot): OverlayRoot | EmptyRoot {
  if (root?.type === 'overlay' && root.target === undefined) return checkOverlay(root)
  if (root?.type === 'tmpfs' && root.target === '/') {
    const { type: _, target: _target, ...options } = root
    return emptyRoot(options as TmpfsOptions)
  }
  throw invalidOption('rootfs', 'must be a path, an overlay() without a target, or an emptyRoot()')
}

/** The directories that a root is made of. */
export function rootDirectories(root: Root): string[] {
  if (root.type === 'tmpfs') return []
  if (root.type === 'directory') return [root.path]
  return [
    ...root.lower,
    ...(root.dataOnly ?? []),
    ...(root.upper === undefined ? [] : [root.upper, root.work ?? '']),
  ]
}

const LOCK_SH = named('LOCK_SH', 1)
const LOCK_EX = named('LOCK_EX', 2)
const LOCK_NB = named('LOCK_NB', 4)

/**
 * Holds a shared lock on a directory for as long as the container lives.
 * Whoever wants to remove a mount target from it takes the exclusive lock
 * first: removing one that another container uses would undo its mount.
 * flock(2). Where the file system has no locks it does without.
 */
export function lockStep(path: string): HostStep {
  const [open, directory] = openDirectory(path)
  return hostStep('lock the rootfs', open, lock(directory, LOCK_SH))
}

/** The lock that {@link lockStep} holds off. `EAGAIN` while somebody has any. */
export function lockExclusively(directory: Slot): Operation {
  return lock(directory, LOCK_EX)
}

function lock(directory: Slot, kind: Named): Operation {
  return call('flock', [directory, flags(kind, LOCK_NB)], { tolerate: ['EOPNOTSUPP', 'ENOLCK'] })
}

/** Opens a directory of the host for reading. */
export function openDirectory(path: string): [Operation, Slot] {
  const directory = slot('rootfs')
  const how = flags(O_RDONLY, O_DIRECTORY, O_CLOEXEC)
  return [call('openat', [AT_FDCWD, path, how], { result: directory }), directory]
}

/**
 * Mounts the root file system on top of the host's root and opens it as
 * `root`. The host's root stays what paths are resolved in, until
 * it is changed. With `userAttributes` an overlay keeps its notes in attributes of
 * users, as it has to in a user namespace.
 */
export function rootStep(spec: Root, root: Slot, options: RootOptions = {}): InitStep {
  switch (spec.type) {
    case 'overlay':
      return overlayStep(spec, root, options)
    case 'tmpfs':
      return memoryStep(spec, root, options)
    case 'directory':
      return directoryStep(spec, root, options)
  }
}

/** How a root is mounted. */
export interface RootOptions {
  /** Device files in it can't be opened. Default: true. */
  nodev?: boolean
  /** An overlay keeps its notes in attributes of users. */
  userAttributes?: boolean
  /** It has been cloned already, by {@link peerRootStep}. */
  peer?: boolean
  /** It stays where it is, for a root that is changed to by chroot(2). */
  inPlace?: boolean
}

/**
 * Clones a root directory before the mount namespace is cut off from the host's, so
 * that it goes on hearing of what is mounted below it there.
 */
export function peerRootStep({ path }: DirectoryRoot, root: Slot): InitStep {
  return step('peer of the rootfs', cloneTree(AT_FDCWD, path, root, true))
}

/** An empty root. tmpfs(5). It becomes read-only, if ever, when it has been filled. */
function memoryStep(spec: EmptyRoot, root: Slot, { nodev = true }: RootOptions): InitStep {
  const attributes = attributeFlags({ ...spec, nodev, readonly: false })
  return step(
    'rootfs',
    ...newFileSystem('tmpfs', slot('fs'), root, tmpfsData(spec), ...attributes),
    attachOverRoot(root),
  )
}

/**
 * A bind mount of the directory onto itself, as pivot_root wants a mount.
 * `ENOENT` or `ENOTDIR` when it is not there or none.
 */
function directoryStep(
  spec: DirectoryRoot,
  root: Slot,
  { nodev = true, peer = false, inPlace = false }: RootOptions,
): InitStep {
  const { readonly } = MOUNT_ATTR
  const set = [...(nodev ? [MOUNT_ATTR.nodev] : []), ...(spec.readonly ? [readonly] : [])]
  return step(
    'rootfs',
    ...(peer ? [] : [cloneTree(AT_FDCWD, spec.path, root, true)]),
    // What is mounted below it becomes read-only at once, it itself when the
    // mount targets that it lacks have been made.
    ...(set.length > 0 ? [setAttributes(root, { set, recursive: true })] : []),
    ...(spec.readonly ? [setAttributes(root, { clear: [readonly] })] : []),
    inPlace ? attachAt(root, AT_FDCWD, spec.path) : attachOverRoot(root),
    // The container's own mounts are not to be made on the host as well.
    ...(peer ? setPropagation(root, ['rslave']) : []),
  )
}

function overlayStep(
  spec: OverlayRoot,
  root: Slot,
  { nodev = true, userAttributes = false }: RootOptions,
): InitStep {
  const base = slot('base')
  const features = userAttributes ? { ...spec, userxattr: true } : spec
  const options = overlayText(features, spec.upper ?? 'upper', spec.work ?? 'work')
  return step(
    'rootfs',
    ...newFileSystem('tmpfs', slot('fs'), base, { size: `${spec.size}`, mode: '755' }),
    attachOverRoot(base),
    call('mkdirat', [base, 'root', mode(0o755)]),
    ...(spec.upper === undefined
      ? [
          call('mkdirat', [base, 'upper', mode(0o755)]),
          call('mkdirat', [base, 'work', mode(0o700)]),
        ]
      : []),
    // Relative paths, since nothing else names what lies on the new root.
    call('fchdir', [base]),
    call('mount', ['overlay', 'root', 'overlay', nodev ? MS.nodev : 0, options]),
    call('openat', [AT_FDCWD, 'root', flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], { result: root }),
  )
}

/** Opens the root that the process has already, where no other was asked for. */
export function hostRootStep(root: Slot): InitStep {
  return step(
    'root',
    call('openat', [AT_FDCWD, '/', flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], { result: root }),
  )
}

/** Makes the root itself read-only; what is mounted on it stays as it is. */
export function readonlyRootStep(root: Slot): InitStep {
  return step('read-only root', setAttributes(root, { set: [MOUNT_ATTR.readonly] }))
}
