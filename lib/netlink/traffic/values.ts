import { invalidOption, show } from '../../base/index.js'
import { type FixedCodec, oneOf, s32, u32, type Writer } from '../codec/index.js'

/**
 * A rate: bits a second, or text in tc's notation: `'10mbit'`, `'1.5gbit'`, `'512kbit'`, `'8kibit'` are
 * bits, `'1mbps'`, `'100kbps'`, `'1mibps'` are bytes. tc(8)
 */
export type Rate = number | string

/** A time: milliseconds, with a fraction too, or text such as `'100us'`, `'50ms'`, `'1.5s'`. */
export type Time = number | string

const prefixes: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
}
const times: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 }

const NUMBER = String.raw`(\d+(?:\.\d+)?)`
const RATE = new RegExp(`^${NUMBER} ?((?:[kmgt]i?)?)(bit|bps)$`, 'i')
const TIME = new RegExp(`^${NUMBER} ?(ns|us|ms|s)$`)

/**
 * Bytes a second of a rate: the kernel counts in them.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when it is less than one, or no rate.
 */
export function bytesPerSecond(option: string, rate: Rate): number {
  let bits = typeof rate === 'number' ? rate : Number.NaN
  const match = typeof rate === 'string' ? RATE.exec(rate) : null
  if (match !== null) {
    const [, count, prefix = '', unit = ''] = match
    const factor = (prefixes[prefix.toLowerCase()] as number) * (/bps/i.test(unit) ? 8 : 1)
    bits = Number(count) * factor
  }
  const bytes = Math.floor(bits / 8)
  if (!(bytes >= 1 && bits <= Number.MAX_SAFE_INTEGER))
    throw invalidOption(option, `${show(rate)} is no rate; bits a second or '10mbit' are`)
  return bytes
}

/** Nanoseconds of a time. */
export function nanoseconds(option: string, time: Time): number {
  const match = typeof time === 'string' ? TIME.exec(time) : null
  const found =
    match !== null
      ? Number(match[1]) * (times[match[2] as string] as number)
      : typeof time === 'number'
        ? time * 1e6
        : Number.NaN
  if (!(found >= 0 && found <= Number.MAX_SAFE_INTEGER))
    throw invalidOption(option, `${show(time)} is no time; milliseconds or '50ms' are`)
  return Math.round(found)
}

/** One tick of the packet scheduler's: PSCHED_SHIFT of include/net/pkt_sched.h, /proc/net/psched. */
const TICK = 64

/** Ticks in which so many bytes pass at a rate of bytes a second: how the kernel has a burst. */
export function ticksOf(option: string, size: number, rate: number): number {
  const ticks = Math.ceil((size / rate) * (1e9 / TICK))
  if (ticks > 0xffffffff)
    throw invalidOption(option, `${size} bytes take more than 274 seconds at this rate`)
  return ticks
}

/** The bytes that pass in so many ticks. */
export function sizeOf(ticks: number, rate: number): number {
  return Math.round((ticks * TICK * rate) / 1e9)
}

/** A codec of other values than those that stand in the message. */
function mapped<W, T>(
  codec: FixedCodec<W>,
  toWire: (value: T, option: string, to: Writer) => W,
  fromWire: (value: W) => T,
): FixedCodec<T> {
  return {
    size: codec.size,
    zero: fromWire(codec.zero),
    at: (bytes, place) => fromWire(codec.at(bytes, place)),
    put: (to, place, value) => codec.put(to, place, toWire(value, to.field, to)),
    read: (bytes, start, end) => fromWire(codec.read(bytes, start, end)),
    write: (to, value) => codec.write(to, toWire(value, to.field, to)),
  }
}

/** A time in whole microseconds. */
export const microseconds: FixedCodec<Time> = mapped<number, Time>(
  u32,
  (time, option) => Math.round(nanoseconds(option, time) / 1e3),
  count => count / 1e3,
)

/** A rate in bytes a second, in 32 bits. */
export const rate32: FixedCodec<Rate> = mapped<number, Rate>(
  u32,
  (rate, option) => bytesPerSecond(option, rate),
  bytes => bytes * 8,
)

/** A part of all, in percent. */
export const percent: FixedCodec<number> = mapped<number, number>(
  u32,
  (value, option) => {
    if (typeof value !== 'number' || !(value >= 0 && value <= 100))
      throw invalidOption(option, `${show(value)} is no part of a hundred`)
    return Math.round((value / 100) * 0xffffffff)
  },
  part => (part / 0xffffffff) * 100,
)

/** True and false in 32 bits. */
export const bool32: FixedCodec<boolean> = mapped<number, boolean>(
  u32,
  (value, _option, to) => {
    if (typeof value !== 'boolean') throw to.refuse(`${show(value)} is not true or false`)
    return value ? 1 : 0
  },
  number => number !== 0,
)

/** What becomes of a packet. linux/pkt_cls.h TC_ACT_* */
export const verdictNumbers = {
  /** What is classified goes its way: `TC_ACT_UNSPEC`. */
  continue: -1,
  pass: 0,
  reclassify: 1,
  drop: 2,
  pipe: 3,
  stolen: 4,
  trap: 8,
} as const
export type Verdict = keyof typeof verdictNumbers | number
export const verdict: FixedCodec<Verdict> = oneOf(verdictNumbers, s32)
