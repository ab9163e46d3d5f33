import { invalidOption } from '../base/index.js'
import { type BindMount, bind } from './bind.js'
import { type CgroupMount, cgroup } from './cgroup.js'
import {
  type Move,
  move,
  type PropagationChange,
  propagate,
  type Remount,
  remount,
  type Unmount,
  unmount,
} from './changes.js'
import {
  type DeviceEntry,
  type DirectoryEntry,
  device,
  directory,
  type FileEntry,
  file,
  type SymlinkEntry,
  symlink,
} from './entries.js'
import { type FileSystemMount, fileSystem } from './file-system.js'
import { isOurs } from './made.js'
import { checkOverlayMount, type OverlayMount } from './overlay.js'
import { type TmpfsMount, tmpfs } from './tmpfs.js'

/** What is to be mounted at a target. */
export type NewMount = BindMount | TmpfsMount | FileSystemMount | OverlayMount | CgroupMount

/**
 * One thing that is done to a tree of mounts: something mounted, made, or changed.
 * A sequence of them means the same in a container and elsewhere: each is done in
 * what those before it have left.
 */
export type Mount =
  | NewMount
  | DirectoryEntry
  | FileEntry
  | SymlinkEntry
  | DeviceEntry
  | Remount
  | PropagationChange
  | Move
  | Unmount

/** Makes each kind anew of its own parts, with all that is checked then. */
const makers: { [type in Mount['type']]: (mount: never) => Mount } = {
  bind: ({ type: _, source, target, ...options }: BindMount) => bind(source, target, options),
  tmpfs: ({ type: _, target, ...options }: TmpfsMount) =>
    tmpfs(target, options as Parameters<typeof tmpfs>[1]),
  filesystem: ({ type: _, fstype, target, ...options }: FileSystemMount) =>
    fileSystem(fstype, target, options as Parameters<typeof fileSystem>[2]),
  overlay: (mount: OverlayMount) => checkOverlayMount(mount),
  cgroup: ({ type: _, target, ...options }: CgroupMount) =>
    cgroup(target, options as Parameters<typeof cgroup>[1]),
  directory: ({ type: _, target, ...options }: DirectoryEntry) => directory(target, options),
  file: ({ type: _, target, content, ...options }: FileEntry) =>
    file(target, 'text' in content ? content.text : Buffer.from(content.base64, 'base64'), options),
  symlink: ({ type: _, target, to, ...options }: SymlinkEntry) => symlink(target, to, options),
  device: ({ type: _, target, kind, ...options }: DeviceEntry) =>
    device(target, { type: kind, ...options }),
  remount: ({ type: _, target, attributes, ...options }: Remount) =>
    remount(target, { ...attributes, ...options }),
  propagation: ({ target, propagation }: PropagationChange) => propagate(target, propagation),
  move: ({ from, target }: Move) => move(from, target),
  unmount: ({ type: _, target, ...options }: Unmount) => unmount(target, options),
}

/** A {@link Mount} of unknown make, checked, as one of ours. */
export function checkMount(mount: Mount): Mount {
  const checked = isOurs(mount) ? mount : remade(mount)
  if (checked.target === '/')
    throw invalidOption('mount', 'the root directory itself is for rootfs() to say')
  return checked
}

function remade(mount: Mount): Mount {
  if (typeof mount !== 'object' || mount === null || !Object.hasOwn(makers, mount.type))
    throw invalidOption('mount', 'must be made by bind(), tmpfs() or another of their kind')
  return (makers[mount.type] as (mount: Mount) => Mount)(mount)
}

/** Whether it is mounted at its target, and not made there or a change. */
export function isNewMount(mount: Mount): mount is NewMount {
  return ['bind', 'tmpfs', 'filesystem', 'overlay', 'cgroup'].includes(mount.type)
}
