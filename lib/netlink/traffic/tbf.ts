import { conflict, invalidOption, onlyKeys, parseSize, type Size } from '../../base/index.js'
import { attribute, attributes, struct, u32, u64 } from '../codec/index.js'
import { decoded, encoded, type Kind } from './kind.js'
import { rateOf, rateSpec, specOf, wideOf } from './rates.js'
import { bytesPerSecond, nanoseconds, type Rate, sizeOf, type Time, ticksOf } from './values.js'

/** A token bucket: what is sent is held to a rate. tc-tbf(8) */
export interface TbfOptions {
  kind: 'tbf'
  rate: Rate
  /** So many bytes may go at once after a rest; at least a packet's, and the rate times 1/HZ. */
  burst: Size
  /** So many bytes wait at most, or `latency`: exactly one of the two. */
  limit?: Size
  /** What would wait longer is thrown away. Not listed: `limit` is. */
  latency?: Time
  /** The rate within a burst, with `mtu`. */
  peakRate?: Rate
  /** Bytes of a burst at the peak rate: at least a packet's. */
  mtu?: Size
}

const parameters = struct({
  rate: rateSpec,
  peakRate: rateSpec,
  limit: u32,
  buffer: u32,
  mtu: u32,
})
const codec = attributes({
  parameters: attribute('TCA_TBF_PARMS', 1, parameters),
  rate: attribute('TCA_TBF_RATE64', 4, u64),
  peakRate: attribute('TCA_TBF_PRATE64', 5, u64),
  burst: attribute('TCA_TBF_BURST', 6, u32),
  peakBurst: attribute('TCA_TBF_PBURST', 7, u32),
})

const keys = ['kind', 'rate', 'burst', 'limit', 'latency', 'peakRate', 'mtu']

export const tbf: Kind = {
  write(option, options) {
    onlyKeys(option, options, keys)
    const given = options as TbfOptions
    const rate = bytesPerSecond(`${option}.rate`, given.rate)
    const burst = parseSize(`${option}.burst`, given.burst, 1)
    if ((given.peakRate === undefined) !== (given.mtu === undefined))
      throw conflict(`${option}.peakRate`, 'goes with mtu')
    const peak =
      given.peakRate === undefined
        ? undefined
        : bytesPerSecond(`${option}.peakRate`, given.peakRate)
    const mtu = given.mtu === undefined ? undefined : parseSize(`${option}.mtu`, given.mtu, 1)
    const limit = limitOf(option, given, rate, burst, peak, mtu)
    return encoded(option, codec, {
      parameters: {
        rate: specOf(rate),
        limit,
        buffer: ticksOf(`${option}.burst`, burst, rate),
        ...(peak === undefined
          ? {}
          : { peakRate: specOf(peak), mtu: ticksOf(`${option}.mtu`, mtu ?? 0, peak) }),
      },
      rate: wideOf(rate),
      burst,
      peakRate: peak === undefined ? undefined : wideOf(peak),
      peakBurst: mtu,
    })
  },
  read(bytes) {
    const { parameters: said, rate: wide, peakRate: widePeak } = decoded(codec, bytes)
    const rate = rateOf(said?.rate, wide)
    const peak = rateOf(said?.peakRate, widePeak)
    return {
      rate: rate * 8,
      burst: sizeOf(said?.buffer ?? 0, rate),
      limit: said?.limit ?? 0,
      ...(peak === 0 ? {} : { peakRate: peak * 8, mtu: sizeOf(said?.mtu ?? 0, peak) }),
    }
  },
}

/** Bytes that wait at most: those that go in the latency, and a burst. */
function limitOf(
  option: string,
  { limit, latency }: TbfOptions,
  rate: number,
  burst: number,
  peak: number | undefined,
  mtu = 0,
): number {
  if ((limit === undefined) === (latency === undefined))
    throw conflict(`${option}.limit`, 'exactly one of limit and latency is to be given')
  if (limit !== undefined) return parseSize(`${option}.limit`, limit, 1)
  const seconds = nanoseconds(`${option}.latency`, latency as Time) / 1e9
  const bytes = Math.floor(rate * seconds) + burst
  const least = peak === undefined ? bytes : Math.min(bytes, Math.floor(peak * seconds) + mtu)
  if (least > 0xffffffff) throw invalidOption(`${option}.latency`, 'is too long at this rate')
  return least
}
