import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { invalidOption, parseSize, type Size, show } from '../../base/index.js'

/** A number, or no limit. */
export type LimitNumber = number | 'max'
/** Bytes, text such as `'64MiB'`, or no limit. */
export type LimitSize = Size | 'max'

const AT_PAGESZ = 6 // getauxval(3)
let pageBytes: number | undefined

/** Size of a page, from the auxiliary vector; proc_pid_auxv(5). */
export function pageSize(): number {
  pageBytes ??= readPageSize()
  return pageBytes
}

function readPageSize(): number {
  try {
    const auxv = readFileSync('/proc/self/auxv')
    const read = (at: number) =>
      Number(endianness() === 'LE' ? auxv.readBigUInt64LE(at) : auxv.readBigUInt64BE(at))
    for (let at = 0; at + 16 <= auxv.length; at += 16)
      if (read(at) === AT_PAGESZ) return read(at + 8) || 4096
  } catch {
    // No proc.
  }
  return 4096
}

/** Bytes, rounded down to whole units of the kernel's, as it does itself; or `'max'`. */
export function sizeLimit(option: string, value: unknown, unit: number): LimitNumber {
  if (value === 'max') return value
  try {
    const bytes = parseSize(option, value as Size)
    return bytes - (bytes % unit)
  } catch {
    throw invalidOption(option, `${show(value)} is no size; bytes, '64MiB' and 'max' are`)
  }
}

/** A whole number within limits, or `'max'`. */
export function numberLimit(
  option: string,
  value: unknown,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): LimitNumber {
  if (value === 'max') return value
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw invalidOption(option, `${show(value)} is none; ${least} to ${most} and 'max' are`)
  return value
}

const microseconds: Record<string, number> = { us: 1, ms: 1000, s: 1_000_000 }

/** Microseconds, or text with a unit, as `'50ms'`. */
export function microsecondsOption(
  option: string,
  value: unknown,
  least: number,
  most: number,
): number {
  const [, number = '', unit = ''] =
    typeof value === 'string' ? (/^(\d{1,16}(?:\.\d{1,6})?) ?(us|ms|s)$/.exec(value) ?? []) : []
  const time = unit === '' ? value : Math.round(Number(number) * (microseconds[unit] as number))
  if (typeof time !== 'number' || !Number.isInteger(time) || time < least || time > most)
    throw invalidOption(
      option,
      `${show(value)} is none; microseconds from ${least} to ${most}, and text as '50ms', are`,
    )
  return time
}

/**
 * A limit that the kernel tells. What no number up to 2^53 can say is further than
 * any machine goes: v1 has 2^63 less a page for none.
 */
export function toldLimit(text: string | undefined): LimitNumber | undefined {
  const value = text?.trim()
  if (value === 'max' || value === '-1') return 'max'
  if (value === undefined || !/^\d{1,20}$/.test(value)) return undefined
  const number = Number(value)
  return number > Number.MAX_SAFE_INTEGER ? 'max' : number
}

/** A number that the kernel tells, and undefined if it is none or beyond 2^53. */
export function toldNumber(text: string | undefined): number | undefined {
  const value = toldLimit(text)
  return value === 'max' ? undefined : value
}

/** 0 or 1. */
export function toldFlag(text: string | undefined): boolean | undefined {
  const value = text?.trim()
  return value === '0' ? false : value === '1' ? true : undefined
}

/** Lines that begin with a key, as `8:0 rbps=1 wbps=max` and `default 100`. */
export function* toldLines(text: string | undefined): Generator<[key: string, rest: string]> {
  for (const line of (text ?? '').split('\n')) {
    const at = line.indexOf(' ')
    if (at > 0) yield [line.slice(0, at), line.slice(at + 1).trim()]
  }
}

/** `key=value` pairs of a line. */
export function* toldPairs(rest: string): Generator<[key: string, value: string]> {
  for (const pair of rest.split(' ')) {
    const at = pair.indexOf('=')
    if (at > 0) yield [pair.slice(0, at), pair.slice(at + 1)]
  }
}
