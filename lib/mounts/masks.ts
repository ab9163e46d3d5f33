import { type InitStep, mask, type Slot, slot, step } from '../plan/index.js'
import {
  attach,
  cloneTree,
  MOUNT_ATTR,
  newFileSystem,
  openInRoot,
  setAttributes,
} from './operations.js'

/** What Docker hides of proc and sysfs, since it tells about or acts on the host. */
export const defaultMaskedPaths: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]

/** What Docker leaves readable of proc, but not writable. */
export const defaultReadonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]

/** A path below an open directory, which can't be led out of it. */
export interface Inside {
  root: Slot
  path: string
}

/**
 * Hides paths that exist: directories under an empty, read-only file system,
 * the one instance for all of them; files under the device in `nothing`.
 */
export function maskStep(nothing: Inside, paths: readonly Inside[]): InitStep {
  const empty = slot('empty')
  const null_ = slot('null')
  const { readonly, nosuid, nodev, noexec } = MOUNT_ATTR
  return step(
    'masked paths',
    ...newFileSystem('ramfs', slot('fs'), empty, {}, readonly, nosuid, nodev, noexec),
    openInRoot(nothing.root, nothing.path, null_),
    ...paths.map(({ root, path }) => mask(root, path, empty, null_)),
  )
}

/** Makes paths that exist read-only, with all that is mounted below them. */
export function readonlyStep(paths: readonly Inside[]): InitStep {
  return step(
    'read-only paths',
    ...paths.flatMap(({ root, path }) => {
      const at = slot('path')
      const tree = slot('tree')
      return [
        openInRoot(root, path, at, { tolerate: ['ENOENT', 'ENOTDIR'], skip: 3 }),
        cloneTree(at, '', tree, true),
        setAttributes(tree, { set: [MOUNT_ATTR.readonly], recursive: true }),
        attach(tree, at),
      ]
    }),
  )
}
