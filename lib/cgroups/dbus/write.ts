import { ALIGNMENT, parseSignature, type Type, type Variant } from './signature.js'

/**
 * Values as the bytes of a message, in little-endian order. Integers of 64 bits
 * are bigints, bytes (`ay`) a Uint8Array, structures and entries lists, and dictionaries
 * lists of entries. Of what is no such value the caller's types are to take care.
 */
export class Writer {
  #buffer = Buffer.alloc(256)
  #length = 0

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** One value for each complete type of the signature. */
  write(signature: string, values: readonly unknown[]): this {
    const types = parseSignature(signature)
    if (types.length !== values.length) throw new TypeError(`${values.length} for ${signature}`)
    for (const [i, type] of types.entries()) this.#value(type, values[i])
    return this
  }

  /** Goes on at a multiple of `alignment`. */
  align(alignment: number): this {
    this.#room(-this.#length & (alignment - 1))
    return this
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length)
    this.#buffer.set(bytes, at)
    return this
  }

  #room(bytes: number): number {
    const at = this.#length
    this.#length += bytes
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, 2 * this.#buffer.length))
      this.#buffer.copy(larger)
      this.#buffer = larger
    }
    return at
  }

  /** Making room may exchange the buffer, so it comes first. */
  #put(bytes: number, write: (buffer: Buffer, at: number) => void): void {
    const at = this.#room(bytes)
    write(this.#buffer, at)
  }

  #value(type: Type, value: unknown): void {
    this.align(ALIGNMENT[type.code] as number)
    switch (type.code) {
      case 'y':
        this.#put(1, (buffer, at) => buffer.writeUInt8(value as number, at))
        return
      case 'b':
        return this.#uint32(value === true ? 1 : 0)
      case 'n':
        this.#put(2, (buffer, at) => buffer.writeInt16LE(value as number, at))
        return
      case 'q':
        this.#put(2, (buffer, at) => buffer.writeUInt16LE(value as number, at))
        return
      case 'i':
        this.#put(4, (buffer, at) => buffer.writeInt32LE(value as number, at))
        return
      case 'u':
      case 'h':
        return this.#uint32(value as number)
      case 'x':
        this.#put(8, (buffer, at) => buffer.writeBigInt64LE(value as bigint, at))
        return
      case 't':
        this.#put(8, (buffer, at) => buffer.writeBigUInt64LE(value as bigint, at))
        return
      case 'd':
        this.#put(8, (buffer, at) => buffer.writeDoubleLE(value as number, at))
        return
      case 's':
      case 'o':
        this.#uint32(Buffer.byteLength(value as string))
        this.raw(Buffer.from(`${value}\0`))
        return
      case 'g':
        this.raw(Buffer.from([(value as string).length]))
        this.raw(Buffer.from(`${value}\0`))
        return
      case 'v': {
        const { signature, value: inner } = value as Variant
        this.write('g', [signature]).write(signature, [inner])
        return
      }
      case 'a':
        return this.#array(type.of, value as readonly unknown[] | Uint8Array)
      default:
        for (const [i, member] of type.members.entries())
          this.#value(member, (value as readonly unknown[])[i])
    }
  }

  #array(of: Type, values: readonly unknown[] | Uint8Array): void {
    const at = this.#room(4)
    this.align(ALIGNMENT[of.code] as number)
    const begin = this.#length
    if (values instanceof Uint8Array) this.raw(values)
    else for (const value of values) this.#value(of, value)
    this.#buffer.writeUInt32LE(this.#length - begin, at)
  }

  #uint32(value: number): void {
    this.#put(4, (buffer, at) => buffer.writeUInt32LE(value, at))
  }
}
