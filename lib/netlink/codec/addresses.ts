import { isIPv4, isIPv6 } from 'node:net'
import { show } from '../../base/index.js'
import { type Codec, malformed } from './codec.js'

const OCTETS: readonly string[] = Array.from({ length: 256 }, (_, i) => `${i}`)
const PAIRS: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, '0'),
)

/** The four or sixteen bytes of an address, which `isIPv4` or `isIPv6` of node:net has said it is. */
export function ipBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number)
  const out = new Uint8Array(16)
  const [scopeless = ''] = address.split('%')
  const dotted = scopeless.lastIndexOf(':') + 1
  const tail = scopeless.slice(dotted)
  const plain = isIPv4(tail)
    ? `${scopeless.slice(0, dotted)}${toHextets(Uint8Array.from(tail.split('.'), Number))}`
    : scopeless
  const [left = '', right] = plain.split('::')
  const words = (part: string) =>
    part === '' ? [] : part.split(':').map(w => Number.parseInt(w, 16))
  const first = words(left)
  const last = right === undefined ? [] : words(right)
  for (const [i, word] of [
    ...first,
    ...Array(8 - first.length - last.length).fill(0),
    ...last,
  ].entries()) {
    out[2 * i] = word >> 8
    out[2 * i + 1] = word & 0xff
  }
  return out
}

function toHextets(four: Uint8Array): string {
  const [a = 0, b = 0, c = 0, d = 0] = four
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}

/** Text of an address of four or sixteen bytes; of the latter as RFC 5952 has it. */
export function ipText(bytes: Uint8Array, at = 0, length = bytes.length): string {
  if (length === 4)
    return `${OCTETS[bytes[at] as number]}.${OCTETS[bytes[at + 1] as number]}.${OCTETS[bytes[at + 2] as number]}.${OCTETS[bytes[at + 3] as number]}`
  if (length !== 16) throw malformed(`an address of ${length} bytes`)
  const words: number[] = []
  for (let i = 0; i < 16; i += 2)
    words.push(((bytes[at + i] as number) << 8) | (bytes[at + i + 1] as number))
  // An IPv4 address in an IPv6 one is shown as such.
  if (words.slice(0, 5).every(word => word === 0) && words[5] === 0xffff)
    return `::ffff:${ipText(bytes, at + 12, 4)}`
  const [from, count] = longestZeros(words)
  const hex = (part: number[]) => part.map(word => word.toString(16)).join(':')
  if (count < 2) return hex(words)
  return `${hex(words.slice(0, from))}::${hex(words.slice(from + count))}`
}

function longestZeros(words: readonly number[]): [from: number, count: number] {
  let best: [number, number] = [0, 0]
  for (let from = 0; from < words.length; from++) {
    let count = 0
    while (words[from + count] === 0) count++
    if (count > best[1]) best = [from, count]
  }
  return best
}

/** An address of IPv4 or IPv6, told apart by its length. */
export const ip: Codec<string> = {
  read: (bytes, start, end) => ipText(bytes, start, end - start),
  write(to, value) {
    if (typeof value !== 'string' || !(isIPv4(value) || isIPv6(value)) || value.includes('%'))
      throw to.refuse(`${show(value)} is no address of IPv4 or IPv6`)
    const raw = ipBytes(value)
    const place = to.reserve(raw.length)
    to.bytes.set(raw, place)
  },
}

function ofFamily(is: (text: string) => boolean, version: 4 | 6): Codec<string> {
  return {
    read: ip.read,
    write(to, value) {
      if (typeof value !== 'string' || !is(value))
        throw to.refuse(`${show(value)} is no address of IPv${version}`)
      ip.write(to, value)
    },
  }
}

/** An address of IPv4, where the kernel takes no other. */
export const ip4: Codec<string> = ofFamily(isIPv4, 4)
/** An address of IPv6, where the kernel takes no other. */
export const ip6: Codec<string> = ofFamily(isIPv6, 6)

/** A hardware address, `'02:42:ac:11:00:02'`, of any number of bytes up to 32. */
export const mac: Codec<string> = {
  read(bytes, start, end) {
    const pair = (i: number) => PAIRS[bytes[start + i] as number]
    // Of Ethernet, as nearly all are.
    if (end - start === 6)
      return `${pair(0)}:${pair(1)}:${pair(2)}:${pair(3)}:${pair(4)}:${pair(5)}`
    let out = ''
    for (let at = start; at < end; at++)
      out += at === start ? PAIRS[bytes[at] as number] : `:${PAIRS[bytes[at] as number]}`
    return out
  },
  write(to, value) {
    if (typeof value !== 'string' || !/^[0-9a-f]{2}(:[0-9a-f]{2}){0,31}$/i.test(value))
      throw to.refuse(`${show(value)} is no hardware address, as 02:42:ac:11:00:02`)
    const pairs = value.split(':')
    const place = to.reserve(pairs.length)
    for (const [i, pair] of pairs.entries()) to.bytes[place + i] = Number.parseInt(pair, 16)
  },
}
