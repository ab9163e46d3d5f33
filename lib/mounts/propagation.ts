import { invalidOption } from '../base/index.js'
import {
  call,
  flags,
  type InitStep,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  type Operation,
  type Slot,
  step,
} from '../plan/index.js'
import { setAttributes } from './operations.js'

const modes = {
  private: MS_PRIVATE,
  slave: MS_SLAVE,
  shared: MS_SHARED,
  unbindable: MS_UNBINDABLE,
} as const

type Mode = keyof typeof modes

/**
 * What mounts and unmounts a mount tells others of, and hears of from them;
 * mount_namespaces(7). With `r`, all below it too.
 *
 * `'private'`: nothing. `'shared'`: both, with its peers. `'slave'`: it hears of
 * what its former peers do and tells them nothing. `'unbindable'`: as private, and
 * it can't be the source of a bind mount.
 */
export type PropagationMode =
  | 'private'
  | 'rprivate'
  | 'slave'
  | 'rslave'
  | 'shared'
  | 'rshared'
  | 'unbindable'
  | 'runbindable'

/** One, or several that are set one after the other, as `['slave', 'shared']`. */
export type PropagationOption = PropagationMode | readonly PropagationMode[]

const names = Object.keys(modes).flatMap(mode => [mode, `r${mode}`])

/** Whether this is the name of one. */
export function isPropagation(name: string): name is PropagationMode {
  return names.includes(name)
}

/** A {@link PropagationOption} as a list; an empty one when nothing is said. */
export function propagationOption(option: string, value: unknown): readonly PropagationMode[] {
  if (value === undefined) return []
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  for (const mode of list)
    if (typeof mode !== 'string' || !isPropagation(mode))
      throw invalidOption(option, `${JSON.stringify(mode)} is none; ${names.join(', ')} are`)
  return list as readonly PropagationMode[]
}

function split(propagation: PropagationMode): [mode: Mode, recursive: boolean] {
  const recursive = !Object.hasOwn(modes, propagation)
  return [(recursive ? propagation.slice(1) : propagation) as Mode, recursive]
}

/** Whether it is to hear of what its source's peers do, or to tell them. */
export function keepsPeers(propagation: readonly PropagationMode[]): boolean {
  return propagation.some(mode => /slave|shared/.test(mode))
}

/**
 * Sets the propagation of the mount in `tree`. mount_setattr(2). Equivalent to:
 * `mount --make-rslave`
 */
export function setPropagation(tree: Slot, propagation: readonly PropagationMode[]): Operation[] {
  return propagation.map(each => {
    const [mode, recursive] = split(each)
    return setAttributes(tree, { propagation: modes[mode], recursive })
  })
}

/**
 * Cuts the new mount namespace off from the host's: neither hears of the
 * other's mounts. mount_namespaces(7). Equivalent to: `mount --make-rprivate /`
 */
export function propagationStep(): InitStep {
  return step('propagation', call('mount', ['none', '/', 0, flags(MS_REC, modes.private), 0]))
}
