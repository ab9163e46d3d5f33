import { isIP } from 'node:net'
import { invalidOption, show } from '../../base/index.js'
import {
  type DataType,
  decodeValue,
  encodeValue,
  integerBytes,
  integerOf,
  type TypeName,
  typeNamed,
  typeNumbered,
  type Value,
} from './datatypes.js'

/** All values from one to another, both of them in it. */
export interface Range {
  readonly from: Value
  readonly to: Value
}

/** A key, or a part of one: a value; a range; an address with a prefix, `'10.0.0.0/8'`, is one too. */
export type KeyPart = Value | Range
/** What an element of a set stands for: of a concatenation, a list of its parts; `'*'` is all else. */
export type Key = KeyPart | readonly KeyPart[]

/** Of what a key, or the data of a map, consists; a number is a type of nft's that has no name here. */
export type KeyType = TypeName | number | readonly TypeName[]

/** How keys of a set stand in messages. */
export interface KeyLayout {
  readonly parts: readonly DataType[]
  readonly concatenated: boolean
  /** nft's number for the type. */
  readonly id: number
  /** Bytes of all. */
  readonly length: number
  /** How numbers stand in it, if not as their type says. */
  readonly order?: 'big'
}

const TYPE_BITS = 6
const padded = (size: number) => (size + 3) & ~3

/** @param length Where the type does not say it. */
export function layoutOf(
  option: string,
  type: KeyType,
  interval: boolean,
  length?: number,
): KeyLayout {
  const order = interval ? { order: 'big' as const } : {}
  if (typeof type === 'number')
    return { parts: [], concatenated: false, id: type, length: length ?? 0 }
  if (!Array.isArray(type)) {
    const part = typeNamed(option, type)
    if (part.size === 0 && length === undefined)
      throw invalidOption(option, `${type} takes keyLength, the number of its bytes`)
    const sized = part.size === 0 ? { ...part, size: length as number } : part
    return { parts: [sized], concatenated: false, id: part.id, length: sized.size, ...order }
  }
  if (type.length < 2) throw invalidOption(option, 'a concatenation has two parts or more')
  const parts = (type as readonly TypeName[]).map((name, i) => typeNamed(`${option}[${i}]`, name))
  if (length === undefined && parts.some(({ size }) => size === 0))
    throw invalidOption(option, `${show(type)} takes keyLength, the number of its bytes`)
  return {
    parts,
    concatenated: true,
    id: parts.reduce((id, part) => id * 2 ** TYPE_BITS + part.id, 0) >>> 0,
    length: length ?? parts.reduce((sum, { size }) => sum + padded(size), 0),
  }
}

/** The type that has this number of nft's. */
export function keyTypeOf(id: number): KeyType {
  if (id < 2 ** TYPE_BITS) return typeNumbered(id) ?? id
  const names: TypeName[] = []
  for (let rest = id; rest > 0; rest = Math.floor(rest / 2 ** TYPE_BITS)) {
    const name = typeNumbered(rest % 2 ** TYPE_BITS)
    if (name === undefined) return id
    names.unshift(name)
  }
  return names
}

/** Whether the parts of a key are known well enough to be told apart. */
const known = ({ parts, length, concatenated }: KeyLayout) =>
  parts.length > 0 &&
  (!concatenated || parts.reduce((sum, { size }) => sum + padded(size), 0) === length)

const isRange = (part: unknown): part is Range =>
  typeof part === 'object' && part !== null && 'from' in part && 'to' in part

/** First and last address of `'10.0.0.0/8'`. */
function prefixBytes(option: string, type: DataType, text: string): [Uint8Array, Uint8Array] {
  const [address = '', digits = ''] = text.split('/')
  const size = Number(digits)
  if (isIP(address) === 0 || !/^\d{1,3}$/.test(digits) || size > type.size * 8)
    throw invalidOption(option, `${show(text)} is no address with a prefix`)
  const bytes = encodeValue(option, type, address)
  const rest = (1n << BigInt(type.size * 8 - size)) - 1n
  const first = integerOf(bytes) & ~rest
  return [integerBytes(first, type.size, 'big'), integerBytes(first | rest, type.size, 'big')]
}

export function partBytes(
  option: string,
  type: DataType,
  part: unknown,
  order?: 'big',
): [from: Uint8Array, to: Uint8Array] {
  const encode = (value: unknown, name: string) =>
    encodeValue(name, type, value as Value, order ?? type.order)
  if (isRange(part)) {
    const range: [Uint8Array, Uint8Array] = [
      encode(part.from, `${option}.from`),
      encode(part.to, `${option}.to`),
    ]
    if (Buffer.compare(...range) > 0)
      throw invalidOption(option, `${show(part.from)} is greater than ${show(part.to)}`)
    return range
  }
  if (
    typeof part === 'string' &&
    part.includes('/') &&
    (type.text === 'ipv4' || type.text === 'ipv6')
  )
    return prefixBytes(option, type, part)
  const bytes = encode(part, option)
  return [bytes, bytes]
}

/** First and last bytes of a key; the same ones, unless it is a range. */
export function encodeKey(
  option: string,
  layout: KeyLayout,
  key: unknown,
): [from: Uint8Array, to: Uint8Array] {
  if (key instanceof Uint8Array) {
    if (key.length !== layout.length) throw invalidOption(option, `must be ${layout.length} bytes`)
    return [key, key]
  }
  if (!known(layout)) {
    if (isRange(key) && key.from instanceof Uint8Array && key.to instanceof Uint8Array)
      return [key.from, key.to]
    throw invalidOption(option, 'must be a Uint8Array: its type is not known here')
  }
  const [single] = layout.parts
  if (!layout.concatenated) return partBytes(option, single as DataType, key, layout.order)
  if (!Array.isArray(key) || key.length !== layout.parts.length)
    throw invalidOption(option, `must be a list of ${layout.parts.length} parts`)
  const from = new Uint8Array(layout.length)
  const to = new Uint8Array(layout.length)
  let at = 0
  let ranged = false
  for (const [i, type] of layout.parts.entries()) {
    const [first, last] = partBytes(`${option}[${i}]`, type, key[i])
    from.set(first, at)
    to.set(last, at)
    if (first !== last) ranged = true
    at += padded(type.size)
  }
  return ranged ? [from, to] : [from, from]
}

/** The range of a part; one that is all addresses with a prefix is told so. */
function decodePart(type: DataType, from: Uint8Array, to: Uint8Array, order?: 'big'): KeyPart {
  const first = decodeValue(type, from, order)
  if (Buffer.compare(from, to) === 0) return first
  if (type.text === 'ipv4' || type.text === 'ipv6') {
    const bits = integerOf(from) ^ integerOf(to)
    if ((bits & (bits + 1n)) === 0n && (integerOf(from) & bits) === 0n)
      return `${first}/${type.size * 8 - bits.toString(2).length}`
  }
  return { from: first, to: decodeValue(type, to, order) }
}

/** What a key stands for. */
export function decodeKey(layout: KeyLayout, from: Uint8Array, to: Uint8Array = from): Key {
  const equal = from === to || Buffer.compare(from, to) === 0
  if (!known(layout) || from.length !== layout.length || to.length !== layout.length)
    return equal ? from : { from, to }
  const [single] = layout.parts
  if (!layout.concatenated) return decodePart(single as DataType, from, to, layout.order)
  let at = 0
  return layout.parts.map(type => {
    const [a, b] = [from.slice(at, at + type.size), to.slice(at, at + type.size)]
    at += padded(type.size)
    return decodePart(type, a, b)
  })
}
