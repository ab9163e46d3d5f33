const SPACE = 32
const NEWLINE = 10
const ZERO = 48

/** So many decimal digits always fit a number. */
const SAFE_DIGITS = 15

/** What more than 2^53 bytes are as a limit: none at all. */
export type Limit = number | 'max'

/**
 * The text of one file of a group, read byte by byte from the beginning. Of what it
 * does not understand it says undefined; it never throws.
 */
export class StatsText {
  bytes: Uint8Array = new Uint8Array()
  at = 0
  end = 0

  set(bytes: Uint8Array, begin = 0, end = bytes.length): this {
    this.bytes = bytes
    this.at = begin
    this.end = end
    return this
  }

  get atEnd(): boolean {
    return this.at >= this.end
  }

  /** A whole number, which is a bigint beyond 2^53. */
  counter(): number | bigint | undefined {
    const begin = this.at
    let value = 0
    for (; this.at < this.end; this.at++) {
      const digit = (this.bytes[this.at] as number) - ZERO
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    const digits = this.at - begin
    if (digits === 0) return undefined
    if (digits <= SAFE_DIGITS || Number.isSafeInteger(value)) return value
    // Nothing of the kernel's has more than 20 digits.
    return digits > 20 ? undefined : BigInt(this.#slice(begin, this.at))
  }

  /** A whole number up to 2^53. */
  number(): number | undefined {
    const value = this.counter()
    return typeof value === 'number' ? value : undefined
  }

  /** Microseconds of a number of nanoseconds. */
  microseconds(): number | undefined {
    const value = this.counter()
    if (value === undefined) return undefined
    const time = typeof value === 'bigint' ? Number(value / 1000n) : Math.floor(value / 1000)
    return Number.isSafeInteger(time) ? time : undefined
  }

  /** A number; `'max'` by its name, or as what v1 has for it, a number beyond 2^53. */
  limit(): Limit | undefined {
    const value = this.counter()
    if (value !== undefined) return typeof value === 'number' ? value : 'max'
    return this.word() === 'max' ? 'max' : undefined
  }

  /** What is before the next space, newline, or `until`, which is read too unless it is a newline. */
  word(until = SPACE): string {
    const begin = this.at
    while (this.at < this.end) {
      const byte = this.bytes[this.at] as number
      if (byte === SPACE || byte === NEWLINE || byte === until) break
      this.at++
    }
    const word = this.#slice(begin, this.at)
    if (this.at < this.end && this.bytes[this.at] !== NEWLINE) this.at++
    return word
  }

  get atLineEnd(): boolean {
    return this.at >= this.end || this.bytes[this.at] === NEWLINE
  }

  /** Goes on behind the next newline. */
  nextLine(): void {
    while (this.at < this.end && this.bytes[this.at] !== NEWLINE) this.at++
    this.at++
  }

  #slice(begin: number, end: number): string {
    let text = ''
    for (let i = begin; i < end; i++) text += String.fromCharCode(this.bytes[i] as number)
    return text
  }
}

/**
 * Keys of a file of lines `KEY NUMBER`. Each byte of a file is touched once, and those
 * of keys that are wanted twice.
 */
export class FlatKeys {
  readonly #names: readonly Uint8Array[]
  readonly #isTime: readonly boolean[]
  #factor = 29
  readonly #byHash = new Map<number, number>()
  readonly #values: (number | undefined)[]

  /** @param nanoseconds Those whose values are to become microseconds. */
  constructor(names: readonly string[], nanoseconds: readonly string[] = []) {
    this.#isTime = names.map(name => nanoseconds.includes(name))
    this.#names = names.map(name => new TextEncoder().encode(name))
    // With some factor no two of them have one hash.
    while (this.#byHash.size < names.length) {
      this.#factor += 2
      this.#byHash.clear()
      for (const [i, name] of this.#names.entries()) {
        let key = 0
        for (const byte of name) key = (Math.imul(key, this.#factor) + byte) | 0
        this.#byHash.set(key, i)
      }
    }
    this.#values = names.map(() => undefined)
  }

  /**
   * The values in the order of the keys, undefined of those that are not there. The
   * list is the same one each time.
   */
  read(text: StatsText): readonly (number | undefined)[] {
    this.#values.fill(undefined)
    const { bytes, end } = text
    const factor = this.#factor
    while (text.at < end) {
      const begin = text.at
      let key = 0
      let at = begin
      for (; at < end; at++) {
        const byte = bytes[at] as number
        if (byte === SPACE || byte === NEWLINE) break
        key = (Math.imul(key, factor) + byte) | 0
      }
      text.at = at
      const place = this.#byHash.get(key)
      if (place !== undefined && bytes[at] === SPACE && this.#is(place, bytes, begin, at)) {
        text.at++
        this.#values[place] = this.#isTime[place] ? text.microseconds() : text.number()
      }
      text.nextLine()
    }
    return this.#values
  }

  #is(place: number, bytes: Uint8Array, begin: number, end: number): boolean {
    const name = this.#names[place] as Uint8Array
    if (name.length !== end - begin) return false
    for (let i = 0; i < name.length; i++) if (name[i] !== bytes[begin + i]) return false
    return true
  }
}
