import { dirname } from 'node:path'
import {
  call,
  flags,
  type InitStep,
  MNT_DETACH,
  type Named,
  named,
  O_DIRECTORY,
  slot,
  step,
} from '../plan/index.js'
import { changeAttributes } from './attributes.js'
import type { Move, PropagationChange, Remount, Unmount } from './changes.js'
import { openInRoot, reconfigure } from './operations.js'
import { setPropagation } from './propagation.js'
import { type Place, put } from './steps.js'

export function remountStep(change: Remount, { root }: Place): InitStep {
  const at = slot('mount')
  return step(
    `remount ${change.target}`,
    openInRoot(root, change.target, at),
    ...(change.options === undefined ? [] : reconfigure(at, change.options)),
    ...changeAttributes(at, change.attributes, change.recursive),
  )
}

export function propagateStep(change: PropagationChange, { root }: Place): InitStep {
  const at = slot('mount')
  return step(
    `propagation ${change.target}`,
    openInRoot(root, change.target, at),
    ...setPropagation(at, change.propagation),
  )
}

export function moveStep(change: Move, place: Place, file: boolean | undefined): InitStep {
  const from = slot('mount')
  return step(
    `move ${change.from}`,
    openInRoot(place.root, change.from, from),
    ...put(from, change.target, place, { file }),
  )
}

const MNT_FORCE = named('MNT_FORCE', 1)
const MNT_EXPIRE = named('MNT_EXPIRE', 4)
const UMOUNT_NOFOLLOW = named('UMOUNT_NOFOLLOW', 8)

/**
 * umount2(2) takes a path, so it is given a single name, in a directory that the
 * process is in.
 */
export function unmountStep(change: Unmount, { root }: Place): InitStep {
  const parent = slot('parent')
  const name = change.target.slice(change.target.lastIndexOf('/') + 1)
  const how: Named[] = [UMOUNT_NOFOLLOW]
  if (change.detach) how.push(MNT_DETACH)
  if (change.force) how.push(MNT_FORCE)
  if (change.expire) how.push(MNT_EXPIRE)
  return step(
    `unmount ${change.target}`,
    openInRoot(root, dirname(change.target), parent, {}, O_DIRECTORY),
    call('fchdir', [parent]),
    call('umount2', [name, flags(...how)]),
    call('fchdir', [root]),
  )
}
