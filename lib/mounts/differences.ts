import { type MountInfo, mountsOption } from '../base/index.js'

/** What has become of a mount, as {@link differences} and {@link watch} tell it. */
export type MountChange =
  | { type: 'mounted' | 'unmounted'; mount: MountInfo }
  /**
   * `moved`: it is at another place, or on another mount. `changed`: something else
   * is not as it was, its options say, or its propagation.
   */
  | { type: 'moved' | 'changed'; mount: MountInfo; before: MountInfo }

/**
 * What has happened between two readings of one table of mounts: first those
 * that are gone, upper ones before those that they were on, then the others in
 * the table's order.
 *
 * The kernel gives the number of a mount that is gone to the next one. Such a
 * one counts as the same, moved or changed, if it is of the same file system and
 * either the same directory of it or at the same place.
 */
export function differences(
  before: readonly MountInfo[],
  after: readonly MountInfo[],
): MountChange[] {
  mountsOption('before', before)
  mountsOption('after', after)
  const old = new Map(before.map(mount => [mount.id, mount]))
  const changes: MountChange[] = []
  for (const mount of after) {
    const earlier = old.get(mount.id)
    if (earlier === undefined || !isSame(earlier, mount)) {
      changes.push({ type: 'mounted', mount })
      continue
    }
    old.delete(mount.id)
    if (earlier.parent !== mount.parent || earlier.mountPoint !== mount.mountPoint)
      changes.push({ type: 'moved', mount, before: earlier })
    else if (!isEqual(earlier, mount)) changes.push({ type: 'changed', mount, before: earlier })
  }
  const gone = [...old.values()].reverse()
  return [...gone.map((mount): MountChange => ({ type: 'unmounted', mount })), ...changes]
}

function isSame(a: MountInfo, b: MountInfo): boolean {
  if (a.major !== b.major || a.minor !== b.minor || a.fsType !== b.fsType) return false
  return a.root === b.root || a.mountPoint === b.mountPoint
}

function isEqual(a: MountInfo, b: MountInfo): boolean {
  return (
    a.options === b.options &&
    a.superOptions === b.superOptions &&
    a.root === b.root &&
    a.source === b.source &&
    a.propagation.shared === b.propagation.shared &&
    a.propagation.master === b.propagation.master &&
    a.propagation.propagateFrom === b.propagation.propagateFrom &&
    a.propagation.unbindable === b.propagation.unbindable
  )
}
