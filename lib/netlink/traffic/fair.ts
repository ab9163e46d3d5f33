import { attribute, attributes, format, s32, struct, u32 } from '../codec/index.js'
import { plainKind } from './kind.js'
import { bool32, microseconds, type Rate, rate32, type Time } from './values.js'

/** Flows by turns, and each is told early that it is too fast. tc-fq_codel(8) */
export interface FqCodelOptions {
  kind: 'fq_codel'
  /** A wait that is good; the delay that it is to settle at. */
  target?: Time
  /** Packets that wait at most. */
  limit?: number
  /** How long the wait may be too long before something is done. */
  interval?: Time
  /** Packets are marked and not dropped. */
  ecn?: boolean
  /** How many flows are told apart; only when it is made. */
  flows?: number
  /** Bytes that a flow sends before the next. */
  quantum?: number
  ceThreshold?: Time
  /** Packets dropped at once when there are too many. */
  dropBatch?: number
  /** Bytes of memory for what waits. */
  memory?: number
}

export const fqCodel = plainKind(
  attributes({
    target: attribute('TCA_FQ_CODEL_TARGET', 1, microseconds),
    limit: attribute('TCA_FQ_CODEL_LIMIT', 2, u32),
    interval: attribute('TCA_FQ_CODEL_INTERVAL', 3, microseconds),
    ecn: attribute('TCA_FQ_CODEL_ECN', 4, bool32),
    flows: attribute('TCA_FQ_CODEL_FLOWS', 5, u32),
    quantum: attribute('TCA_FQ_CODEL_QUANTUM', 6, u32),
    ceThreshold: attribute('TCA_FQ_CODEL_CE_THRESHOLD', 7, microseconds),
    dropBatch: attribute('TCA_FQ_CODEL_DROP_BATCH_SIZE', 8, u32),
    memory: attribute('TCA_FQ_CODEL_MEMORY_LIMIT', 9, u32),
  }),
)

/** Flows by turns, each paced as its socket says. tc-fq(8) */
export interface FqOptions {
  kind: 'fq'
  /** Packets that wait at most. */
  limit?: number
  /** Of them those of one flow. */
  flowLimit?: number
  quantum?: number
  initialQuantum?: number
  /** Whether sockets' own rates count. */
  pacing?: boolean
  /** What one flow has at most. */
  maxRate?: Rate
  /** Logarithm to the base 2 of the number of buckets. */
  bucketsLog?: number
  refillDelay?: Time
  orphanMask?: number
  lowRateThreshold?: Rate
  ceThreshold?: Time
}

export const fq = plainKind(
  attributes({
    limit: attribute('TCA_FQ_PLIMIT', 1, u32),
    flowLimit: attribute('TCA_FQ_FLOW_PLIMIT', 2, u32),
    quantum: attribute('TCA_FQ_QUANTUM', 3, u32),
    initialQuantum: attribute('TCA_FQ_INITIAL_QUANTUM', 4, u32),
    pacing: attribute('TCA_FQ_RATE_ENABLE', 5, bool32),
    maxRate: attribute('TCA_FQ_FLOW_MAX_RATE', 7, rate32),
    bucketsLog: attribute('TCA_FQ_BUCKETS_LOG', 8, u32),
    refillDelay: attribute('TCA_FQ_FLOW_REFILL_DELAY', 9, microseconds),
    orphanMask: attribute('TCA_FQ_ORPHAN_MASK', 10, u32),
    lowRateThreshold: attribute('TCA_FQ_LOW_RATE_THRESHOLD', 11, rate32),
    ceThreshold: attribute('TCA_FQ_CE_THRESHOLD', 12, microseconds),
  }),
)

/** Flows by turns. tc-sfq(8) */
export interface SfqOptions {
  kind: 'sfq'
  /** Bytes that a flow sends before the next. */
  quantum?: number
  /** Seconds after which flows are told apart anew. Default: 0, never. */
  perturb?: number
  /** Packets that wait at most. */
  limit?: number
  /** Size of the table in which flows are found. */
  divisor?: number
  /** How many flows are told apart. */
  flows?: number
}

export const sfq = plainKind(
  format(
    struct({ quantum: u32, perturb: s32, limit: u32, divisor: u32, flows: u32 }),
    attributes({}),
  ),
)
