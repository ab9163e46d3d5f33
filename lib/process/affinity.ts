import { type NumberList, onlyKeys, parseList } from '../base/index.js'
import { call, type InitStep, step } from '../plan/index.js'
import { bitSet } from './lists.js'

/** On which processors: those of the program, or besides those of what comes before it. */
export type AffinityOptions = NumberList | { setup?: NumberList; workload?: NumberList }

/** {@link AffinityOptions}, checked. */
export interface Affinity {
  setup: readonly number[] | undefined
  workload: readonly number[] | undefined
}

/** @throws CofferdamError `ERR_INVALID_OPTION`, as for `affinity.setup`. */
export function parseAffinity(options: AffinityOptions): Affinity {
  if (typeof options === 'string' || Array.isArray(options))
    return { setup: undefined, workload: parseList('affinity', options as NumberList) }
  onlyKeys('affinity', options, ['setup', 'workload'])
  const { setup, workload } = options as Exclude<AffinityOptions, NumberList>
  return {
    setup: setup === undefined ? undefined : parseList('affinity.setup', setup),
    workload: workload === undefined ? undefined : parseList('affinity.workload', workload),
  }
}

/**
 * On which processors this process may run, of those that there are and that its
 * cgroup allows. sched_setaffinity(2); `EINVAL` when none of them is left.
 * Equivalent to: `taskset --cpu-list LIST`
 */
export function affinityStep(name: string, cpus: readonly number[]): InitStep {
  const set = bitSet(cpus)
  return step(name, call('sched_setaffinity', [0, set.bytes.length, set]))
}
