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

/**
 * Hides paths that exist: directories under an empty, read-only file system,
 * the one instance for all of them; files under `/dev/null`.
 */
export function maskStep(root: Slot, paths: readonly string[]): InitStep {
  const empty = slot('empty')
  const nothing = slot('null')
  const { readonly, nosuid, nodev, noexec } = MOUNT_ATTR
  return step(
    'masked paths',
    ...newFileSystem(
      'tmpfs',
      slot('fs'),
      empty,
      { size: '0', nr_inodes: '1', mode: '755' },
      readonly,
      nosuid,
      nodev,
      noexec,
    ),
    openInRoot(root, '/dev/null', nothing),
    ...paths.map(path => mask(root, path, empty, nothing)),
  )
}

/** Makes paths that exist read-only, with all that is mounted below them. */
export function readonlyStep(root: Slot, paths: readonly string[]): InitStep {
  return step(
    'read-only paths',
    ...paths.flatMap(path => {
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
