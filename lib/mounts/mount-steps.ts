import {
  AT_FDCWD,
  call,
  copyTree,
  flags,
  type InitStep,
  mode,
  type Named,
  named,
  type Operation,
  type Slot,
  type Step,
  slot,
  step,
  target,
} from '../plan/index.js'
import { type AttributeSettings, attributeFlags, changeAttributes } from './attributes.js'
import type { BindMount } from './bind.js'
import type { FileSystemMount } from './file-system.js'
import { idMapStep, mapOwners } from './idmap.js'
import {
  attach,
  cloneTree,
  type FileSystemOptions,
  MS,
  newFileSystem,
  newFileSystemFrom,
  openInRoot,
} from './operations.js'
import { type OverlayMount, overlayText } from './overlay.js'
import { keepsPeers, setPropagation } from './propagation.js'
import { type Place, put } from './steps.js'
import { type TmpfsMount, tmpfsData } from './tmpfs.js'

/** Whether its source has to be cloned while it still hears of the host's mounts. */
export function isPeer(mount: { type: string }): mount is BindMount {
  return mount.type === 'bind' && keepsPeers((mount as BindMount).propagation)
}

/**
 * Clones what a bind mount is to show, before the mount namespace is cut off from
 * the host's: a clone stays a peer of its source, wherever it is attached later.
 */
export function peerStep(mount: BindMount, tree: Slot): InitStep {
  return optional(
    mount,
    step(`peer ${mount.target}`, cloneTree(AT_FDCWD, mount.source, tree, mount.recursive)),
  )
}

/** A bind mount, of `peer` if it has been cloned already. */
export function bindStep(
  mount: BindMount,
  place: Place,
  sourceIsFile: boolean | undefined,
  peer?: Slot,
): Step[] {
  const tree = peer ?? slot('tree')
  const { idmap } = mount
  const namespace = slot('user namespace')
  const bind = step(
    `bind ${mount.target}`,
    ...(peer === undefined ? [cloneTree(AT_FDCWD, mount.source, tree, mount.recursive)] : []),
    ...(idmap === undefined ? [] : mapOwners(idmap, tree, namespace)),
    ...bindAttributes(mount, tree),
    ...put(tree, mount.target, place, { file: sourceIsFile }),
    ...setPropagation(tree, mount.propagation),
  )
  const maps = idmap === undefined ? [] : idMapStep(mount.target, idmap, namespace)
  return [...maps, optional(mount, bind)]
}

function optional(mount: BindMount, bind: InitStep): InitStep {
  return mount.optional ? { ...bind, optional: true } : bind
}

function bindAttributes(mount: BindMount, tree: Slot): Operation[] {
  const { recursive, submounts } = mount
  if (submounts === 'alike') return changeAttributes(tree, mount, recursive)
  return [
    ...(submounts === 'keep' ? [] : changeAttributes(tree, submounts, true)),
    ...changeAttributes(tree, mount, false),
  ]
}

export function tmpfsStep(mount: TmpfsMount, place: Place): InitStep {
  const tree = slot('tmpfs')
  if (mount.copyUp) return copyUpStep(mount, place, tree)
  return step(
    `tmpfs ${mount.target}`,
    ...newFileSystem('tmpfs', slot('fs'), tree, tmpfsData(mount), ...attributeFlags(mount)),
    ...put(tree, mount.target, place),
    ...setPropagation(tree, mount.propagation),
  )
}

/** A tmpfs that is filled before it covers what it is filled with. */
function copyUpStep(mount: TmpfsMount, { root, ...where }: Place, tree: Slot): InitStep {
  const at = slot('target')
  const own = (['uid', 'gid', 'mode'] as const).filter(name => mount[name] === undefined)
  const writable = { ...mount, readonly: false }
  return step(
    `tmpfs ${mount.target}`,
    ...newFileSystem('tmpfs', slot('fs'), tree, tmpfsData(mount), ...attributeFlags(writable)),
    target(root, mount.target, at, where),
    copyTree(at, tree, own),
    ...(mount.readonly === true ? changeAttributes(tree, { readonly: true }, false) : []),
    attach(tree, at),
    ...setPropagation(tree, mount.propagation),
  )
}

/** Where no symbolic link may lead to: what is masked is found below them. */
const strictTargets = ['/proc', '/sys', '/dev']

/** Any file system; it is left in `tree`. */
export function fileSystemStep(
  mount: FileSystemMount,
  place: Place,
  tree: Slot = slot(mount.fstype),
): InitStep {
  const { fstype, source, options } = mount
  // A device that can't be written to is told so too.
  const own: FileSystemOptions =
    mount.readonly === true && source !== fstype ? { ...options, ro: true } : options
  const attributes = attributeFlags(mount)
  return step(
    `${fstype} ${mount.target}`,
    ...newFileSystemFrom(source, fstype, slot('fs'), tree, own, ...attributes),
    ...put(tree, mount.target, place, { strict: strictTargets.includes(mount.target) }),
    ...setPropagation(tree, mount.propagation),
  )
}

const MS_ATIME = {
  noatime: named('MS_NOATIME', 1024),
  relatime: named('MS_RELATIME', 1 << 21),
  strictatime: named('MS_STRICTATIME', 1 << 24),
} as const

function mountFlags(settings: AttributeSettings): Named {
  const set = (Object.keys(MS) as (keyof typeof MS)[]).filter(name => settings[name] === true)
  const { atime } = settings
  return flags(...set.map(name => MS[name]), ...(atime === 'keep' ? [] : [MS_ATIME[atime]]))
}

/**
 * An overlay below the root. It is mounted by the old call, whose options mean the
 * same on all kernels, on the directory that the process is in. What an overlay in
 * memory writes to lies under it, at the same place.
 */
export function overlayMountStep(
  mount: OverlayMount,
  place: Place,
  userAttributes: boolean,
): InitStep {
  const at = slot('target')
  const inMemory = mount.upper === undefined && !(mount.readonly && mount.lower.length > 1)
  const features = userAttributes ? { ...mount, userxattr: true } : mount
  const upper = mount.upper ?? (inMemory ? 'upper' : undefined)
  const options = overlayText(features, upper, mount.work ?? 'work')
  const { root, ...where } = place
  const memory = slot('memory')
  const again = slot('overlay')
  return step(
    `overlay ${mount.target}`,
    ...(inMemory
      ? newFileSystem('tmpfs', slot('fs'), memory, { size: `${mount.size}`, mode: '755' })
      : []),
    target(root, mount.target, at, where),
    ...(inMemory
      ? [
          attach(memory, at),
          call('mkdirat', [memory, 'upper', mode(0o755)]),
          call('mkdirat', [memory, 'work', mode(0o700)]),
        ]
      : []),
    call('fchdir', [inMemory ? memory : at]),
    call('mount', ['overlay', '.', 'overlay', mountFlags(mount), options]),
    call('fchdir', [root]),
    ...(mount.propagation.length > 0
      ? [openInRoot(root, mount.target, again), ...setPropagation(again, mount.propagation)]
      : []),
  )
}
