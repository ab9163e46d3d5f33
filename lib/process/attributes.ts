import { conflict, integerOption } from '../base/index.js'
import { type SignalName, signalNumber } from '../run/index.js'
import { type Affinity, type AffinityOptions, parseAffinity } from './affinity.js'
import { type IoPriority, type IoPriorityOptions, parseIoPriority } from './io-priority.js'
import { type Keyring, parseKeyring } from './keyring.js'
import { type MemoryPolicy, type MemoryPolicyOptions, parseMemoryPolicy } from './memory-policy.js'
import { type Personality, type PersonalityOptions, parsePersonality } from './personality.js'
import { type CheckedLimit, type Limits, parseLimits } from './rlimits.js'
import {
  keepsNice,
  parseNice,
  parseScheduler,
  type Scheduler,
  type SchedulerOptions,
} from './scheduling.js'

/**
 * How the kernel treats a process. What is left out is as with the program that
 * makes the container, but for the scheduling policy, which is the ordinary one,
 * and the session keyring.
 */
export interface AttributeOptions {
  /**
   * What it and its children may use. With `init: true` they hold for the small
   * init too. getrlimit(2). Equivalent to: `docker run --ulimit`
   */
  rlimits?: Limits
  /** Whom the kernel kills first when memory runs out: -1000, never, to 1000. */
  oomScoreAdjust?: number
  /** -20, the most favourable, to 19. nice(2) */
  nice?: number
  /** Scheduling policy. sched(7). Default: `'other'`. Equivalent to: `chrt` */
  scheduler?: SchedulerOptions
  /** Whom disks serve first. Equivalent to: `ionice` */
  ioPriority?: IoPriorityOptions
  /**
   * Processors that the program runs on: `'0-3,7'` or `[0, 1]`; or `{ setup,
   * workload }`, with those of what comes before it, which `process()` can say for
   * all of the container's making. Without `workload` it stays on those.
   */
  affinity?: AffinityOptions
  /** Memory nodes that it gets memory from. Equivalent to: `numactl` */
  memoryPolicy?: MemoryPolicyOptions
  /** How the kernel shows itself. Equivalent to: `setarch` */
  personality?: PersonalityOptions
  /**
   * Session keyring. Default: `'new'`. `'inherit'` is for `process()`, since
   * `create()` leaves that of this program otherwise; and for `exec()`.
   */
  keyring?: Keyring
  /**
   * What it gets when its parent ends, or `'none'`. Default: `'SIGKILL'`, or none in
   * a container with lifetime `'released'`. Anything else only where its end does
   * not rest on this signal: there, with `init: true`, where the parent is that
   * init, and for `exec()` into a PID namespace. The kernel drops it when a
   * program is executed that gives more privileges. prctl(2) PR_SET_PDEATHSIG
   */
  parentDeathSignal?: SignalName | 'none'
}

/** {@link AttributeOptions}, checked. */
export interface Attributes {
  rlimits?: readonly CheckedLimit[]
  oomScoreAdjust?: number
  nice?: number
  scheduler?: Scheduler
  ioPriority?: IoPriority
  affinity?: Affinity
  memoryPolicy?: MemoryPolicy
  personality?: Personality
  keyring?: Keyring
  /** 0 for none. */
  parentDeathSignal?: number
}

type Parser<K extends keyof AttributeOptions> = (
  value: NonNullable<AttributeOptions[K]>,
) => NonNullable<Attributes[K]>

const parsers: { [K in keyof AttributeOptions]-?: Parser<K> } = {
  rlimits: value => parseLimits('rlimits', value),
  oomScoreAdjust: value => integerOption('oomScoreAdjust', value, -1000, 1000),
  nice: value => parseNice('nice', value),
  scheduler: parseScheduler,
  ioPriority: parseIoPriority,
  affinity: parseAffinity,
  memoryPolicy: parseMemoryPolicy,
  personality: parsePersonality,
  keyring: parseKeyring,
  parentDeathSignal: value => (value === 'none' ? 0 : signalNumber(value, 'parentDeathSignal')),
}

/** The names of {@link AttributeOptions}. */
export const attributeOptions = Object.keys(parsers) as (keyof AttributeOptions)[]

/**
 * What was asked for; undefined when nothing was.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` and `ERR_CONFLICT`, naming the option.
 */
export function parseAttributes(options: AttributeOptions): Attributes | undefined {
  let attributes: Attributes | undefined
  for (const name of attributeOptions) {
    const value = options[name]
    if (value === undefined) continue
    const parse = parsers[name] as (value: unknown) => never
    attributes ??= {}
    attributes[name] = parse(value)
  }
  const { scheduler, nice } = attributes ?? {}
  if (scheduler !== undefined && nice !== undefined) {
    if (scheduler.nice !== undefined && scheduler.nice !== nice)
      throw conflict('nice', `is ${nice}, and scheduler.nice is ${scheduler.nice}`)
    if (!keepsNice(scheduler.policy))
      throw conflict('nice', `means nothing to the policy '${scheduler.policy}'`)
  }
  return attributes
}
