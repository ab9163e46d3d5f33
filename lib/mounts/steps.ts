import {
  AT_FDCWD,
  type HostPath,
  type InitStep,
  type Named,
  type Operation,
  type Slot,
  slot,
  step,
  target,
} from '../plan/index.js'
import {
  attach,
  cloneTree,
  MOUNT_ATTR,
  newFileSystem,
  openInRoot,
  setAttributes,
} from './operations.js'

/** Where mounts go. */
export interface Place {
  /** The root directory that targets are resolved in. */
  root: Slot
  /** Making a missing target changes the caller's files: the host takes note. */
  journal: boolean
  /** Where the target lies on the host, if not below the rootfs. */
  onHost?: HostPath
  /** Device files there can't be opened unless they are mounts of their own. */
  nodev?: boolean
}

/** Opens the place for a mount and puts the tree there. */
export function put(
  tree: Slot,
  path: string,
  { root, ...place }: Place,
  how: { file?: boolean | undefined; strict?: boolean } = {},
): Operation[] {
  const at = slot('target')
  const { file, strict = false } = how
  const open = target(root, path, at, { ...place, strict, file: file === true })
  if (!('file' in how) || file !== undefined) return [open, attach(tree, at)]
  // Of what kind it has to be is not known, so that which is there is taken as it is.
  const there = openInRoot(root, path, at, { tolerate: ['ENOENT'], otherwise: 1 })
  return [there, open, attach(tree, at)]
}

/** A new instance of a file system, or a bind of the one that is there. */
export type Origin = 'new' | 'bind'

/**
 * The kernel's own file system of this type; with `'bind'` the one at `path`,
 * with all that is mounted, and hidden, below it.
 */
function kernelFileSystem(
  type: string,
  path: string,
  result: Slot,
  origin: Origin,
  ...set: Named[]
): Operation[] {
  if (origin === 'new') return newFileSystem(type, slot('fs'), result, {}, ...set)
  return [cloneTree(AT_FDCWD, path, result, true), setAttributes(result, { set, recursive: true })]
}

/**
 * Mounts proc, which shows the processes of init's PID namespace, and leaves it
 * in `proc`. proc(5). `EPERM` where an outer container has masked parts of its
 * own proc; `ELOOP` when the image has a symbolic link there, with which it
 * could have the masks go elsewhere (CVE-2019-19921).
 * Equivalent to: `mount -t proc -o nosuid,nodev,noexec proc /proc`
 */
export function procStep(place: Place, proc: Slot, origin: Origin = 'new'): InitStep {
  const { nosuid, nodev, noexec } = MOUNT_ATTR
  return step(
    'proc',
    ...kernelFileSystem('proc', '/proc', proc, origin, nosuid, nodev, noexec),
    ...put(proc, '/proc', place, { strict: true }),
  )
}

/**
 * Mounts sysfs read-only and leaves it in `sys`; its `/sys/class/net` is that
 * of init's network namespace. sysfs(5). Errors as {@link procStep}. Equivalent
 * to: `mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys`
 */
export function sysStep(place: Place, sys: Slot, origin: Origin = 'new'): InitStep {
  const { readonly, nosuid, nodev, noexec } = MOUNT_ATTR
  return step(
    'sysfs',
    ...kernelFileSystem('sysfs', '/sys', sys, origin, readonly, nosuid, nodev, noexec),
    ...put(sys, '/sys', place, { strict: true }),
  )
}
