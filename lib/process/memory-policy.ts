import {
  conflict,
  invalidOption,
  keyOption,
  type NumberList,
  onlyKeys,
  parseList,
} from '../base/index.js'
import { call, flags, type InitStep, named, step } from '../plan/index.js'
import { bitSet } from './lists.js'

// linux/mempolicy.h; and whether nodes must be named, may be, or must not be.
const modes = {
  default: { mode: named('MPOL_DEFAULT', 0), nodes: 'none' },
  preferred: { mode: named('MPOL_PREFERRED', 1), nodes: 'some' },
  bind: { mode: named('MPOL_BIND', 2), nodes: 'some' },
  interleave: { mode: named('MPOL_INTERLEAVE', 3), nodes: 'some' },
  local: { mode: named('MPOL_LOCAL', 4), nodes: 'none' },
  'preferred-many': { mode: named('MPOL_PREFERRED_MANY', 5), nodes: 'some' },
  'weighted-interleave': { mode: named('MPOL_WEIGHTED_INTERLEAVE', 6), nodes: 'some' },
} as const satisfies Record<MemoryMode, object>

const modeFlags = {
  'numa-balancing': named('MPOL_F_NUMA_BALANCING', 1 << 13),
  'relative-nodes': named('MPOL_F_RELATIVE_NODES', 1 << 14),
  'static-nodes': named('MPOL_F_STATIC_NODES', 1 << 15),
} as const satisfies Record<MemoryFlag, object>

/** Where memory is taken from; `'preferred-many'` is of Linux 5.15, `'weighted-interleave'` of 6.9. */
export type MemoryMode =
  | 'default'
  | 'preferred'
  | 'bind'
  | 'interleave'
  | 'local'
  | 'preferred-many'
  | 'weighted-interleave'
export type MemoryFlag = 'numa-balancing' | 'relative-nodes' | 'static-nodes'

/** What `memoryPolicy` takes; numa(7), set_mempolicy(2). */
export interface MemoryPolicyOptions {
  mode: MemoryMode
  /** The nodes that it is about. All modes but `'default'` and `'local'` need them. */
  nodes?: NumberList
  /**
   * What the numbers of nodes mean when the cpuset changes: `'static-nodes'` or
   * `'relative-nodes'`; and `'numa-balancing'`, for `'bind'` and `'preferred-many'`.
   */
  flags?: readonly MemoryFlag[]
}

/** {@link MemoryPolicyOptions}, checked. */
export interface MemoryPolicy {
  mode: MemoryMode
  nodes: readonly number[]
  flags: readonly MemoryFlag[]
}

/** @throws CofferdamError `ERR_INVALID_OPTION` and `ERR_CONFLICT`, as for `memoryPolicy.nodes`. */
export function parseMemoryPolicy(options: MemoryPolicyOptions): MemoryPolicy {
  onlyKeys('memoryPolicy', options, ['mode', 'nodes', 'flags'])
  const { mode, nodes, flags: wanted = [] } = options
  keyOption('memoryPolicy.mode', mode, modes)
  const needed = modes[mode].nodes === 'some'
  if (needed && nodes === undefined) throw invalidOption('memoryPolicy.nodes', `'${mode}' needs it`)
  if (!needed && nodes !== undefined)
    throw conflict('memoryPolicy.nodes', `means nothing to the mode '${mode}'`)
  if (!Array.isArray(wanted)) throw invalidOption('memoryPolicy.flags', 'must be a list')
  for (const flag of wanted) keyOption('memoryPolicy.flags', flag, modeFlags)
  if (!needed && wanted.length > 0)
    throw conflict('memoryPolicy.flags', `mean nothing to the mode '${mode}'`)
  if (wanted.includes('static-nodes') && wanted.includes('relative-nodes'))
    throw conflict('memoryPolicy.flags', 'nodes are static or relative, not both')
  if (wanted.includes('numa-balancing') && mode !== 'bind' && mode !== 'preferred-many')
    throw conflict('memoryPolicy.flags', "numa-balancing is of 'bind' and 'preferred-many'")
  return {
    mode,
    nodes: nodes === undefined ? [] : parseList('memoryPolicy.nodes', nodes),
    flags: [...wanted],
  }
}

/**
 * From which memory nodes this process and those that come of it get memory.
 * set_mempolicy(2); `EINVAL` when none of the nodes is there or allowed by the
 * cgroup, `ENOSYS` on a kernel without NUMA. Equivalent to: `numactl --membind=NODES`
 */
export function memoryPolicyStep({ mode, nodes, flags: set }: MemoryPolicy): InitStep {
  const how = flags(modes[mode].mode, ...set.map(flag => modeFlags[flag]))
  if (nodes.length === 0) return step('memory policy', call('set_mempolicy', [how, 0, 0]))
  const mask = bitSet(nodes)
  // It takes one bit less than it is told: kernel/mempolicy.c, get_nodes().
  const most = 8 * mask.bytes.length + 1
  return step('memory policy', call('set_mempolicy', [how, mask, most]))
}
