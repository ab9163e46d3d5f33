import { type Duration, invalidOption, onlyKeys, parseDuration, show } from '../../base/index.js'
import { attribute, attributes, be32, be64, bytes, flagSet, list, text } from '../codec/index.js'
import { checkComment } from './checks.js'
import { type Data, dataCodec, type Verdict, valueCodec } from './data.js'
import { integerBytes, integerOf } from './datatypes.js'
import { type Expression, expressionCodec, expressionsCodec } from './expressions/index.js'
import { decodeKey, encodeKey, type Key, type KeyLayout } from './keys.js'
import { dataLayout, keyLayout, type SetOptions } from './sets.js'
import { readUserdata, writeUserdata } from './userdata.js'
import { nfFormat } from './wire.js'

/** What becomes of a packet. */
export type VerdictText =
  | 'accept'
  | 'drop'
  | 'continue'
  | 'return'
  | `jump ${string}`
  | `goto ${string}`

/** An element with more than its key. */
export interface ElementOptions {
  /** `'*'`: all that no other element stands for. */
  key: Key
  /** In a map: what it gives for the key. */
  value?: Key
  /** In a map of verdicts. */
  verdict?: VerdictText | Verdict
  /** In a map of objects: the name of one. */
  object?: string
  /** It goes after so long: milliseconds, or `'10m'`. */
  timeout?: Duration
  comment?: string
  userdata?: Uint8Array
  /** Of its own, such as a counter. */
  expressions?: readonly Expression[]
}

/** An element as the kernel has it. */
export interface Element extends Readonly<ElementOptions> {
  readonly verdict?: VerdictText | Verdict
  readonly timeout?: number
  /** Milliseconds until it goes. */
  readonly expires?: number
}

/** An element in messages. Of intervals one is where it begins, and another behind where it ends. */
export interface WireElement {
  readonly key?: Uint8Array | undefined
  readonly data?: Data | undefined
  readonly flags?: readonly ('end' | 'rest' | number)[] | undefined
  readonly timeout?: bigint | undefined
  readonly expiration?: bigint | undefined
  readonly userdata?: Uint8Array | undefined
  readonly expression?: Expression | undefined
  readonly object?: string | undefined
  readonly keyEnd?: Uint8Array | undefined
  readonly expressions?: readonly Expression[] | undefined
}

export const elementCodec = attributes({
  key: attribute('NFTA_SET_ELEM_KEY', 1, valueCodec),
  data: attribute('NFTA_SET_ELEM_DATA', 2, dataCodec),
  flags: attribute('NFTA_SET_ELEM_FLAGS', 3, flagSet({ end: 1, rest: 2 }, be32)),
  timeout: attribute('NFTA_SET_ELEM_TIMEOUT', 4, be64),
  expiration: attribute('NFTA_SET_ELEM_EXPIRATION', 5, be64),
  userdata: attribute('NFTA_SET_ELEM_USERDATA', 6, bytes),
  expression: attribute('NFTA_SET_ELEM_EXPR', 7, expressionCodec),
  object: attribute('NFTA_SET_ELEM_OBJREF', 9, text(256)),
  keyEnd: attribute('NFTA_SET_ELEM_KEY_END', 10, valueCodec),
  expressions: attribute('NFTA_SET_ELEM_EXPRESSIONS', 11, expressionsCodec),
})

export const elementsFormat = nfFormat(
  attributes({
    table: attribute('NFTA_SET_ELEM_LIST_TABLE', 1, text(256)),
    set: attribute('NFTA_SET_ELEM_LIST_SET', 2, text(256)),
    elements: attribute('NFTA_SET_ELEM_LIST_ELEMENTS', 3, list(elementCodec, 1)),
    setId: attribute('NFTA_SET_ELEM_LIST_SET_ID', 4, be32),
  }),
)

const SIMPLE = new Set(['accept', 'drop', 'continue', 'return'])

export function verdictOf(option: string, verdict: VerdictText | Verdict): Verdict {
  if (typeof verdict === 'object') return verdict
  if (SIMPLE.has(verdict)) return { code: verdict as 'accept' }
  const [, code, chain] = /^(jump|goto) (.+)$/s.exec(String(verdict)) ?? []
  if (code === undefined)
    throw invalidOption(
      option,
      `${show(verdict)} is none; accept, drop, continue, return, jump NAME, goto NAME are`,
    )
  return { code: code as 'jump', chain }
}

function verdictText(verdict: Verdict): VerdictText | Verdict {
  const { code, chain } = verdict
  if (typeof code === 'string' && chain === undefined && SIMPLE.has(code)) return code as 'accept'
  if ((code === 'jump' || code === 'goto') && chain !== undefined) return `${code} ${chain}`
  return verdict
}

/** Turns elements of one set to what stands in messages and back. */
export class ElementLayout {
  readonly #key: KeyLayout
  readonly #data: KeyLayout | undefined
  /** Where an interval is two elements, and not one with two keys. */
  readonly pairs: boolean
  /** Where each element has two keys: nft(8) takes them for pairs. */
  readonly #twoKeys: boolean
  readonly #map: boolean

  constructor(set: SetOptions) {
    this.#key = keyLayout('set', set)
    this.#data = dataLayout('set', set)
    this.pairs = set.interval === true && !this.#key.concatenated
    this.#twoKeys = set.interval === true && this.#key.concatenated
    this.#map = set.map !== undefined
  }

  /** A key, or an element with more. */
  encode(option: string, element: Key | ElementOptions, out: WireElement[]): void {
    if (!isElement(element)) {
      if (this.#map) throw invalidOption(option, 'an element of a map is { key, value }')
      this.#place(option, element, {}, out)
      return
    }
    onlyKeys(option, element, ELEMENT_KEYS)
    checkComment(option, element.comment)
    this.#place(`${option}.key`, element.key, this.#rest(option, element), out)
  }

  #rest(option: string, element: ElementOptions): WireElement {
    const { value, verdict, timeout, expressions = [], object } = element
    const data = this.#dataOf(option, value, verdict)
    const userdata = writeUserdata(element.comment, element.userdata)
    return {
      ...(data === undefined ? {} : { data }),
      ...(timeout === undefined
        ? {}
        : { timeout: BigInt(parseDuration(`${option}.timeout`, timeout)) }),
      ...(userdata === undefined ? {} : { userdata }),
      ...(object === undefined ? {} : { object }),
      ...(expressions.length === 1 ? { expression: expressions[0] } : {}),
      ...(expressions.length > 1 ? { expressions } : {}),
    }
  }

  #dataOf(option: string, value: unknown, verdict?: VerdictText | Verdict): Data | undefined {
    if (verdict !== undefined) return { verdict: verdictOf(`${option}.verdict`, verdict) }
    if (value === undefined) return undefined
    if (this.#data === undefined) throw invalidOption(`${option}.value`, 'the set has no values')
    return { value: encodeKey(`${option}.value`, this.#data, value)[0] }
  }

  #place(option: string, key: Key, rest: WireElement, out: WireElement[]): void {
    if (key === '*') {
      out.push({ ...rest, flags: ['rest'] })
      return
    }
    const [from, to] = encodeKey(option, this.#key, key)
    if (!this.pairs) {
      out.push(this.#twoKeys ? { key: from, ...rest, keyEnd: to } : { key: from, ...rest })
      return
    }
    out.push({ key: from, ...rest })
    const behind = after(to)
    if (behind !== undefined) out.push({ key: behind, flags: ['end'] })
  }

  decode(found: readonly WireElement[]): Element[] {
    if (!this.pairs) return found.map(one => this.#element(one, one.key, one.keyEnd))
    const sorted = found
      .filter(({ key }) => key !== undefined)
      .map(one => ({ one, key: one.key as Uint8Array, end: one.flags?.includes('end') === true }))
      .sort((a, b) => Buffer.compare(a.key, b.key) || Number(b.end) - Number(a.end))
    const elements: Element[] = []
    for (const [i, { one, key, end }] of sorted.entries()) {
      if (end) continue
      const next = sorted[i + 1]
      const last = next === undefined ? new Uint8Array(key.length).fill(0xff) : before(next.key)
      elements.push(this.#element(one, key, last))
    }
    for (const one of found) if (one.key === undefined) elements.push(this.#element(one))
    return elements
  }

  #element(one: WireElement, from?: Uint8Array, to?: Uint8Array): Element {
    const { data, timeout, expiration, object } = one
    const expressions =
      one.expressions ?? (one.expression === undefined ? undefined : [one.expression])
    return {
      key: from === undefined ? '*' : decodeKey(this.#key, from, to),
      ...(data?.verdict === undefined ? {} : { verdict: verdictText(data.verdict) }),
      ...(data?.value === undefined
        ? {}
        : { value: this.#data === undefined ? data.value : decodeKey(this.#data, data.value) }),
      ...(object === undefined ? {} : { object }),
      ...(timeout === undefined ? {} : { timeout: Number(timeout) }),
      ...(expiration === undefined ? {} : { expires: Number(expiration) }),
      ...(expressions === undefined ? {} : { expressions }),
      ...readUserdata(one.userdata),
    }
  }
}

const ELEMENT_KEYS = [
  ...['key', 'value', 'verdict', 'object', 'timeout', 'expires', 'comment', 'userdata'],
  'expressions',
]

function isElement(element: Key | ElementOptions): element is ElementOptions {
  return typeof element === 'object' && element !== null && 'key' in element
}

/** The number behind it; undefined behind the greatest. */
function after(bytes: Uint8Array): Uint8Array | undefined {
  const number = integerOf(bytes) + 1n
  return number >> BigInt(bytes.length * 8) === 0n
    ? integerBytes(number, bytes.length, 'big')
    : undefined
}

function before(bytes: Uint8Array): Uint8Array {
  const number = integerOf(bytes)
  return integerBytes(number === 0n ? 0n : number - 1n, bytes.length, 'big')
}
