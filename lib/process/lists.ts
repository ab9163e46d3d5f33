import { formatList } from '../base/index.js'
import type { Struct } from '../plan/index.js'

/** The bit set that system calls take: whole words, the first bit the lowest. */
export function bitSet(numbers: readonly number[]): Struct {
  const words = Math.floor((numbers.at(-1) ?? 0) / 64) + 1
  const bytes = Buffer.alloc(8 * words)
  for (const number of numbers)
    bytes.writeUInt8(bytes.readUInt8(number >> 3) | (1 << (number & 7)), number >> 3)
  return { bytes, text: `[${formatList(numbers)}]` }
}
