import type { StatsSource } from './source.js'
import { FlatKeys, type Limit } from './text.js'

/** Memory of a group and of those below it. Sizes are bytes. */
export interface MemoryStats {
  /** All that counts for its limit. `memory.current`; v1: `memory.usage_in_bytes` */
  usage: number
  /**
   * What the kernel would not simply take back: `usage` less `inactiveFile`, as the
   * kubelet computes it.
   */
  workingSet: number
  /** The most that `usage` has been. */
  peak?: number | undefined
  /** Its own limit, and not one of a group above it. */
  limit?: Limit | undefined
  /**
   * How often it was at the limit. `max` of `memory.events`; v1: `memory.failcnt`, and that of
   * the limit for memory and swap together, which Linux 6.18 does not count.
   */
  limitHits?: number | undefined
  /** How often nothing could be taken back at the limit. v2 */
  oom?: number | undefined
  /**
   * How many of its processes the kernel has killed for that. On v1 those of the
   * group itself, and not of groups below it.
   */
  oomKills?: number | undefined
  swap?: SwapStats | undefined
  /** Of processes' own, such as heaps and stacks. v1: `rss` */
  anon?: number | undefined
  /** The page cache, with `shmem`. v1: `cache` */
  file?: number | undefined
  /** Of the kernel's for the group. v1: `memory.kmem.usage_in_bytes` */
  kernel?: number | undefined
  slab?: number | undefined
  kernelStack?: number | undefined
  pageTables?: number | undefined
  sock?: number | undefined
  /** tmpfs, shared memory, and what is mapped shared of no file. */
  shmem?: number | undefined
  /** Of files, and mapped by some process. */
  mapped?: number | undefined
  /** To be written to a disk. */
  dirty?: number | undefined
  /** On its way there. */
  writeback?: number | undefined
  activeAnon?: number | undefined
  inactiveAnon?: number | undefined
  activeFile?: number | undefined
  inactiveFile?: number | undefined
  unevictable?: number | undefined
  pageFaults?: number | undefined
  /** Page faults that had to read. */
  majorPageFaults?: number | undefined
}

/** Swap of a group, alone, in bytes. */
export interface SwapStats {
  usage: number
  peak?: number | undefined
  /** On v1 what its limit for memory and swap together leaves beyond that for memory. */
  limit?: Limit | undefined
}

const unifiedKeys = new FlatKeys([
  'anon',
  'file',
  'kernel',
  'slab',
  'kernel_stack',
  'pagetables',
  'sock',
  'shmem',
  'file_mapped',
  'file_dirty',
  'file_writeback',
  'active_anon',
  'inactive_anon',
  'active_file',
  'inactive_file',
  'unevictable',
  'pgfault',
  'pgmajfault',
])
const eventKeys = new FlatKeys(['max', 'oom', 'oom_kill'])

/** Keys that are the same for both versions, by their place. */
function figures(values: readonly (number | undefined)[]) {
  const [anon, file, kernel, slab, kernelStack, pageTables, sock, shmem, mapped, ...more] = values
  const [dirty, writeback, activeAnon, inactiveAnon, activeFile, inactiveFile, ...last] = more
  const [unevictable, pageFaults, majorPageFaults] = last
  return {
    anon,
    file,
    kernel,
    slab,
    kernelStack,
    pageTables,
    sock,
    shmem,
    mapped,
    dirty,
    writeback,
    activeAnon,
    inactiveAnon,
    activeFile,
    inactiveFile,
    unevictable,
    pageFaults,
    majorPageFaults,
  }
}

const workingSet = (usage: number, inactiveFile = 0) => Math.max(0, usage - inactiveFile)

export const memoryUnified: StatsSource = {
  part: 'memory',
  version: 2,
  controller: 'memory',
  files: [
    'memory.current',
    'memory.stat',
    'memory.events',
    'memory.peak',
    'memory.max',
    'memory.swap.current',
    'memory.swap.peak',
    'memory.swap.max',
  ],
  read(files, stats) {
    const usage = files.text(0)?.number()
    if (usage === undefined) return
    const list = files.text(1)
    const known = list === undefined ? undefined : figures(unifiedKeys.read(list))
    const events = files.text(2)
    const [limitHits, oom, oomKills] = events === undefined ? [] : eventKeys.read(events)
    const swap = files.text(5)?.number()
    stats.memory = {
      usage,
      workingSet: workingSet(usage, known?.inactiveFile),
      peak: files.text(3)?.number(),
      limit: files.text(4)?.limit(),
      limitHits,
      oom,
      oomKills,
      swap:
        swap === undefined
          ? undefined
          : { usage: swap, peak: files.text(6)?.number(), limit: files.text(7)?.limit() },
      ...known,
    }
  },
}

// Of the group with those below it, as v2 has all. What there is no key for is
// named by one that never comes.
const legacyKeys = new FlatKeys([
  'total_rss',
  'total_cache',
  ...['kernel', 'slab', 'kernel_stack', 'pagetables', 'sock'].map(name => `no ${name}`),
  'total_shmem',
  'total_mapped_file',
  'total_dirty',
  'total_writeback',
  'total_active_anon',
  'total_inactive_anon',
  'total_active_file',
  'total_inactive_file',
  'total_unevictable',
  'total_pgfault',
  'total_pgmajfault',
  'total_swap',
])
const oomKeys = new FlatKeys(['oom_kill'])

export const memoryLegacy: StatsSource = {
  part: 'memory',
  version: 1,
  controller: 'memory',
  files: [
    'memory.usage_in_bytes',
    'memory.stat',
    'memory.oom_control',
    'memory.max_usage_in_bytes',
    'memory.limit_in_bytes',
    'memory.failcnt',
    'memory.kmem.usage_in_bytes',
    'memory.memsw.limit_in_bytes',
    'memory.memsw.failcnt',
  ],
  read(files, stats) {
    const usage = files.text(0)?.number()
    if (usage === undefined) return
    const list = files.text(1)
    const values = list === undefined ? [] : legacyKeys.read(list)
    const swap = values[18]
    const known = figures(values)
    const oom = files.text(2)
    const oomKills = oom === undefined ? undefined : oomKeys.read(oom)[0]
    const limit = files.text(4)?.limit()
    stats.memory = {
      usage,
      workingSet: workingSet(usage, known.inactiveFile),
      peak: files.text(3)?.number(),
      limit,
      limitHits: sum(files.text(5)?.number(), files.text(8)?.number()),
      oom: undefined,
      oomKills,
      swap:
        swap === undefined
          ? undefined
          : { usage: swap, peak: undefined, limit: beyond(files.text(7)?.limit(), limit) },
      ...known,
      kernel: files.text(6)?.number(),
    }
  },
}

const sum = (a: number | undefined, b = 0) => (a === undefined ? undefined : a + b)

/** What a limit for both leaves for swap. */
function beyond(both: Limit | undefined, memory: Limit | undefined): Limit | undefined {
  if (typeof both !== 'number' || typeof memory !== 'number') return both
  return Math.max(0, both - memory)
}
