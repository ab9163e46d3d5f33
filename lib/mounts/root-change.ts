import {
  AT_FDCWD,
  call,
  type InitStep,
  MNT_DETACH,
  type Operation,
  type Slot,
  step,
} from '../plan/index.js'
import { attachAt } from './operations.js'
import { type PropagationMode, setPropagation } from './propagation.js'
import type { Root } from './root.js'

/** How a process comes to have another root directory; see `Container.rootfs()`. */
export type RootChange = 'pivot' | 'move' | 'chroot'

/** The names of the steps that change the root. */
const names: Record<RootChange, string> = {
  pivot: 'pivot',
  move: 'move root',
  chroot: 'chroot',
}

/** All ways that there are. */
export const rootChanges = Object.keys(names) as readonly RootChange[]

/** Whether this step leaves the host's root. */
export function changesRoot({ name }: { name: string }): boolean {
  return Object.values(names).includes(name)
}

/** The step that makes `root` the root directory. */
export function changeRootStep(how: RootChange, root: Slot, spec: Root): InitStep {
  if (how === 'pivot') return pivotStep(root, spec)
  return how === 'move' ? moveRootStep(root, spec) : chrootStep(root)
}

/**
 * Makes `root` the root directory and lets go of the host's. pivot_root(2),
 * by the idiom of its manual page that needs no directory for the old root.
 * `EINVAL` where the host's root is an initramfs.
 */
function pivotStep(root: Slot, spec: Root): InitStep {
  const detach = call('umount2', ['.', MNT_DETACH])
  return step(
    names.pivot,
    call('fchdir', [root]),
    call('pivot_root', ['.', '.']),
    // The old root now lies on top of the new one; and what an overlay was
    // made in lies on top of the old root.
    ...(spec.type === 'overlay' ? [detach] : []),
    detach,
    call('chdir', ['/']),
  )
}

/**
 * Leaves the new root on top of the host's, which nobody can uncover who may not
 * unmount it: `..` above it leads to itself. What it covers stays mounted, but for
 * the host's proc and sysfs, by which the kernel would allow new ones that show as
 * much. move_mount(2), chroot(2)
 */
function moveRootStep(root: Slot, spec: Root): InitStep {
  const uncover = ['/proc', '/sys', '/dev'].map(path =>
    call('umount2', [path, MNT_DETACH], { tolerate: ['EINVAL', 'ENOENT'] }),
  )
  return step(
    names.move,
    ...uncover,
    // What an overlay was made in lies on top of the host's root, and it on top of that.
    ...(spec.type === 'overlay' ? [attachAt(root, AT_FDCWD, '/')] : []),
    ...enter(root),
  )
}

function enter(root: Slot): Operation[] {
  return [call('fchdir', [root]), call('chroot', ['.']), call('chdir', ['/'])]
}

/** Makes `root` the root directory of this process, and no more. chroot(2) */
function chrootStep(root: Slot): InitStep {
  return step(names.chroot, ...enter(root))
}

/** The same by a path of the host. `ENOENT` when it is not there. */
export function chrootToStep(path: string): InitStep {
  return step(names.chroot, call('chdir', [path]), call('chroot', ['.']), call('chdir', ['/']))
}

/** Sets which mounts the root, or with `r` all in it, hears of, and tells others of. */
export function rootPropagationStep(root: Slot, propagation: readonly PropagationMode[]): InitStep {
  return step('root propagation', ...setPropagation(root, propagation))
}
