import { flagOption, invalidOption, onlyKeys } from '../base/index.js'
import { type Attributes, attributeNames, checkAttributes } from './attributes.js'
import { ownOptions } from './file-system.js'
import { checkTarget, ours, without } from './made.js'
import { type PropagationMode, type PropagationOption, propagationOption } from './propagation.js'

// What is done to mounts that are there already, in its place among the mounts.

/** Options of {@link remount}. */
export interface RemountOptions extends Attributes {
  /** All mounts below it are changed as well. Default: false. */
  recursive?: boolean
  /** Options of the file system itself, wherever else it is mounted too. */
  options?: Readonly<Record<string, string | number | boolean>>
}

/** Attributes that are to be changed. */
export interface Remount {
  type: 'remount'
  target: string
  attributes: Attributes
  recursive: boolean
  options?: Readonly<Record<string, string | true>>
}

/**
 * Changes attributes of the mount at `target`; those not named stay as they are.
 * mount_setattr(2), fspick(2). `EINVAL` when it is no mount, `EPERM` for what an
 * outer user namespace has locked. Equivalent to: `mount -o remount,bind,ro TARGET`,
 * recursive: `mount -o remount,rro TARGET`
 */
export function remount(target: string, options: RemountOptions): Remount {
  onlyKeys('remount', options, [...attributeNames, 'recursive', 'options'])
  const { recursive, options: own, ...attributes } = options
  const changed = {
    type: 'remount' as const,
    target: checkTarget('remount', target),
    attributes: checkAttributes('remount', attributes),
    recursive: flagOption('remount.recursive', recursive, false),
    options: own === undefined ? undefined : ownOptions('remount.options', own),
  }
  if (Object.keys(changed.attributes).length + Object.keys(changed.options ?? {}).length === 0)
    throw invalidOption('remount', 'names nothing to change')
  return ours(without(changed)) as Remount
}

/** A propagation that is to be set. */
export interface PropagationChange {
  type: 'propagation'
  target: string
  propagation: readonly PropagationMode[]
}

/**
 * Sets which mounts the one at `target` hears of, and tells others of.
 * mount_setattr(2). `EINVAL` when it is no mount. Equivalent to:
 * `mount --make-rslave TARGET`
 */
export function propagate(target: string, propagation: PropagationOption): PropagationChange {
  const list = propagationOption('propagate', propagation)
  if (list.length === 0) throw invalidOption('propagate', 'names no propagation')
  return ours({
    type: 'propagation',
    target: checkTarget('propagate', target),
    propagation: [...list],
  })
}

/** A mount that is to go to another place. */
export interface Move {
  type: 'move'
  from: string
  target: string
}

/**
 * Moves the mount at `from`, with all below it, to `target`. move_mount(2). `EINVAL`
 * when it is no mount, or lies on a shared one. Equivalent to: `mount --move FROM TARGET`
 */
export function move(from: string, target: string): Move {
  return ours({
    type: 'move',
    from: checkTarget('move', from),
    target: checkTarget('move', target),
  })
}

/** Options of {@link unmount}. */
export interface UnmountOptions {
  /**
   * It goes with all below it, at once from sight, and in fact when nobody uses it
   * any more. Default: false, and then `EBUSY` if somebody does.
   */
  detach?: boolean
  /** Gives up waiting for a server that does not answer, as of NFS. Default: false. */
  force?: boolean
  /** Only if nobody has used it since this was last said; the first time it is `EAGAIN`. */
  expire?: boolean
}

/** A mount that is to go. */
export interface Unmount extends Required<UnmountOptions> {
  type: 'unmount'
  target: string
}

/**
 * Takes away the mount at `target`. A symbolic link there is not followed.
 * umount2(2). `EINVAL` when it is no mount, or one that an outer user namespace has
 * locked. Equivalent to: `umount TARGET`, with `detach`: `umount --lazy TARGET`
 */
export function unmount(target: string, options: UnmountOptions = {}): Unmount {
  onlyKeys('unmount', options, ['detach', 'force', 'expire'])
  const detach = flagOption('unmount.detach', options.detach, false)
  const force = flagOption('unmount.force', options.force, false)
  const expire = flagOption('unmount.expire', options.expire, false)
  if (expire && (detach || force))
    throw invalidOption('unmount.expire', 'goes with neither detach nor force')
  return ours({ type: 'unmount', target: checkTarget('unmount', target), detach, force, expire })
}
