import { invalidOption } from './errors.js'
import { show } from './options.js'

const durations: Record<string, number> = { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** A duration: milliseconds, or text such as `'10s'`, `'500ms'`, `'1.5m'`. */
export type Duration = number | string

/**
 * Milliseconds of a {@link Duration}.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `option`, when it is
 * negative, above 2^31 (24 days), or of an unknown unit.
 */
export function parseDuration(option: string, duration: Duration): number {
  const match = typeof duration === 'string' ? /^(\d+(?:\.\d+)?) ?([a-z]*)$/.exec(duration) : null
  const factor = match === null ? undefined : durations[match[2] ?? '']
  const time = match === null || factor === undefined ? duration : Number(match[1]) * factor
  if (typeof time !== 'number' || !(time >= 0 && time < 2 ** 31))
    throw invalidOption(option, `${show(duration)} is no duration; milliseconds or '10s' are`)
  return time
}

const factors: Record<string, number> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** A size: bytes, or text such as `'64MiB'`, `'1.5GiB'`, `'100kB'`. */
export type Size = number | string

/**
 * Bytes of a {@link Size}, rounded down to a whole number.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `option`, when it is
 * negative, not finite, above 2^53, of an unknown unit, or less than `least`.
 */
export function parseSize(option: string, size: Size, least = 0): number {
  let bytes = Number.NaN
  if (typeof size === 'number') bytes = size
  else if (typeof size === 'string') {
    const match = /^(\d+(?:\.\d+)?) ?([a-zA-Z]*)$/.exec(size)
    const factor = match === null ? undefined : factors[match[2] ?? '']
    if (match !== null && factor !== undefined) bytes = Math.floor(Number(match[1]) * factor)
  }
  if (!Number.isSafeInteger(bytes) || bytes < least)
    throw invalidOption(option, `${show(size)} is no size; bytes or '64MiB' are`)
  return bytes
}
