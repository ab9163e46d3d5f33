import type { HugetlbStats, MiscStats, PidsStats, RdmaStats } from './counts.js'
import type { CpuStats } from './cpu.js'
import type { IoStats } from './io.js'
import type { MemoryStats } from './memory.js'
import type { Pressure } from './pressure.js'
import type { StatsText } from './text.js'

export type { StatsText }

/**
 * What a group has used, and those below it, the same on both versions. What there is
 * no controller for, or what the kernel does not count, is undefined.
 */
export interface Stats {
  /** When it was read: milliseconds, of `performance.now()`. For rates. */
  time: number
  cpu?: CpuStats
  memory?: MemoryStats
  pids?: PidsStats
  io?: IoStats
  /** By the size of the pages: `'2MB'`. */
  hugetlb?: Record<string, HugetlbStats>
  /** By the name of the device. */
  rdma?: Record<string, RdmaStats>
  /** By the name of the resource. */
  misc?: Record<string, MiscStats>
  /** How its processes have had to wait. v2 and hybrid hosts. */
  pressure?: Pressure
}

/** A part of {@link Stats}, or the processor time of each processor. */
export type StatsPart = Exclude<keyof Stats, 'time'> | 'perCpu'

/** The files of one {@link StatsSource}. */
export interface StatsFiles {
  /** Undefined when there is none. It is good until the next one is asked for. */
  text(file: number): StatsText | undefined
}

/** Files of one controller, and what they come to. */
export interface StatsSource {
  part: StatsPart
  version: 1 | 2
  /** Undefined: of every group of that version. */
  controller?: string
  files: readonly string[]
  read(files: StatsFiles, stats: Stats): void
}
