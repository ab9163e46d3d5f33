import { statSync } from 'node:fs'
import type { InitStep, Slot, Step } from '../plan/index.js'
import type { BindMount } from './bind.js'
import { cgroupStep } from './cgroup.js'
import { moveStep, propagateStep, remountStep, unmountStep } from './change-steps.js'
import type { Unmount } from './changes.js'
import { type DeviceEntry, deviceNumber } from './entries.js'
import { deviceStep, directoryStep, fileStep, symlinkStep } from './entry-steps.js'
import { bindStep, fileSystemStep, overlayMountStep, tmpfsStep } from './mount-steps.js'
import { letGo } from './operations.js'
import type { Mount } from './specifications.js'
import type { Place } from './steps.js'

/** What is known of the host's files that a {@link Mount} is about. */
export interface Source {
  /**
   * Of a bind mount, or what is moved: it is a file and not a directory. When it is not
   * known, the target must be there, or a directory is made.
   */
  isFile: boolean | undefined
  /** Of a device: the host has a file of it, at the place that is named. */
  isDevice: boolean
}

/** What a sequence of mounts needs to be told besides. */
export interface SequenceContext {
  /** Where each of them goes, with what those before it have left. */
  place(mount: Mount, layers: Layers): Place
  /** For each of them, what is known of its source. */
  sources: readonly Source[]
  /** What is cloned already: of bind mounts that are to hear of the host's, say. */
  peers?: ReadonlyMap<Mount, Slot>
  /** Where a file system's tree is to be left. */
  tree?(mount: Mount): Slot | undefined
  /** Mounts belong to a user namespace other than the first one. */
  asUser: boolean
}

/** The steps that do a sequence of mounts. */
export function sequenceSteps(mounts: readonly Mount[], context: SequenceContext): Step[] {
  const layers = new Layers()
  const all: Step[] = []
  /** The step that does it, of each. */
  const steps: InitStep[] = []
  mounts.forEach((mount, i) => {
    const place = context.place(mount, layers)
    const source = context.sources[i] as Source
    if (mount.type === 'bind') {
      all.push(...bindStep(mount, place, source.isFile, context.peers?.get(mount)))
    } else {
      const made = mountStep(mount, place, context, source)
      const held = mount.type === 'unmount' && !mount.detach ? heldBy(mounts, steps, mount) : []
      const release = held.map(held => letGo(held, place.root))
      all.push({ ...made, operations: [...release, ...made.operations] })
    }
    steps.push(all.at(-1) as InitStep)
    layers.add(mount)
  })
  return all
}

function mountStep(
  mount: Exclude<Mount, BindMount>,
  place: Place,
  { tree, asUser, peers }: SequenceContext,
  source: Source,
): InitStep {
  switch (mount.type) {
    case 'tmpfs':
      return tmpfsStep(mount, place)
    case 'filesystem':
      return fileSystemStep(mount, place, tree?.(mount))
    case 'overlay':
      return overlayMountStep(mount, place, asUser)
    case 'cgroup':
      return cgroupStep(mount, place)
    case 'directory':
      return directoryStep(mount, place)
    case 'file':
      return fileStep(mount, place, peers?.get(mount))
    case 'symlink':
      return symlinkStep(mount, place)
    case 'device':
      return deviceStep(mount, place, source.isDevice)
    case 'remount':
      return remountStep(mount, place)
    case 'propagation':
      return propagateStep(mount, place)
    case 'move':
      return moveStep(mount, place, source.isFile)
    case 'unmount':
      return unmountStep(mount, place)
  }
}

/**
 * Slots with descriptors that would keep the mount from going: those of what was done
 * with it, also where it lay before it was moved.
 */
function heldBy(mounts: readonly Mount[], steps: readonly InitStep[], { target }: Unmount): Slot[] {
  const slots = new Set<Slot>()
  let at = target
  const concerns = (path: string) => path === at || isBelow(path, at)
  for (let i = steps.length - 1; i >= 0; i--) {
    const mount = mounts[i] as Mount
    const from = mount.type === 'move' ? mount.from : mount.target
    if (concerns(mount.target) || concerns(from))
      for (const { result } of (steps[i] as InitStep).operations)
        if (result !== undefined) slots.add(result)
    if (mount.type === 'move' && (at === mount.target || isBelow(at, mount.target)))
      at = mount.from + at.slice(mount.target.length)
  }
  return [...slots]
}

/** Directories of the host that have to be there for it. */
export function directoriesOf(mount: Mount): string[] {
  if (mount.type !== 'overlay') return []
  const { lower, dataOnly = [], upper, work } = mount
  return [...lower, ...dataOnly, ...(upper === undefined ? [] : [upper, work ?? ''])]
}

/** Whether the host's file that a device is to be taken from is that device. */
export function isHostDevice(entry: DeviceEntry): boolean {
  const stat = statSync(entry.source, { throwIfNoEntry: false })
  if (stat === undefined || stat.rdev !== deviceNumber(entry)) return false
  return entry.kind === 'c' ? stat.isCharacterDevice() : stat.isBlockDevice()
}

/** What lies where after some mounts of a sequence. */
export class Layers {
  #at: { point: string; mount: Mount }[] = []

  /** The mount that what is at `target` lies on, if that is one of the sequence. */
  below(target: string): { point: string; mount: Mount } | undefined {
    return this.#at.findLast(({ point }) => isBelow(target, point))
  }

  /** The mount at this very place. */
  on(target: string): Mount | undefined {
    return this.#at.findLast(({ point }) => point === target)?.mount
  }

  /** Goes on to the next of the sequence. */
  add(mount: Mount): void {
    switch (mount.type) {
      case 'unmount':
        return this.#remove(mount.target)
      case 'move': {
        const { from, target } = mount
        for (const layer of this.#at)
          if (layer.point === from || isBelow(layer.point, from))
            layer.point = `${target}${layer.point.slice(from.length)}`
        return
      }
      case 'bind':
      case 'tmpfs':
      case 'filesystem':
      case 'overlay':
      case 'cgroup':
        this.#at.push({ point: mount.target, mount })
    }
  }

  #remove(target: string): void {
    const last = this.#at.findLastIndex(({ point }) => point === target)
    this.#at = this.#at.filter(
      ({ point }, i) => i !== last && (i < last || !isBelow(point, target)),
    )
  }
}

/** Whether the path lies below `outer`. */
export function isBelow(path: string, outer: string): boolean {
  return path.startsWith(outer.endsWith('/') ? outer : `${outer}/`)
}
