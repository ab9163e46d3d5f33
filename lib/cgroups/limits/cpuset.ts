import { dirname, join } from 'node:path'
import {
  formatList,
  type NumberList,
  onlyKeys,
  parseList,
  readPseudoFile,
  wordOption,
} from '../../base/index.js'
import { known, type LimitKind } from './kind.js'
import type { LimitFolder } from './target.js'

/** What a group is to its processors: one of many users, or their owner. */
export type CpusetPartition = 'member' | 'root' | 'isolated'

const partitions: readonly CpusetPartition[] = ['member', 'root', 'isolated']

/**
 * On which processors and memory nodes. Lists are `'0-3,7'` or `[0, 1]`; `'max'` is what
 * the group above has.
 */
export interface CpusetLimits {
  /** `cpuset.cpus`. Equivalent to: `docker run --cpuset-cpus` */
  cpus?: NumberList
  /** `cpuset.mems`. Equivalent to: `docker run --cpuset-mems` */
  mems?: NumberList
  /** Processors for a partition of its own further down. v2 `cpuset.cpus.exclusive`; Linux 6.7. */
  exclusive?: NumberList
  /**
   * v2 `cpuset.cpus.partition`. `'root'` takes the processors away from the groups beside
   * it, `'isolated'` from the scheduler's balancing too. One that the kernel can't make is
   * an error, `ERR_UNSUPPORTED`; one that it gives up later is read as `'member'`, as
   * which it then counts.
   */
  partition?: CpusetPartition
}

/** {@link CpusetLimits}, checked: lists as the kernel writes them. */
export interface CheckedCpuset {
  cpus?: string
  mems?: string
  exclusive?: string
  partition?: CpusetPartition
}

const lists = {
  cpus: 'cpuset.cpus',
  mems: 'cpuset.mems',
  exclusive: 'cpuset.cpus.exclusive',
} as const
/** It exists on v2 alone. */
export const PARTITION = 'cpuset.cpus.partition'

function parse(option: string, value: unknown): CheckedCpuset {
  onlyKeys(option, value, [...Object.keys(lists), 'partition'])
  const limits = value as CpusetLimits
  const checked: CheckedCpuset = {}
  for (const key of ['cpus', 'mems', 'exclusive'] as const) {
    const list = limits[key]
    if (list !== undefined)
      checked[key] = list === 'max' ? list : formatList(parseList(`${option}.${key}`, list))
  }
  const { partition } = limits
  if (partition !== undefined) {
    checked.partition = wordOption(`${option}.partition`, partition, partitions)
  }
  return checked
}

function writeList(folder: LimitFolder, option: string, file: string, list: string): void {
  // On v2 an empty list is the parent's. v1 wants one, so it is copied.
  const inherited = () =>
    folder.version === 2 ? '' : (readPseudoFile(join(dirname(folder.path), file))?.trim() ?? '')
  folder.write(option, file, list === 'max' ? `${inherited()}\n` : list)
}

/** Processors and memory nodes. */
export const cpuset: LimitKind<CheckedCpuset> = {
  sources: [{ controllers: ['cpuset'], files: () => [...Object.values(lists), PARTITION] }],
  parse,
  write(target, option, limits) {
    if (Object.keys(limits).length === 0) return
    const folder = target.at(option, ['cpuset'])
    const { partition } = limits
    const writePartition = () => {
      if (partition !== undefined) folder.write(`${option}.partition`, PARTITION, partition)
    }
    if (limits.exclusive !== undefined) folder.onlyIn(2, `${option}.exclusive`)
    if (partition !== undefined)
      folder.onlyIn(
        2,
        `${option}.partition`,
        "what comes near is raw: { 'cpuset.cpu_exclusive': 1 }",
      )
    // It is one with its processors, and left before they change.
    if (partition === 'member') writePartition()
    for (const key of ['cpus', 'exclusive', 'mems'] as const) {
      const list = limits[key]
      if (list !== undefined) writeList(folder, `${option}.${key}`, lists[key], list)
    }
    if (partition !== 'member') writePartition()
  },
  read(told) {
    const list = (file: string) => {
      const text = told(file)?.trim()
      return text === '' ? 'max' : text !== undefined && /^[\d,-]+$/.test(text) ? text : undefined
    }
    const state = told(PARTITION)?.trim()
    const partition = partitions.find(name => name === state)
    return known<CheckedCpuset>({
      cpus: list(lists.cpus),
      mems: list(lists.mems),
      exclusive: list(lists.exclusive),
      // As 'root invalid (Cpu list in cpuset.cpus not exclusive)'.
      partition: partition ?? (state?.includes(' invalid') ? 'member' : undefined),
    })
  },
}
