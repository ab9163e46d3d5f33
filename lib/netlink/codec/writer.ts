import { type CofferdamError, invalidOption } from '../../base/index.js'

const ALIGNMENT = 4
const FIRST_SIZE = 512
const SMALL = 64

/** `value` rounded up to a multiple of four: netlink(7) `NLMSG_ALIGN` and `NLA_ALIGN`. */
export function aligned(value: number): number {
  return (value + ALIGNMENT - 1) & ~(ALIGNMENT - 1)
}

/** Bytes that are being put together. It grows; what has been written can be changed until the end. */
export class Writer {
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_SIZE)
  #length = 0
  /** Names of the fields around what is being written, for an error. */
  readonly #path: string[] = []

  get length(): number {
    return this.#length
  }

  /** Makes room for so many bytes, all zero, and gives the place of the first. */
  reserve(count: number): number {
    const at = this.#length
    const needed = at + count
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    // Most are a few bytes, for which fill() takes longer.
    if (count > SMALL) this.#bytes.fill(0, at, needed)
    else for (let i = at; i < needed; i++) this.#bytes[i] = 0
    this.#length = needed
    return at
  }

  /** The bytes until the next `reserve()`, which may move them. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** Fills up to a multiple of four. */
  align(): void {
    const missing = aligned(this.#length) - this.#length
    if (missing > 0) this.reserve(missing)
  }

  /** @param field Nothing where an error does not name it, but only what is inside. */
  enter(field: string): void {
    this.#path.push(field)
  }

  /** The field that is being written, as an error names it. */
  get field(): string {
    return this.#path.filter(Boolean).join('.')
  }

  leave(): void {
    this.#path.pop()
  }

  /** What refuses the value that is being written, naming its field. */
  refuse(problem: string): CofferdamError {
    return invalidOption(this.field, problem)
  }

  /** What has been written, without a copy. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
