import {
  conflict,
  flagOption,
  integerOption,
  invalidOption,
  onlyKeys,
  show,
} from '../../base/index.js'
import { cpuSharesFromWeight, cpuWeightFromShares } from './convert.js'
import { known, type LimitKind } from './kind.js'
import type { LimitFolder } from './target.js'
import { type LimitNumber, microsecondsOption, toldFlag, toldLimit, toldNumber } from './values.js'

/** Time on processors. Numbers are microseconds, as the kernel has them; text has a unit: `'50ms'`. */
export interface CpuLimits {
  /**
   * So long may all of the group's threads together run in each period, from 1 ms; or
   * `'max'`. v2 `cpu.max`, v1 `cpu.cfs_quota_us`. `cpus` says the same in processors.
   * Equivalent to: `docker run --cpu-quota`
   */
  quota?: number | string
  /** 1 ms to 1 s; the kernel begins with 100 ms. v2 `cpu.max`, v1 `cpu.cfs_period_us`. */
  period?: number | string
  /**
   * Share of the time that there is, beside the groups that have the same one above them (by
   * default `/cofferdam`, which keeps the first weight): 1 to 10,000; the kernel begins with
   * 100. v2 `cpu.weight`; on v1 the `cpu.shares` of {@link cpuSharesFromWeight}.
   */
  weight?: number
  /**
   * The same in v1's scale and the OCI's: 2 to 262,144; the kernel begins with 1024. v1
   * `cpu.shares`; on v2 the weight of {@link cpuWeightFromShares}, which is a coarser
   * scale: what is read there is {@link cpuSharesFromWeight} of that.
   * Equivalent to: `docker run --cpu-shares`
   */
  shares?: number
  /**
   * Unused quota that may be saved up for later, at most `quota`. v2 `cpu.max.burst`, v1
   * `cpu.cfs_burst_us`; Linux 5.14.
   */
  burst?: number | string
  /**
   * Only what nobody else wants; it has no weight then. `cpu.idle`; Linux 5.15. False
   * gives it the weight that the kernel begins with.
   */
  idle?: boolean
  /**
   * So long may real-time processes run in each `realtimePeriod`; 0, with which the kernel
   * begins, lets none be. Within that of the group above. v1 `cpu.rt_runtime_us`, where
   * the kernel has CONFIG_RT_GROUP_SCHED; sched(7).
   */
  realtimeRuntime?: number | string
  /** The kernel begins with 1 s. v1 `cpu.rt_period_us`. */
  realtimePeriod?: number | string
}

/** {@link CpuLimits}, checked. */
export interface CheckedCpu {
  quota?: LimitNumber
  period?: number
  weight?: number
  shares?: number
  burst?: number
  idle?: boolean
  realtimeRuntime?: number
  realtimePeriod?: number
}

const LEAST = 1000 // kernel/sched/core.c, min_cfs_quota_period
const MOST_PERIOD = 1_000_000 // max_cfs_quota_period
const MOST_QUOTA = 2 ** 44 - 1 // max_bw_quota_period_us

/** With which the kernel begins. */
const PERIOD = 100_000

function parse(option: string, value: unknown): CheckedCpu {
  onlyKeys(option, value, [
    'quota',
    'period',
    'weight',
    'shares',
    'burst',
    'idle',
    'realtimeRuntime',
    'realtimePeriod',
  ])
  const limits = value as CpuLimits
  const time = (key: keyof CpuLimits, least: number, most: number) =>
    limits[key] === undefined
      ? undefined
      : microsecondsOption(`${option}.${key}`, limits[key], least, most)
  const count = (key: keyof CpuLimits, least: number, most: number) =>
    limits[key] === undefined
      ? undefined
      : integerOption(`${option}.${key}`, limits[key], least, most)
  const checked = {
    quota: limits.quota === 'max' ? 'max' : time('quota', LEAST, MOST_QUOTA),
    period: time('period', LEAST, MOST_PERIOD),
    weight: count('weight', 1, 10_000),
    shares: count('shares', 2, 262_144),
    burst: time('burst', 0, MOST_QUOTA),
    idle: limits.idle === undefined ? undefined : flagOption(`${option}.idle`, limits.idle, false),
    realtimeRuntime: time('realtimeRuntime', 0, MOST_QUOTA),
    realtimePeriod: time('realtimePeriod', 1, MOST_QUOTA),
  } as const
  const { quota, burst, realtimeRuntime, realtimePeriod } = checked
  if (checked.weight !== undefined && checked.shares !== undefined)
    throw conflict(`${option}.shares`, 'and weight are the same in two scales; give one of them')
  const weighed = checked.weight !== undefined ? 'weight' : 'shares'
  if (checked.idle && checked[weighed] !== undefined)
    throw conflict(`${option}.${weighed}`, 'a group that is idle has none')
  if (typeof quota === 'number' && burst !== undefined && burst > quota)
    throw conflict(`${option}.burst`, `${burst} is above the quota, ${quota}`)
  if (realtimeRuntime !== undefined && realtimeRuntime > (realtimePeriod ?? MOST_QUOTA))
    throw conflict(`${option}.realtimeRuntime`, `${realtimeRuntime} is above the period`)
  return known<CheckedCpu>(checked) ?? {}
}

/**
 * Quota and period for a number of processors, as `0.5`: in 100 ms, or in a second where
 * the quota would be below the kernel's least.
 */
export function quotaOfCpus(option: string, cpus: unknown): Pick<CheckedCpu, 'quota' | 'period'> {
  if (cpus === 'max') return { quota: cpus }
  const number = typeof cpus === 'number' ? cpus : 0
  const period = number < LEAST / PERIOD ? MOST_PERIOD : PERIOD
  const quota = Math.round(number * period)
  if (!(quota >= LEAST && quota <= MOST_QUOTA))
    throw invalidOption(option, `${show(cpus)} is none; processors from 0.001, and 'max', are`)
  return { quota, period }
}

/** The other way round. */
export function cpusOfQuota(cpu: CheckedCpu | undefined): LimitNumber | undefined {
  if (cpu?.quota === undefined || cpu.quota === 'max') return cpu?.quota
  return cpu.quota / (cpu.period ?? PERIOD)
}

type Write = () => void

/**
 * A part of a period that falls with its period, and a period: so that at no moment there
 * is more of it than before or after, which the groups above may not have to give.
 */
function inOrder(before: LimitNumber, after: LimitNumber, part: Write, period: Write): void {
  const lowers = before !== 'max' && (after === 'max' || after < before)
  if (lowers) part()
  period()
  if (!lowers) part()
}

function write1(
  folder: LimitFolder,
  option: string,
  limits: CheckedCpu,
  present: CheckedCpu,
): void {
  const { quota, period, realtimeRuntime, realtimePeriod } = limits
  const put = (key: keyof CheckedCpu, file: string, value: number | undefined) => () => {
    if (value !== undefined) folder.write(`${option}.${key}`, file, value)
  }
  inOrder(
    present.quota ?? 'max',
    quota ?? present.quota ?? 'max',
    put('quota', 'cpu.cfs_quota_us', quota === 'max' ? -1 : quota),
    put('period', 'cpu.cfs_period_us', period),
  )
  inOrder(
    present.realtimeRuntime ?? 0,
    realtimeRuntime ?? present.realtimeRuntime ?? 0,
    put('realtimeRuntime', 'cpu.rt_runtime_us', realtimeRuntime),
    put('realtimePeriod', 'cpu.rt_period_us', realtimePeriod),
  )
}

function write2(
  folder: LimitFolder,
  option: string,
  limits: CheckedCpu,
  present: CheckedCpu,
): void {
  for (const key of ['realtimeRuntime', 'realtimePeriod'] as const)
    if (limits[key] !== undefined)
      folder.onlyIn(
        1,
        `${option}.${key}`,
        'on v2 sched_setattr(2), SCHED_DEADLINE, is what there is',
      )
  if (limits.quota === undefined && limits.period === undefined) return
  const quota = limits.quota ?? present.quota ?? 'max'
  const key = limits.quota === undefined ? 'period' : 'quota'
  // Without a period the present one stays.
  const period = limits.period === undefined ? '' : ` ${limits.period}`
  folder.write(`${option}.${key}`, 'cpu.max', `${quota}${period}`)
}

/** Limits of time on processors. */
export const cpu: LimitKind<CheckedCpu> = {
  sources: [
    {
      controllers: ['cpu'],
      files: version =>
        version === 2
          ? ['cpu.max', 'cpu.max.burst', 'cpu.weight', 'cpu.idle']
          : [
              'cpu.cfs_quota_us',
              'cpu.cfs_period_us',
              'cpu.cfs_burst_us',
              'cpu.shares',
              'cpu.idle',
              'cpu.rt_runtime_us',
              'cpu.rt_period_us',
            ],
    },
  ],
  parse,
  write(target, option, limits, present = {}) {
    if (Object.keys(limits).length === 0) return
    const folder = target.at(option, ['cpu'])
    const { burst, idle, weight, shares } = limits
    const writeBurst = () => {
      const file = folder.version === 2 ? 'cpu.max.burst' : 'cpu.cfs_burst_us'
      if (burst !== undefined) folder.write(`${option}.burst`, file, burst)
    }
    // A burst is at most the quota, at every moment.
    const lowers = (burst ?? 0) < (present.burst ?? 0)
    if (lowers) writeBurst()
    if (folder.version === 2) write2(folder, option, limits, present)
    else write1(folder, option, limits, present)
    if (!lowers) writeBurst()
    // An idle group takes no weight, and gets the first one when it is idle no more.
    if (idle !== undefined) folder.write(`${option}.idle`, 'cpu.idle', Number(idle))
    if (weight !== undefined)
      folder.version === 2
        ? folder.write(`${option}.weight`, 'cpu.weight', weight)
        : folder.write(`${option}.weight`, 'cpu.shares', cpuSharesFromWeight(weight))
    if (shares !== undefined)
      folder.version === 1
        ? folder.write(`${option}.shares`, 'cpu.shares', shares)
        : folder.write(`${option}.shares`, 'cpu.weight', cpuWeightFromShares(shares))
  },
  read(told, version) {
    const idle = toldFlag(told('cpu.idle'))
    if (version === 2) {
      const [quota, period] = (told('cpu.max') ?? '').trim().split(' ')
      const weight = idle ? undefined : toldNumber(told('cpu.weight'))
      return known<CheckedCpu>({
        quota: toldLimit(quota),
        period: toldNumber(period),
        weight,
        shares: weight === undefined ? undefined : cpuSharesFromWeight(weight),
        burst: toldNumber(told('cpu.max.burst')),
        idle,
      })
    }
    const shares = idle ? undefined : toldNumber(told('cpu.shares'))
    return known<CheckedCpu>({
      quota: toldLimit(told('cpu.cfs_quota_us')),
      period: toldNumber(told('cpu.cfs_period_us')),
      weight: shares === undefined ? undefined : cpuWeightFromShares(shares),
      shares,
      burst: toldNumber(told('cpu.cfs_burst_us')),
      idle,
      realtimeRuntime: toldNumber(told('cpu.rt_runtime_us')),
      realtimePeriod: toldNumber(told('cpu.rt_period_us')),
    })
  },
}
