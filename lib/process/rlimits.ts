import { invalidOption, onlyKeys, parseSize, type Size, show } from '../base/index.js'
import { call, type InitStep, named, step } from '../plan/index.js'

// asm-generic/resource.h; and whether the unit is bytes. getrlimit(2)
const resources = {
  cpu: { number: 0, bytes: false },
  fsize: { number: 1, bytes: true },
  data: { number: 2, bytes: true },
  stack: { number: 3, bytes: true },
  core: { number: 4, bytes: true },
  rss: { number: 5, bytes: true },
  nproc: { number: 6, bytes: false },
  nofile: { number: 7, bytes: false },
  memlock: { number: 8, bytes: true },
  as: { number: 9, bytes: true },
  locks: { number: 10, bytes: false },
  sigpending: { number: 11, bytes: false },
  msgqueue: { number: 12, bytes: true },
  nice: { number: 13, bytes: false },
  rtprio: { number: 14, bytes: false },
  rttime: { number: 15, bytes: false },
} as const satisfies Record<Resource, object>

/** A resource that setrlimit(2) limits, as prlimit(1) names it. */
export type Resource =
  | 'cpu'
  | 'fsize'
  | 'data'
  | 'stack'
  | 'core'
  | 'rss'
  | 'nproc'
  | 'nofile'
  | 'memlock'
  | 'as'
  | 'locks'
  | 'sigpending'
  | 'msgqueue'
  | 'nice'
  | 'rtprio'
  | 'rttime'

/** The same as the kernel and the OCI name it. */
export type ResourceName = Resource | `RLIMIT_${Uppercase<Resource>}`

/**
 * A number in the resource's own unit; of those in bytes also a size, as
 * `'64MiB'`; or `'unlimited'`.
 */
export type LimitValue = Size | 'unlimited'

/** Both limits at once, or each by itself; `soft` is what counts, and at most `hard`. */
export type Limit = LimitValue | { soft: LimitValue; hard: LimitValue }

/**
 * Limits by resource. Bytes: `as`, `core`, `data`, `fsize`, `memlock`,
 * `msgqueue`, `rss`, `stack`. Seconds: `cpu`. Microseconds: `rttime`. `nice` is
 * 20 less the nice value. The rest are counts.
 */
export type Limits = Partial<Record<ResourceName, Limit>>

/** Checked limits; undefined is without limit. */
export interface CheckedLimit {
  resource: Resource
  soft: number | undefined
  hard: number | undefined
}

const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn

function parseValue(option: string, resource: Resource, value: unknown): number | undefined {
  if (value === 'unlimited') return undefined
  const { bytes } = resources[resource]
  if (bytes && typeof value === 'string') return parseSize(option, value)
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  const unit = bytes ? "bytes, '64MiB'" : 'whole numbers'
  throw invalidOption(option, `${show(value)} is no limit; ${unit} and 'unlimited' are`)
}

/** What `key` names, whichever way it is spelt. */
function resourceOf(option: string, key: string): Resource {
  const name = (/^RLIMIT_[A-Z]+$/.test(key) ? key.slice(7).toLowerCase() : key) as Resource
  if (!Object.hasOwn(resources, name))
    throw invalidOption(
      `${option}.${key}`,
      `there is no such resource; there are ${Object.keys(resources).join(', ')}`,
    )
  return name
}

/**
 * @throws CofferdamError `ERR_INVALID_OPTION`, as for `rlimits.nofile.soft`: an
 * unknown resource, what is no limit, a soft limit above the hard one, or a
 * resource named twice.
 */
export function parseLimits(option: string, limits: Limits): CheckedLimit[] {
  if (Object.prototype.toString.call(limits) !== '[object Object]')
    throw invalidOption(option, 'must be an object, { resource: limit }')
  const checked: CheckedLimit[] = []
  for (const [key, limit] of Object.entries(limits)) {
    if (limit === undefined) continue
    const resource = resourceOf(option, key)
    const own = `${option}.${key}`
    if (checked.some(other => other.resource === resource))
      throw invalidOption(own, 'the resource has been named before')
    if (typeof limit !== 'object' || limit === null) {
      const both = parseValue(own, resource, limit)
      checked.push({ resource, soft: both, hard: both })
      continue
    }
    onlyKeys(own, limit, ['soft', 'hard'])
    const soft = parseValue(`${own}.soft`, resource, limit.soft)
    const hard = parseValue(`${own}.hard`, resource, limit.hard)
    if (hard !== undefined && (soft === undefined || soft > hard))
      throw invalidOption(`${own}.soft`, `${soft ?? 'unlimited'} is above the hard limit, ${hard}`)
    checked.push({ resource, soft, hard })
  }
  return checked
}

/**
 * Limits what this process and those that come of it may use. prlimit(2);
 * `EPERM` for a hard limit above the present one without CAP_SYS_RESOURCE in
 * the first user namespace, and for `nofile` above sysctl fs.nr_open.
 * Equivalent to: `prlimit --nofile=SOFT:HARD …`
 */
export function limitsStep(limits: readonly CheckedLimit[]): InitStep {
  return step(
    'rlimits',
    ...limits.map(({ resource, soft, hard }) => {
      const bytes = Buffer.alloc(16) // struct rlimit64
      bytes.writeBigUInt64LE(soft === undefined ? RLIM_INFINITY : BigInt(soft), 0)
      bytes.writeBigUInt64LE(hard === undefined ? RLIM_INFINITY : BigInt(hard), 8)
      const text = `{${soft ?? 'RLIM64_INFINITY'}, ${hard ?? 'RLIM64_INFINITY'}}`
      const name = named(`RLIMIT_${resource.toUpperCase()}`, resources[resource].number)
      return call('prlimit64', [0, name, { bytes, text }, 0])
    }),
  )
}

// The words of proc_pid_limits(5).
const words: Readonly<Record<string, Resource>> = {
  'cpu time': 'cpu',
  'file size': 'fsize',
  'data size': 'data',
  'stack size': 'stack',
  'core file size': 'core',
  'resident set': 'rss',
  processes: 'nproc',
  'open files': 'nofile',
  'locked memory': 'memlock',
  'address space': 'as',
  'file locks': 'locks',
  'pending signals': 'sigpending',
  'msgqueue size': 'msgqueue',
  'nice priority': 'nice',
  'realtime priority': 'rtprio',
  'realtime timeout': 'rttime',
}

/** A limit that the kernel tells: a bigint above 2^53. */
export type ToldLimit = number | bigint | 'unlimited'

/** The limits in the text of proc_pid_limits(5), those of them that it has. */
export function parseLimitsText(
  text: string,
): Partial<Record<Resource, { soft: ToldLimit; hard: ToldLimit }>> {
  const limits: Partial<Record<Resource, { soft: ToldLimit; hard: ToldLimit }>> = {}
  const told = (value: string): ToldLimit => {
    if (value === 'unlimited') return value
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : BigInt(value)
  }
  for (const line of text.split('\n')) {
    const match = /^Max (.+?) +(unlimited|\d{1,20}) +(unlimited|\d{1,20})(?: |$)/.exec(line)
    const [, what = '', soft = '', hard = ''] = match ?? []
    if (Object.hasOwn(words, what))
      limits[words[what] as Resource] = { soft: told(soft), hard: told(hard) }
  }
  return limits
}
