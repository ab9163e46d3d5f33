import { conflict, flagOption, invalidOption, onlyKeys, wordOption } from '../base/index.js'
import {
  checkTarget,
  type Origin,
  type PropagationMode,
  type PropagationOption,
  propagationOption,
  type RootChange,
  rootChanges,
} from '../mounts/index.js'
import type { NamespaceReferences } from '../namespaces/index.js'
import { checkStep, type Step } from '../plan/index.js'
import type { StepPlacement } from './configuration.js'

// What the builder is told, looked at before it is believed.

/** The namespaces to join, by kind. */
export function joined(option: unknown): NamespaceReferences {
  if (typeof option !== 'object' || option === null || Object.keys(option).length === 0)
    throw invalidOption('isolate', 'must be kinds of namespaces, or { kind: path }')
  return option as NamespaceReferences
}

/** What `proc()` and `sysfs()` take. */
export function originOption(option: string, origin: unknown): Origin {
  if (origin !== 'new' && origin !== 'bind') throw invalidOption(option, "must be 'new' or 'bind'")
  return origin
}

/** Paths in the container, as `maskedPaths()` takes them. */
export function targets(option: string, paths: readonly string[]): string[] {
  if (!Array.isArray(paths)) throw invalidOption(option, 'must be a list of paths')
  return paths.map(path => checkTarget(option, path))
}

/** Refuses what is no step, or has no place. */
export function checkPlacedStep(step: Step, placement: StepPlacement): void {
  checkStep('step', step)
  onlyKeys('step', placement, ['before', 'after', 'half'])
  const { before, after, half = 'setup' } = placement
  if (half !== 'setup' && half !== 'process')
    throw invalidOption('step.half', "must be 'setup' or 'process'")
  if (before !== undefined && after !== undefined)
    throw conflict('step', 'stands before a step or after one, not both')
  if (step.side === 'host' && half === 'process')
    throw invalidOption('step', 'the host has no part in the process half but waiting steps')
}

/** Options of `Container.rootfs()`. */
export interface RootfsOptions {
  /** Nothing in it can be written but what is mounted on it. Default: false. */
  readonly?: boolean
  /**
   * Device files in it, and such as are made in `/dev`, can't be opened (`EACCES`): those
   * that an image brings, and those that root in the container makes. The ones that every
   * container has, and those of `device()`, can. Default: true, but with rules of your
   * own, `devices()`, which say of each device who may do what; of an `emptyRoot()` what
   * it was told. mount(8) `nodev`
   */
  nodev?: boolean
  /**
   * How it becomes the root directory. `'pivot'`, the default, lets go of all that the
   * host has mounted; pivot_root(2). `'move'` leaves it mounted underneath, out of
   * reach, for hosts whose root is an initramfs, which pivot_root(2) can't leave.
   * Equivalent to: `runc run --no-pivot`
   *
   * `'chroot'` is no isolation, and so never chosen by itself: chroot(2) changes where
   * paths begin, and nothing else. Who has CAP_SYS_CHROOT, as root has by Docker's
   * default, gets out of it with a second chroot(2) and `..`; a descriptor of a
   * directory outside leads outside; and all mounts of the host are still there. It is
   * for where nothing else can be had: it works without a mount namespace, and then
   * nothing is mounted, `/proc` neither. Only for a root that is a directory.
   */
  change?: RootChange
  /**
   * Which mounts the root hears of, and tells others of; with `r` all in it do.
   * `'rslave'`: what the host mounts below a root directory is seen inside too.
   * `'rshared'`: mounts inside have peers of their own, as containers inside would
   * want; the host hears of none. Default: `'rprivate'`, nothing.
   */
  propagation?: PropagationOption
}

/** {@link RootfsOptions}, checked. */
export function rootOptions({ readonly, nodev, change = 'pivot', propagation }: RootfsOptions): {
  readonly: boolean
  nodev: boolean | undefined
  change: RootChange
  propagation: readonly PropagationMode[]
} {
  wordOption('rootfs.change', change, rootChanges)
  return {
    readonly: flagOption('rootfs.readonly', readonly, false),
    nodev: nodev === undefined ? nodev : flagOption('rootfs.nodev', nodev, true),
    change,
    propagation: propagationOption('rootfs.propagation', propagation),
  }
}
