import { ALIGNMENT, ProtocolError, parseSignature, type Type, Variant } from './signature.js'

/** As deep may variants be in one another. */
const DEEPEST = 64

/**
 * Reads values as {@link Writer} takes them, of either byte order. Every length is looked at
 * before it is believed: what does not fit is a ProtocolError and nothing else.
 */
export class Reader {
  readonly #bytes: Buffer
  readonly #little: boolean
  #at: number
  #depth = 0

  constructor(bytes: Uint8Array, little = true, at = 0) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#little = little
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  /** One value for each complete type of the signature. */
  read(signature: string): unknown[] {
    return parseSignature(signature).map(type => this.#value(type))
  }

  align(alignment: number): void {
    this.#take(-this.#at & (alignment - 1))
  }

  #take(bytes: number): number {
    const at = this.#at
    if (bytes > this.#bytes.length - at) throw new ProtocolError('a message is too short')
    this.#at += bytes
    return at
  }

  #value(type: Type): unknown {
    this.align(ALIGNMENT[type.code] as number)
    const [bytes, little] = [this.#bytes, this.#little]
    switch (type.code) {
      case 'y':
        return bytes.readUInt8(this.#take(1))
      case 'b':
        return this.#uint32() !== 0
      case 'n':
        return little ? bytes.readInt16LE(this.#take(2)) : bytes.readInt16BE(this.#take(2))
      case 'q':
        return little ? bytes.readUInt16LE(this.#take(2)) : bytes.readUInt16BE(this.#take(2))
      case 'i':
        return little ? bytes.readInt32LE(this.#take(4)) : bytes.readInt32BE(this.#take(4))
      case 'u':
      case 'h':
        return this.#uint32()
      case 'x':
        return little ? bytes.readBigInt64LE(this.#take(8)) : bytes.readBigInt64BE(this.#take(8))
      case 't':
        return little ? bytes.readBigUInt64LE(this.#take(8)) : bytes.readBigUInt64BE(this.#take(8))
      case 'd':
        return little ? bytes.readDoubleLE(this.#take(8)) : bytes.readDoubleBE(this.#take(8))
      case 's':
      case 'o':
        return this.#text(this.#uint32())
      case 'g':
        return this.#text(bytes.readUInt8(this.#take(1)))
      case 'v':
        return this.#variant()
      case 'a':
        return this.#array(type.of)
      default:
        return type.members.map(member => this.#value(member))
    }
  }

  #variant(): Variant {
    const signature = this.#text(this.#bytes.readUInt8(this.#take(1)))
    const [type, ...more] = parseSignature(signature)
    if (type === undefined || more.length > 0) throw new ProtocolError('a variant has not one type')
    if (++this.#depth > DEEPEST) throw new ProtocolError('a message is too deep')
    const value = this.#value(type)
    this.#depth--
    return new Variant(signature, value)
  }

  #array(of: Type): unknown[] | Uint8Array {
    const length = this.#uint32()
    this.align(ALIGNMENT[of.code] as number)
    if (length > this.#bytes.length - this.#at) throw new ProtocolError('an array is too long')
    const end = this.#at + length
    if (of.code === 'y') return Uint8Array.from(this.#bytes.subarray(this.#take(length), end))
    const values: unknown[] = []
    // Every value takes a byte at least, so this comes to an end.
    while (this.#at < end) values.push(this.#value(of))
    if (this.#at !== end) throw new ProtocolError('an array has not the length that it says')
    return values
  }

  #text(length: number): string {
    const begin = this.#take(length + 1)
    if (this.#bytes[begin + length] !== 0) throw new ProtocolError('a text has no end')
    return this.#bytes.toString('utf8', begin, begin + length)
  }

  #uint32(): number {
    const at = this.#take(4)
    return this.#little ? this.#bytes.readUInt32LE(at) : this.#bytes.readUInt32BE(at)
  }
}
