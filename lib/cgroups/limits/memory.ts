import { conflict, flagOption, integerOption, onlyKeys } from '../../base/index.js'
import { togetherFromSwap } from './convert.js'
import { known, type LimitKind } from './kind.js'
import type { LimitFolder, LimitTarget } from './target.js'
import {
  type LimitNumber,
  type LimitSize,
  pageSize,
  sizeLimit,
  toldLimit,
  toldNumber,
} from './values.js'

/**
 * Memory that the group and those below it use. Sizes are bytes or `'64MiB'`, and
 * count in whole pages, rounded down; `'max'` is no limit.
 */
export interface MemoryLimits {
  /**
   * What is more is reclaimed, and where that is not possible processes are killed.
   * A new limit below usage: v1 refuses what it can't reclaim (`EBUSY`), v2 kills;
   * see `checkBeforeUpdate`. v2 `memory.max`, v1 `memory.limit_in_bytes`.
   * Equivalent to: `docker run --memory`
   */
  max?: LimitSize
  /** Beyond it the group is slowed down and reclaimed from, but not killed. v2 `memory.high`. */
  high?: LimitSize
  /** So much is reclaimed only if there is nothing else to take. v2 `memory.low`. */
  low?: LimitSize
  /** So much is never reclaimed. v2 `memory.min`. */
  min?: LimitSize
  /**
   * Swap alone, besides memory. v2 `memory.swap.max`. v1 limits both together, in
   * `memory.memsw.limit_in_bytes`: there it needs a `max`, and moves along with it.
   */
  swap?: LimitSize
  /** Beyond it the group is slowed down. v2 `memory.swap.high`. */
  swapHigh?: LimitSize
  /** Compressed swap in memory. v2 `memory.zswap.max`. */
  zswap?: LimitSize
  /** All of the group is killed together, or nothing of it. v2 `memory.oom.group`. */
  oomGroup?: boolean
  /** Back to it when the machine is short of memory. v1 `memory.soft_limit_in_bytes`. */
  softLimit?: LimitSize
  /**
   * The kernel's own memory for the group. v1 `memory.kmem.limit_in_bytes`: newer
   * kernels have the file and heed no limit in it, which is `ERR_UNSUPPORTED` too.
   */
  kernel?: LimitSize
  /** Buffers of TCP sockets. v1 `memory.kmem.tcp.limit_in_bytes`. */
  kernelTcp?: LimitSize
  /** How readily memory is swapped out, 0 to 200. v1 `memory.swappiness`. */
  swappiness?: number
  /** Who is out of memory waits instead of being killed. v1 `memory.oom_control`. */
  disableOomKiller?: boolean
  /**
   * Refuses a `max` below what is used now, with `EBUSY`, instead of letting v2 kill.
   * It belongs to one change, and is not read back. The OCI's `checkBeforeUpdate`.
   */
  checkBeforeUpdate?: boolean
}

/** {@link MemoryLimits}, checked. */
export interface CheckedMemory {
  max?: LimitNumber
  high?: LimitNumber
  low?: LimitNumber
  min?: LimitNumber
  swap?: LimitNumber
  swapHigh?: LimitNumber
  zswap?: LimitNumber
  oomGroup?: boolean
  softLimit?: LimitNumber
  kernel?: LimitNumber
  kernelTcp?: LimitNumber
  swappiness?: number
  disableOomKiller?: boolean
  checkBeforeUpdate?: boolean
}

// In the order in which they are written. On v2 swap comes before max, so that
// what has to leave has somewhere to go; and high too, which kills nobody.
const sizes2 = {
  min: 'memory.min',
  low: 'memory.low',
  zswap: 'memory.zswap.max',
  swapHigh: 'memory.swap.high',
  swap: 'memory.swap.max',
  high: 'memory.high',
  max: 'memory.max',
} as const
const sizes1 = {
  kernel: 'memory.kmem.limit_in_bytes',
  kernelTcp: 'memory.kmem.tcp.limit_in_bytes',
  softLimit: 'memory.soft_limit_in_bytes',
} as const
const OOM_GROUP = 'memory.oom.group'
/** It is there on newer kernels too, which heed nothing in it. */
export const KERNEL_LIMIT = sizes1.kernel
const LIMIT = 'memory.limit_in_bytes'
const TOGETHER = 'memory.memsw.limit_in_bytes'
const SWAPPINESS = 'memory.swappiness'
const OOM_CONTROL = 'memory.oom_control'

const sizes = [...Object.keys(sizes2), ...Object.keys(sizes1)] as (keyof typeof sizes2 &
  keyof typeof sizes1)[]
const flags = ['oomGroup', 'disableOomKiller', 'checkBeforeUpdate'] as const

function parse(option: string, value: unknown): CheckedMemory {
  // In short: its max.
  if (typeof value !== 'object' || value === null)
    return { max: sizeLimit(option, value, pageSize()) }
  onlyKeys(option, value, [...sizes, ...flags, 'swappiness'])
  const limits = value as Record<string, unknown>
  const checked: Record<string, unknown> = {}
  for (const key of sizes)
    if (limits[key] !== undefined)
      checked[key] = sizeLimit(`${option}.${key}`, limits[key], pageSize())
  for (const key of flags)
    if (limits[key] !== undefined) checked[key] = flagOption(`${option}.${key}`, limits[key], false)
  if (limits.swappiness !== undefined)
    checked.swappiness = integerOption(`${option}.swappiness`, limits.swappiness, 0, 200)
  return checked
}

const swapHint =
  'the kernel has no accounting of swap; boot it with swapaccount=1, or leave this limit out'

function write2(folder: LimitFolder, option: string, limits: CheckedMemory): void {
  for (const key of ['softLimit', 'kernel', 'kernelTcp', 'swappiness', 'disableOomKiller'] as const)
    if (limits[key] !== undefined)
      folder.onlyIn(
        1,
        `${option}.${key}`,
        key === 'softLimit' ? 'memory.low and memory.high are what comes near' : undefined,
      )
  if (limits.oomGroup !== undefined)
    folder.write(`${option}.oomGroup`, OOM_GROUP, Number(limits.oomGroup))
  for (const [key, file] of Object.entries(sizes2) as [keyof typeof sizes2, string][]) {
    const value = limits[key]
    const hint = key.startsWith('swap') ? swapHint : undefined
    if (value !== undefined) folder.write(`${option}.${key}`, file, value, hint)
  }
}

function write1(
  folder: LimitFolder,
  option: string,
  limits: CheckedMemory,
  present: CheckedMemory,
): void {
  for (const key of ['high', 'low', 'min', 'swapHigh', 'zswap', 'oomGroup'] as const)
    if (limits[key] !== undefined)
      folder.onlyIn(
        2,
        `${option}.${key}`,
        key === 'high' || key === 'low' ? 'softLimit is what comes near' : undefined,
      )
  for (const [key, file] of Object.entries(sizes1) as [keyof typeof sizes1, string][]) {
    const value = limits[key]
    if (value !== undefined) folder.write(`${option}.${key}`, file, negative(value))
  }
  if (limits.swappiness !== undefined)
    folder.write(`${option}.swappiness`, SWAPPINESS, limits.swappiness)
  if (limits.disableOomKiller !== undefined)
    folder.write(`${option}.disableOomKiller`, OOM_CONTROL, Number(limits.disableOomKiller))
  if (limits.max !== undefined || limits.swap !== undefined)
    writeTogether(folder, option, limits, present)
}

/**
 * v1's limit of memory is at most that of both together at every moment: so which one
 * is written first depends on what holds now.
 */
function writeTogether(
  folder: LimitFolder,
  option: string,
  limits: CheckedMemory,
  present: CheckedMemory,
): void {
  const max = limits.max ?? present.max ?? 'max'
  const swap = limits.swap ?? present.swap ?? 'max'
  const together = togetherFromSwap(max, swap)
  if (together === undefined)
    throw conflict(
      limits.swap === undefined ? `${option}.max` : `${option}.swap`,
      'v1 limits swap together with memory, so that where swap has a limit memory needs one too',
    )
  const before = togetherFromSwap(present.max ?? 'max', present.swap ?? 'max') ?? 'max'
  const writeBoth = () => {
    if (limits.swap !== undefined || together !== before)
      folder.write(`${option}.swap`, TOGETHER, negative(together), swapHint)
  }
  const raises = above(max, before)
  if (raises) writeBoth()
  if (limits.max !== undefined) folder.write(`${option}.max`, LIMIT, negative(max))
  if (!raises) writeBoth()
}

function above(a: LimitNumber, b: LimitNumber): boolean {
  return b !== 'max' && (a === 'max' || a > b)
}

/** v1 takes -1 for no limit. */
function negative(value: LimitNumber): number {
  return value === 'max' ? -1 : value
}

/** Limits of memory. */
export const memory: LimitKind<CheckedMemory> = {
  sources: [
    {
      controllers: ['memory'],
      files: version =>
        version === 2
          ? [...Object.values(sizes2), OOM_GROUP]
          : [...Object.values(sizes1), LIMIT, TOGETHER, SWAPPINESS, OOM_CONTROL],
    },
  ],
  parse,
  write(target: LimitTarget, option, limits, present) {
    const folder = target.at(option, ['memory'])
    if (folder.version === 2) write2(folder, option, limits)
    else write1(folder, option, limits, present ?? {})
  },
  read(told, version) {
    if (version === 2) {
      const group = toldNumber(told(OOM_GROUP))
      const entries = Object.entries(sizes2).map(([key, file]) => [key, toldLimit(told(file))])
      return known<CheckedMemory>({
        ...(Object.fromEntries(entries) as CheckedMemory),
        oomGroup: group === undefined ? undefined : group === 1,
      })
    }
    const entries = Object.entries(sizes1).map(([key, file]) => [key, toldLimit(told(file))])
    const max = toldLimit(told(LIMIT))
    const disabled = /^oom_kill_disable ([01])$/m.exec(told(OOM_CONTROL) ?? '')?.[1]
    return known<CheckedMemory>({
      ...(Object.fromEntries(entries) as CheckedMemory),
      max,
      swap: swapOf(max, toldLimit(told(TOGETHER))),
      swappiness: toldNumber(told(SWAPPINESS)),
      disableOomKiller: disabled === undefined ? undefined : disabled === '1',
    })
  },
}

function swapOf(
  max: LimitNumber | undefined,
  together: LimitNumber | undefined,
): LimitNumber | undefined {
  if (max === undefined || together === undefined || together === 'max') return together
  return max === 'max' ? undefined : Math.max(together - max, 0)
}
