import { readdirSync } from 'node:fs'
import { invalidOption, objectOption, onlyKeys } from '../../base/index.js'
import { known, type LimitKind } from './kind.js'
import { type LimitNumber, type LimitSize, sizeLimit, toldLimit } from './values.js'

/** Huge pages of one size: bytes, in whole pages, rounded down, or `'max'`. */
export interface HugetlbLimits {
  /**
   * A process that touches more gets SIGBUS. v2 `hugetlb.2MB.max`, v1
   * `hugetlb.2MB.limit_in_bytes`.
   */
  max?: LimitSize
  /**
   * What may be reserved: mmap(2) fails with `ENOMEM` beyond. v2 `hugetlb.2MB.rsvd.max`, v1
   * `hugetlb.2MB.rsvd.limit_in_bytes`; Linux 5.7.
   */
  reserved?: LimitSize
}

/** Limits by size of page, as the kernel writes it: `'2MB'`, `'1GB'`. */
export type CheckedHugetlb = Record<string, { max?: LimitNumber; reserved?: LimitNumber }>

const units: Record<string, number> = { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }

/** The sizes of huge pages that this kernel has, as its control groups write them. */
export function hugePageSizes(): string[] {
  let names: string[] = []
  try {
    names = readdirSync('/sys/kernel/mm/hugepages')
  } catch {
    // It has none.
  }
  return names.flatMap(name => {
    const kilobytes = Number(/^hugepages-(\d{1,10})kB$/.exec(name)?.[1])
    if (!(kilobytes > 0)) return []
    if (kilobytes >= 2 ** 20) return [`${kilobytes / 2 ** 20}GB`]
    return [kilobytes >= 2 ** 10 ? `${kilobytes / 2 ** 10}MB` : `${kilobytes}KB`]
  })
}

function parse(option: string, value: unknown): CheckedHugetlb {
  objectOption(option, value)
  const checked: CheckedHugetlb = {}
  for (const [size, limit] of Object.entries(value as Record<string, LimitSize | HugetlbLimits>)) {
    if (limit === undefined) continue
    const own = `${option}.${size}`
    const [, number, unit = ''] = /^([1-9]\d{0,5})(KB|MB|GB)$/.exec(size) ?? []
    if (number === undefined)
      throw invalidOption(own, "there is no such size of a page; '2MB' and '1GB' are some")
    const page = Number(number) * (units[unit] as number)
    const parts = typeof limit === 'object' ? limit : { max: limit }
    onlyKeys(own, parts, ['max', 'reserved'])
    checked[size] =
      known({
        max: parts.max === undefined ? undefined : sizeLimit(`${own}.max`, parts.max, page),
        reserved:
          parts.reserved === undefined
            ? undefined
            : sizeLimit(`${own}.reserved`, parts.reserved, page),
      }) ?? {}
  }
  return checked
}

function files(size: string, version: 1 | 2): { max: string; reserved: string } {
  const last = version === 2 ? 'max' : 'limit_in_bytes'
  return { max: `hugetlb.${size}.${last}`, reserved: `hugetlb.${size}.rsvd.${last}` }
}

/** Limits of huge pages. */
export const hugetlb: LimitKind<CheckedHugetlb> = {
  sources: [
    {
      controllers: ['hugetlb'],
      files: version => hugePageSizes().flatMap(size => Object.values(files(size, version))),
    },
  ],
  parse,
  write(target, option, limits) {
    for (const [size, limit] of Object.entries(limits)) {
      const folder = target.at(option, ['hugetlb'])
      const names = files(size, folder.version)
      for (const key of ['reserved', 'max'] as const) {
        const value = limit[key]
        if (value === undefined) continue
        const v1 = folder.version === 1 && value === 'max' ? -1 : value
        folder.write(
          `${option}.${size}.${key}`,
          names[key],
          v1,
          `there are ${hugePageSizes().join(', ') || 'no huge pages'}`,
        )
      }
    }
  },
  read(told, version) {
    const limits: Record<string, CheckedHugetlb[string] | undefined> = {}
    for (const size of hugePageSizes()) {
      const { max, reserved } = files(size, version)
      limits[size] = known<CheckedHugetlb[string]>({
        max: toldLimit(told(max)),
        reserved: toldLimit(told(reserved)),
      })
    }
    return known<CheckedHugetlb>(limits)
  },
}
