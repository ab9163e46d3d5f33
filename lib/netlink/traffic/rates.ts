import { s16, struct, u8, u16, u32 } from '../codec/index.js'
import { ticksOf } from './values.js'

/** struct tc_ratespec, linux/pkt_sched.h */
export const rateSpec = struct({
  cellLog: u8,
  linkLayer: u8,
  overhead: u16,
  cellAlign: s16,
  mpu: u16,
  rate: u32,
})

const ETHERNET = 1
const MOST_32 = 0xffffffff

/** A rate as a struct holds it; what does not fit stands in an attribute of 64 bits beside it. */
export function specOf(rate: number) {
  // Who says what link it is needs no table of rates; kernels since 3.9.
  return { linkLayer: ETHERNET, rate: Math.min(rate, MOST_32) }
}

/** The attribute beside the struct, where it takes one. */
export function wideOf(rate: number): bigint | undefined {
  return rate > MOST_32 ? BigInt(rate) : undefined
}

/** Bytes a second. */
export function rateOf(
  spec: { rate?: number | undefined } | undefined,
  wide: bigint | undefined,
): number {
  return wide === undefined ? (spec?.rate ?? 0) : Number(wide)
}

const CELLS = 256

/**
 * The table that the police action still wants: in how many ticks packets of growing lengths pass.
 * As tc makes it, for packets of up to `most` bytes.
 */
export function rateTable(option: string, rate: number, most: number) {
  let cellLog = 3
  while (most >> cellLog > CELLS - 1) cellLog++
  const bytes = Buffer.alloc(CELLS * 4)
  for (let i = 0; i < CELLS; i++)
    bytes.writeUInt32LE(ticksOf(option, (i + 1) << cellLog, rate), i * 4)
  return { bytes, cellLog }
}
