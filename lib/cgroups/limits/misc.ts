import { objectOption } from '../../base/index.js'
import type { LimitKind } from './kind.js'
import { nameOption } from './rdma.js'
import { type LimitNumber, numberLimit, toldLimit, toldLines } from './values.js'

/** Limits by name of the resource, as `sev`, in its own unit, or `'max'`; `misc.max`. */
export type MiscLimits = Record<string, LimitNumber>

/** Limits of resources that have no controller of their own; Linux 5.13. */
export const misc: LimitKind<MiscLimits> = {
  sources: [{ controllers: ['misc'], files: () => ['misc.max'] }],
  parse(option, value) {
    objectOption(option, value)
    const checked: MiscLimits = {}
    for (const [resource, limit] of Object.entries(value as MiscLimits)) {
      if (limit === undefined) continue
      const own = `${option}.${nameOption(`${option}.${resource}`, resource)}`
      checked[resource] = numberLimit(own, limit, 0)
    }
    return checked
  },
  write(target, option, limits) {
    for (const [resource, limit] of Object.entries(limits))
      target.at(option, ['misc']).write(`${option}.${resource}`, 'misc.max', `${resource} ${limit}`)
  },
  read(told) {
    const text = told('misc.max')
    if (text === undefined) return undefined
    const limits: MiscLimits = {}
    for (const [resource, rest] of toldLines(text)) {
      const limit = toldLimit(rest)
      if (limit !== undefined && resource !== '__proto__') limits[resource] = limit
    }
    return limits
  },
}
