import type { StatsSource } from './source.js'
import { FlatKeys } from './text.js'

/** Processor time of a group and of those below it. Times are microseconds. */
export interface CpuStats {
  /** `cpu.stat`'s `usage_usec`; v1: `cpuacct.usage`. */
  usage: number
  /** In user space. */
  user?: number | undefined
  /** In the kernel. */
  system?: number | undefined
  /** Periods of its quota that have passed while it had something to run. */
  periods?: number | undefined
  /** Periods in which it used its quota up. */
  throttledPeriods?: number | undefined
  /** How long its processors have been held back, added up. */
  throttledTime?: number | undefined
  /** Periods in which it used what it had saved. */
  bursts?: number | undefined
  /** How much of that. */
  burstTime?: number | undefined
  /** Of each processor; v1's `cpuacct.usage_percpu`, and only where it is asked for. */
  perCpu?: number[] | undefined
}

const unified = new FlatKeys([
  'usage_usec',
  'user_usec',
  'system_usec',
  'nr_periods',
  'nr_throttled',
  'throttled_usec',
  'nr_bursts',
  'burst_usec',
])

/** Also of a group without the controller, but then of what it has used only. */
export const cpuUnified: StatsSource = {
  part: 'cpu',
  version: 2,
  files: ['cpu.stat'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined || stats.cpu !== undefined) return
    const [usage, user, system, ...quota] = unified.read(text)
    if (usage === undefined) return
    const [periods, throttledPeriods, throttledTime, bursts, burstTime] = quota
    stats.cpu = {
      usage,
      user,
      system,
      periods,
      throttledPeriods,
      throttledTime,
      bursts,
      burstTime,
    }
  },
}

export const cpuacct: StatsSource = {
  part: 'cpu',
  version: 1,
  controller: 'cpuacct',
  files: ['cpuacct.usage', 'cpuacct.usage_user'],
  read(files, stats) {
    const usage = files.text(0)?.microseconds()
    if (usage === undefined) return
    // Read after the whole, it may have more by now.
    const later = files.text(1)?.microseconds()
    const user = later === undefined ? undefined : Math.min(usage, later)
    stats.cpu = { usage, user, system: user === undefined ? undefined : usage - user }
  },
}

const times = ['throttled_time', 'burst_time']
const quota = new FlatKeys(
  ['nr_periods', 'nr_throttled', 'throttled_time', 'nr_bursts', 'burst_time'],
  times,
)

/** Comes after {@link cpuacct}: without that it is known of the group only how it was held back. */
export const cpuQuota: StatsSource = {
  part: 'cpu',
  version: 1,
  controller: 'cpu',
  files: ['cpu.stat'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined || stats.cpu === undefined) return
    const [periods, throttledPeriods, throttledTime, bursts, burstTime] = quota.read(text)
    Object.assign(stats.cpu, { periods, throttledPeriods, throttledTime, bursts, burstTime })
  },
}

export const cpuPerCpu: StatsSource = {
  part: 'perCpu',
  version: 1,
  controller: 'cpuacct',
  files: ['cpuacct.usage_percpu'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined) return
    const perCpu: number[] = []
    for (let time = text.microseconds(); time !== undefined; time = text.microseconds()) {
      perCpu.push(time)
      text.at++
    }
    if (stats.cpu !== undefined) stats.cpu.perCpu = perCpu
  },
}
