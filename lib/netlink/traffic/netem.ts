import { onlyKeys } from '../../base/index.js'
import { attribute, attributes, format, s32, s64, struct, u32, u64 } from '../codec/index.js'
import { decoded, encoded, type Kind } from './kind.js'
import { rateOf } from './rates.js'
import { bytesPerSecond, nanoseconds, percent, type Rate, type Time } from './values.js'

/** A bad line: delay, loss and the like. Parts of all are in percent. tc-netem(8) */
export interface NetemOptions {
  kind: 'netem'
  delay?: Time
  /** How much the delay varies, up and down. */
  jitter?: Time
  /** How much a delay depends on the one before it. */
  delayCorrelation?: number
  loss?: number
  lossCorrelation?: number
  duplicate?: number
  duplicateCorrelation?: number
  /** A bit of so many packets is turned round. */
  corrupt?: number
  corruptCorrelation?: number
  /** So many packets go at once, the others wait. */
  reorder?: number
  reorderCorrelation?: number
  /** Of which every how manieth goes at once. */
  gap?: number
  rate?: Rate
  /** Packets that wait at most. Default: 1000. */
  limit?: number
}

const chance = struct({ probability: percent, correlation: percent })
const codec = format(
  struct({
    latencyTicks: u32,
    limit: u32,
    loss: percent,
    gap: u32,
    duplicate: percent,
    jitterTicks: u32,
  }),
  attributes({
    correlations: attribute(
      'TCA_NETEM_CORR',
      1,
      struct({ delay: percent, loss: percent, duplicate: percent }),
    ),
    reorder: attribute('TCA_NETEM_REORDER', 3, chance),
    corrupt: attribute('TCA_NETEM_CORRUPT', 4, chance),
    rate: attribute(
      'TCA_NETEM_RATE',
      6,
      struct({ rate: u32, packetOverhead: s32, cellSize: u32, cellOverhead: s32 }),
    ),
    rate64: attribute('TCA_NETEM_RATE64', 8, u64),
    latency: attribute('TCA_NETEM_LATENCY64', 10, s64),
    jitter: attribute('TCA_NETEM_JITTER64', 11, s64),
  }),
)

const keys = [
  'kind',
  'delay',
  'jitter',
  'delayCorrelation',
  'loss',
  'lossCorrelation',
  'duplicate',
  'duplicateCorrelation',
  'corrupt',
  'corruptCorrelation',
  'reorder',
  'reorderCorrelation',
  'gap',
  'rate',
  'limit',
]
const MOST_32 = 0xffffffff

export const netem: Kind = {
  write(option, options) {
    onlyKeys(option, options, keys)
    const given = options as NetemOptions
    const rate = given.rate === undefined ? 0 : bytesPerSecond(`${option}.rate`, given.rate)
    const { loss = 0, duplicate = 0, limit = 1000 } = given
    return encoded(option, codec, {
      limit,
      loss,
      duplicate,
      // What is not reordered every so often is reordered from the first one on, as tc has it.
      gap: given.gap ?? (given.reorder === undefined ? 0 : 1),
      latency: BigInt(nanoseconds(`${option}.delay`, given.delay ?? 0)),
      jitter: BigInt(nanoseconds(`${option}.jitter`, given.jitter ?? 0)),
      correlations: {
        delay: given.delayCorrelation ?? 0,
        loss: given.lossCorrelation ?? 0,
        duplicate: given.duplicateCorrelation ?? 0,
      },
      reorder: { probability: given.reorder ?? 0, correlation: given.reorderCorrelation ?? 0 },
      corrupt: { probability: given.corrupt ?? 0, correlation: given.corruptCorrelation ?? 0 },
      ...(rate === 0
        ? {}
        : {
            rate: {
              rate: Math.min(rate, MOST_32),
              packetOverhead: 0,
              cellSize: 0,
              cellOverhead: 0,
            },
            rate64: rate > MOST_32 ? BigInt(rate) : undefined,
          }),
    })
  },
  read(bytes) {
    const said = decoded(codec, bytes)
    const {
      limit = 0,
      loss,
      duplicate,
      gap,
      latency,
      jitter,
      correlations,
      reorder,
      corrupt,
    } = said
    const rate = rateOf(said.rate, said.rate64) * 8
    const milliseconds = (time: bigint | undefined, ticks = 0) =>
      time === undefined ? (ticks * 64) / 1e6 : Number(time) / 1e6
    return {
      limit,
      ...present({
        delay: milliseconds(latency, said.latencyTicks),
        jitter: milliseconds(jitter, said.jitterTicks),
        delayCorrelation: correlations?.delay,
        loss,
        lossCorrelation: correlations?.loss,
        duplicate,
        duplicateCorrelation: correlations?.duplicate,
        corrupt: corrupt?.probability,
        corruptCorrelation: corrupt?.correlation,
        reorder: reorder?.probability,
        reorderCorrelation: reorder?.correlation,
        gap,
        rate,
      }),
    }
  },
}

/** Without what is 0, which is what is not done. */
function present(values: Record<string, number | undefined>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => !!entry[1]),
  )
}
