import { invalidOption } from './errors.js'

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
    throw invalidOption(
      option,
      `${typeof size === 'string' ? JSON.stringify(size) : String(size)} is no size; bytes or '64MiB' are`,
    )
  return bytes
}
