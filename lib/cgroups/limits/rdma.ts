import { invalidOption, objectOption, onlyKeys } from '../../base/index.js'
import { known, type LimitKind } from './kind.js'
import { type LimitNumber, numberLimit, toldLimit, toldLines, toldPairs } from './values.js'

/** What of an RDMA device may be held at once, or `'max'`. `rdma.max`, the same on both versions. */
export interface RdmaLimits {
  hcaHandles?: LimitNumber
  hcaObjects?: LimitNumber
}

/** Limits by name of the device, as `mlx4_0`. */
export type CheckedRdma = Record<string, RdmaLimits>

const words = { hcaHandles: 'hca_handle', hcaObjects: 'hca_object' } as const
const MOST = 2 ** 31 - 1 // S32_MAX, kernel/cgroup/rdma.c

/** A name that is one word of a line. */
export function nameOption(option: string, name: string): string {
  if (!/^[^\s=\0]{1,64}$/.test(name) || name === '__proto__')
    throw invalidOption(option, 'is no name of one word')
  return name
}

/** Limits of RDMA devices. */
export const rdma: LimitKind<CheckedRdma> = {
  sources: [{ controllers: ['rdma'], files: () => ['rdma.max'] }],
  parse(option, value) {
    objectOption(option, value)
    const checked: CheckedRdma = {}
    for (const [device, limits] of Object.entries(value as CheckedRdma)) {
      if (limits === undefined) continue
      const own = `${option}.${nameOption(`${option}.${device}`, device)}`
      onlyKeys(own, limits, Object.keys(words))
      checked[device] =
        known<RdmaLimits>({
          hcaHandles:
            limits.hcaHandles === undefined
              ? undefined
              : numberLimit(`${own}.hcaHandles`, limits.hcaHandles, 0, MOST),
          hcaObjects:
            limits.hcaObjects === undefined
              ? undefined
              : numberLimit(`${own}.hcaObjects`, limits.hcaObjects, 0, MOST),
        }) ?? {}
    }
    return checked
  },
  write(target, option, limits) {
    for (const [device, limit] of Object.entries(limits)) {
      const pairs = Object.entries(limit).map(
        ([key, value]) => `${words[key as keyof typeof words]}=${value}`,
      )
      if (pairs.length > 0)
        target
          .at(option, ['rdma'])
          .write(`${option}.${device}`, 'rdma.max', `${device} ${pairs.join(' ')}`)
    }
  },
  read(told) {
    const text = told('rdma.max')
    if (text === undefined) return undefined
    const limits: CheckedRdma = {}
    for (const [device, rest] of toldLines(text)) {
      const values = new Map(toldPairs(rest))
      const limit = known<RdmaLimits>({
        hcaHandles: toldLimit(values.get(words.hcaHandles)),
        hcaObjects: toldLimit(values.get(words.hcaObjects)),
      })
      if (limit !== undefined && device !== '__proto__') limits[device] = limit
    }
    return limits
  },
}
