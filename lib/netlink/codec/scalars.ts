import { show } from '../../base/index.js'
import { type Codec, malformed } from './codec.js'
import type { Writer } from './writer.js'

/** A codec whose values all have one length, and which can be a part of a {@link struct}. */
export interface FixedCodec<T> extends Codec<T> {
  readonly size: number
  /** As read(), of `size` bytes that are known to be there. */
  at(bytes: Buffer, place: number): T
  put(to: Writer, place: number, value: T): void
  /** What a struct has where nothing is given. */
  readonly zero: T
}

type Get<T> = (bytes: Buffer, place: number) => T
type Put<T> = (bytes: Buffer, value: T, place: number) => void

function fixed<T>(size: number, zero: T, at: Get<T>, put: FixedCodec<T>['put']): FixedCodec<T> {
  return {
    size,
    zero,
    at,
    put,
    // The kernel may add to a value, as to its structs; it never takes away.
    read(bytes, start, end) {
      if (end - start < size) throw malformed(`${end - start} bytes where ${size} are needed`)
      return at(bytes, start)
    },
    write(to, value) {
      put(to, to.reserve(size), value)
    },
  }
}

function integer(size: number, least: number, most: number, at: Get<number>, put: Put<number>) {
  return fixed<number>(size, 0, at, (to, place, value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
      throw to.refuse(`${show(value)} is no whole number from ${least} to ${most}`)
    put(to.bytes, value, place)
  })
}

function long(least: bigint, most: bigint, at: Get<bigint>, put: Put<bigint>) {
  return fixed<bigint>(8, 0n, at, (to, place, value) => {
    if (typeof value !== 'bigint' || value < least || value > most)
      throw to.refuse(`${show(value)} is no bigint from ${least} to ${most}`)
    put(to.bytes, value, place)
  })
}

const U64 = 2n ** 64n - 1n

// As Buffer's methods, without their checks: whoever reads knows that the bytes are there.

/** A number of 16 bits. */
export function u16At(bytes: Buffer, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
}

/** A number of 32 bits. */
export function u32At(bytes: Buffer, at: number): number {
  return (u16At(bytes, at) | (u16At(bytes, at + 2) << 16)) >>> 0
}

// Numbers of the processor's order, which on all that this package is built for is the little-endian one.
export const u8: FixedCodec<number> = integer(
  1,
  0,
  0xff,
  (bytes, at) => bytes[at] as number,
  (bytes, value, at) => {
    bytes[at] = value
  },
)
export const u16: FixedCodec<number> = integer(
  2,
  0,
  0xffff,
  (bytes, at) => u16At(bytes, at),
  (bytes, value, at) => bytes.writeUInt16LE(value, at),
)
export const u32: FixedCodec<number> = integer(
  4,
  0,
  0xffffffff,
  (bytes, at) => u32At(bytes, at),
  (bytes, value, at) => bytes.writeUInt32LE(value, at),
)
export const u64: FixedCodec<bigint> = long(
  0n,
  U64,
  (bytes, at) => {
    // Most are zero or small, and of those no bigint or one is made; readBigUInt64LE makes four.
    const low = u32At(bytes, at)
    const high = u32At(bytes, at + 4)
    if (high === 0) return low === 0 ? 0n : BigInt(low)
    if (high >= 0x200000) return bytes.readBigUInt64LE(at)
    return BigInt(high * 0x100000000 + low)
  },
  (bytes, value, at) => bytes.writeBigUInt64LE(value, at),
)
export const s8: FixedCodec<number> = integer(
  1,
  -0x80,
  0x7f,
  (bytes, at) => bytes.readInt8(at),
  (bytes, value, at) => bytes.writeInt8(value, at),
)
export const s16: FixedCodec<number> = integer(
  2,
  -0x8000,
  0x7fff,
  (bytes, at) => bytes.readInt16LE(at),
  (bytes, value, at) => bytes.writeInt16LE(value, at),
)
export const s32: FixedCodec<number> = integer(
  4,
  -0x80000000,
  0x7fffffff,
  (bytes, at) => bytes.readInt32LE(at),
  (bytes, value, at) => bytes.writeInt32LE(value, at),
)
export const s64: FixedCodec<bigint> = long(
  -(2n ** 63n),
  2n ** 63n - 1n,
  (bytes, at) => bytes.readBigInt64LE(at),
  (bytes, value, at) => bytes.writeBigInt64LE(value, at),
)

// Numbers of the network's order: ports, and all of nf_tables.
export const be16: FixedCodec<number> = integer(
  2,
  0,
  0xffff,
  (bytes, at) => bytes.readUInt16BE(at),
  (bytes, value, at) => bytes.writeUInt16BE(value, at),
)
export const be32: FixedCodec<number> = integer(
  4,
  0,
  0xffffffff,
  (bytes, at) => bytes.readUInt32BE(at),
  (bytes, value, at) => bytes.writeUInt32BE(value, at),
)
export const be64: FixedCodec<bigint> = long(
  0n,
  U64,
  (bytes, at) => bytes.readBigUInt64BE(at),
  (bytes, value, at) => bytes.writeBigUInt64BE(value, at),
)

/** So many bytes, as they are; a copy when read. */
export function octets(size: number): FixedCodec<Uint8Array> {
  return fixed<Uint8Array>(
    size,
    new Uint8Array(size),
    (bytes, at) => Uint8Array.prototype.slice.call(bytes, at, at + size),
    (to, place, value) => {
      if (!(value instanceof Uint8Array) || value.length !== size)
        throw to.refuse(`must be ${size} bytes`)
      to.bytes.set(value, place)
    },
  )
}

/** Bytes of any number, as they are; a copy when read. */
export const bytes: Codec<Uint8Array> = {
  read: (from, start, end) => Uint8Array.prototype.slice.call(from, start, end),
  write(to, value) {
    if (!(value instanceof Uint8Array)) throw to.refuse(`${show(value)} is no Uint8Array`)
    const place = to.reserve(value.length)
    to.bytes.set(value, place)
  },
}

/** Text in UTF-8 that ends with NUL, of at most so many bytes with it. */
export function text(most = 0xffff - 4): Codec<string> {
  return {
    read(from, start, end) {
      let stop = start
      while (stop < end && from[stop] !== 0) stop++
      return from.toString('utf8', start, stop)
    },
    write(to, value) {
      if (typeof value !== 'string' || value.includes('\0'))
        throw to.refuse(`${show(value)} is no text without NUL characters`)
      const length = Buffer.byteLength(value)
      if (length + 1 > most) throw to.refuse(`${show(value)} has more than ${most - 1} bytes`)
      const place = to.reserve(length + 1)
      to.bytes.write(value, place)
    },
  }
}

/** An attribute that is there, and empty, or isn't there: `true` is written, `false` is nothing. */
export const presence: Codec<boolean> = {
  read: () => true,
  write(to, value) {
    if (typeof value !== 'boolean') throw to.refuse(`${show(value)} is not true or false`)
  },
}

/**
 * What is told otherwise than it is written.
 *
 * @param write Refuses what is no such value by `to.refuse()`.
 */
export function mapped<T, U>(
  codec: FixedCodec<T>,
  read: (written: T) => U,
  write: (value: U, to: Writer) => T,
): FixedCodec<U> {
  return fixed<U>(
    codec.size,
    read(codec.zero),
    (bytes, at) => read(codec.at(bytes, at)),
    (to, place, value) => codec.put(to, place, write(value, to)),
  )
}

/** `true` and `false` as a number, 1 and 0. */
export function bool(codec: FixedCodec<number>): FixedCodec<boolean> {
  return mapped(
    codec,
    written => written !== 0,
    (value, to) => {
      if (typeof value !== 'boolean') throw to.refuse(`${show(value)} is not true or false`)
      return value ? 1 : 0
    },
  )
}

/** `true` and `false` as a byte. */
export const bool8: FixedCodec<boolean> = bool(u8)

/** Names for numbers. One that has no name is read as itself. */
export function oneOf<const N extends Readonly<Record<string, number>>>(
  names: N,
  codec: FixedCodec<number>,
): FixedCodec<(keyof N & string) | number> {
  type Name = (keyof N & string) | number
  const byNumber = new Map(Object.entries(names).map(([name, number]) => [number, name as Name]))
  return fixed<Name>(
    codec.size,
    byNumber.get(0) ?? 0,
    (from, at) => {
      const number = codec.at(from, at)
      return byNumber.get(number) ?? number
    },
    (to, place, value) => {
      const known = typeof value === 'string' && Object.hasOwn(names, value)
      if (!known && typeof value !== 'number')
        throw to.refuse(`${show(value)} is none; ${Object.keys(names).join(', ')} are`)
      codec.put(to, place, known ? (names[value] as number) : (value as number))
    },
  )
}

/** A set of flags by their names. Bits without a name are kept as numbers. */
export function flagSet<const N extends Readonly<Record<string, number>>>(
  names: N,
  codec: FixedCodec<number>,
): FixedCodec<readonly ((keyof N & string) | number)[]> {
  type Flags = readonly ((keyof N & string) | number)[]
  const known = Object.entries(names) as [keyof N & string, number][]
  const all = known.reduce((bits, [, bit]) => (bits | bit) >>> 0, 0)
  return fixed<Flags>(
    codec.size,
    [],
    (from, at) => {
      const value = codec.at(from, at)
      const found: ((keyof N & string) | number)[] = []
      for (const [name, bit] of known) if ((value & bit) !== 0) found.push(name)
      const rest = (value & ~all) >>> 0
      if (rest !== 0) found.push(rest)
      return found
    },
    (to, place, value) => {
      if (!Array.isArray(value)) throw to.refuse(`${show(value)} is no list of flags`)
      let bits = 0
      for (const flag of value as Flags) {
        const bit = typeof flag === 'number' ? flag : names[flag]
        if (bit === undefined)
          throw to.refuse(`${show(flag)} is none; ${known.map(([name]) => name).join(', ')} are`)
        bits = (bits | bit) >>> 0
      }
      codec.put(to, place, bits)
    },
  )
}
