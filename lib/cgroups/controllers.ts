import { CofferdamError, invalidOption, show } from '../base/index.js'
import { controllersIn } from './folders.js'
import type { Hierarchy } from './layout.js'

/** One controller has two names where the versions disagree; cgroups(7). */
const otherNames: Record<string, string> = { blkio: 'io', io: 'blkio', cpuacct: 'cpu' }

/** What version 2 has without its being a controller: cgroup.freeze, and programs of bpf(2). */
const CORE = ['freezer', 'devices', 'perf_event']

/** Those of version 2 that groups of threads can have. cgroups(7), "Threaded controllers" */
export const THREADED = ['cpu', 'cpuset', 'perf_event', 'pids']

/** A list of controllers, as `['memory', 'pids']` or `['name=mine']`; undefined if there is none. */
export function controllersOption(option: string, value: unknown): string[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw invalidOption(option, `${show(value)} is no list of controllers`)
  for (const name of value)
    if (typeof name !== 'string' || !/^(name=)?[A-Za-z0-9_.-]+$/.test(name))
      throw invalidOption(option, `${show(name)} is no name of a controller`)
  return [...new Set(value as string[])]
}

/** Where a controller lives. */
export interface Found {
  hierarchy: Hierarchy
  /** As that hierarchy calls it; undefined for what version 2 has of itself. */
  name?: string
}

/**
 * Finds the hierarchy of a controller, by either of its names.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED`
 */
export function findController(controller: string, hierarchies: readonly Hierarchy[]): Found {
  for (const name of [controller, otherNames[controller]])
    for (const hierarchy of hierarchies)
      if (name !== undefined && controllersIn(hierarchy).includes(name)) return { hierarchy, name }
  const unified = hierarchies.find(({ version }) => version === 2)
  if (CORE.includes(controller) && unified !== undefined) return { hierarchy: unified }
  throw unsupportedController(controller, hierarchies)
}

/** For a controller that isn't there, naming those that are. */
export function unsupportedController(
  controller: string,
  hierarchies: readonly Hierarchy[],
): CofferdamError {
  const there = hierarchies.flatMap(controllersIn).join(', ')
  const hint =
    there === ''
      ? 'no control groups are mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup'
      : `there are ${there}: boot the kernel with it, or have it handed on by cgroup.subtree_control of the groups above`
  return new CofferdamError(`${controller}: there is no such controller here`, {
    code: 'ERR_UNSUPPORTED',
    controller,
    hint,
  })
}
