import {
  conflict,
  hostPathOption,
  invalidOption,
  onlyKeys,
  parseSize,
  type Size,
} from '../base/index.js'
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
import {
  attachOverRoot,
  cloneTree,
  MOUNT_ATTR,
  newFileSystem,
  setAttributes,
} from './operations.js'

/** Options of {@link overlay}. */
export interface OverlayOptions {
  /** Directories of the host, the uppermost first. At least one. None is changed. */
  lower: readonly string[]
  /**
   * Directory that takes what the container writes. Default: a file system in
   * memory that goes with the container.
   */
  upper?: string
  /** Empty directory of the same file system as `upper`, which overlayfs works in. */
  work?: string
  /** Most that can be written where no `upper` is given. Default: 512 MiB. */
  size?: Size
}

/** A root that is a copy-on-write view; made by {@link overlay}. */
export interface OverlayRoot {
  type: 'overlay'
  lower: readonly string[]
  upper: string | undefined
  work: string | undefined
  size: number
  readonly?: boolean
}

/** A root that is a directory of the host. */
export interface DirectoryRoot {
  type: 'directory'
  path: string
  readonly: boolean
}

/**
 * A copy-on-write view of one or several directories: all can be changed
 * inside, nothing changes outside. overlayfs, mount(2). Equivalent to:
 * `mount -t overlay -o lowerdir=…,upperdir=…,workdir=… overlay ROOT`
 *
 * An overlay shows the file system that a directory is on and not what is
 * mounted below it. `overlay({ lower: ['/'] })`, the host's own root, is for
 * trying things out: root in the container can read every file of the host
 * through it.
 */
export function overlay(options: OverlayOptions): OverlayRoot {
  onlyKeys('overlay', options, ['lower', 'upper', 'work', 'size'])
  const { lower, upper, work } = options
  if (!Array.isArray(lower) || lower.length === 0)
    throw invalidOption('overlay.lower', 'must be a list of at least one directory')
  if ((upper === undefined) !== (work === undefined))
    throw conflict('overlay', 'upper and work go together: give both, or none')
  if (upper !== undefined && options.size !== undefined)
    throw conflict('overlay.size', 'limits the layer in memory, and upper is given instead')
  return {
    type: 'overlay',
    lower: lower.map(path => hostPathOption('overlay.lower', path)),
    upper: upper === undefined ? undefined : hostPathOption('overlay.upper', upper),
    work: work === undefined ? undefined : hostPathOption('overlay.work', work),
    // The kernel takes 0 for "no limit".
    size: parseSize('overlay.size', options.size ?? '512MiB', 1),
  }
}

/** An {@link OverlayRoot} of unknown make, checked, as a copy of our own. */
export function checkOverlay({ lower, upper, work, size }: OverlayRoot): OverlayRoot {
  return overlay(upper === undefined ? { lower, size } : { lower, upper, work: work ?? '' })
}

/** The directories that a root is made of. */
export function rootDirectories(root: OverlayRoot | DirectoryRoot): string[] {
  if (root.type === 'directory') return [root.path]
  return [...root.lower, ...(root.upper === undefined ? [] : [root.upper, root.work ?? ''])]
}

const MS_REC = named('MS_REC', 0x4000)
const MS_PRIVATE = named('MS_PRIVATE', 1 << 18)

/**
 * Cuts the new mount namespace off from the host's: neither hears of the
 * other's mounts. mount_namespaces(7). Equivalent to: `mount --make-rprivate /`
 */
export function propagationStep(): InitStep {
  return step('propagation', call('mount', ['none', '/', 0, flags(MS_REC, MS_PRIVATE), 0]))
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
 * {@link pivotStep}. With `userAttributes` an overlay keeps its notes in
 * attributes of users, as it has to in a user namespace.
 */
export function rootStep(
  spec: OverlayRoot | DirectoryRoot,
  root: Slot,
  userAttributes = false,
): InitStep {
  return spec.type === 'overlay'
    ? overlayStep(spec, root, userAttributes)
    : directoryStep(spec, root)
}

/**
 * A bind mount of the directory onto itself, as pivot_root wants a mount.
 * `ENOENT` or `ENOTDIR` when it is not there or none.
 */
function directoryStep(spec: DirectoryRoot, root: Slot): InitStep {
  const { readonly } = MOUNT_ATTR
  return step(
    'rootfs',
    cloneTree(AT_FDCWD, spec.path, root, true),
    // What is mounted below it becomes read-only at once, it itself when the
    // mount targets that it lacks have been made.
    ...(spec.readonly
      ? [
          setAttributes(root, { set: [readonly], recursive: true }),
          setAttributes(root, { clear: [readonly] }),
        ]
      : []),
    attachOverRoot(root),
  )
}

/** Commas, colons and backslashes mean something in overlayfs's options. */
export function escapeOption(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&')
}

function overlayStep(spec: OverlayRoot, root: Slot, userAttributes: boolean): InitStep {
  const base = slot('base')
  const lower = spec.lower.map(escapeOption).join(':')
  const upper = spec.upper === undefined ? 'upper' : escapeOption(spec.upper)
  const work = spec.work === undefined ? 'work' : escapeOption(spec.work)
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}${userAttributes ? ',userxattr' : ''}`
  if (Buffer.byteLength(options) > 4095)
    throw invalidOption('overlay.lower', 'its paths together are longer than 4095 bytes')
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
    call('mount', ['overlay', 'root', 'overlay', 0, options]),
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

const MNT_DETACH = named('MNT_DETACH', 2)

/**
 * Makes `root` the root directory and lets go of the host's. pivot_root(2),
 * by the idiom of its manual page that needs no directory for the old root.
 * `EINVAL` where the host's root is an initramfs.
 */
export function pivotStep(root: Slot, spec: OverlayRoot | DirectoryRoot): InitStep {
  const detach = call('umount2', ['.', MNT_DETACH])
  return step(
    'pivot',
    call('fchdir', [root]),
    call('pivot_root', ['.', '.']),
    // The old root now lies on top of the new one; and what an overlay was
    // made in lies on top of the old root.
    ...(spec.type === 'overlay' ? [detach] : []),
    detach,
    call('chdir', ['/']),
  )
}

/** Makes the root itself read-only; what is mounted on it stays as it is. */
export function readonlyRootStep(root: Slot): InitStep {
  return step('read-only root', setAttributes(root, { set: [MOUNT_ATTR.readonly] }))
}
