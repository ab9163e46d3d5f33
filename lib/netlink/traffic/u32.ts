import { isIPv4, isIPv6 } from 'node:net'
import { integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import {
  attribute,
  attributes,
  be16,
  be32,
  ipBytes,
  malformed,
  s16,
  s32,
  struct,
  u8,
  u16,
  u32,
} from '../codec/index.js'
import { type Action, actionList, readActions, writeActions } from './actions.js'
import { type Handle, handle } from './handles.js'
import { decoded, encoded, type Kind } from './kind.js'

/** Four bytes of a packet's network header, of which the bits of the mask are compared. */
export interface U32Key {
  /** Where they begin, from the header's begin; a multiple of 4. */
  offset: number
  value: number
  mask: number
}

/** Compares bits of the packet; without any all packets match. tc-u32(8) */
export interface U32Options {
  kind: 'u32'
  /** All of them must match. Listed are these alone. */
  keys?: readonly U32Key[]
  /** `'10.0.0.0/8'`, `'2001:db8::/32'`: of the filter's protocol. Not listed: keys are made of it. */
  source?: string
  destination?: string
  /** Number of the protocol above IPv4, 6 for TCP. */
  ipProtocol?: number
  /** The class that the packet goes to. */
  class?: Handle
  actions?: readonly Action[]
  /** Of a table: how many lists it has. Listed only. */
  divisor?: number
}

const TERMINAL = 1
const keyStruct = struct({ mask: be32, value: be32, offset: s32, offsetMask: s32 })
const selectorStruct = struct({
  flags: u8,
  offsetShift: u8,
  count: u8,
  pad: 1,
  offsetMask: be16,
  base: u16,
  offsetOffset: s16,
  hashOffset: s16,
  hashMask: be32,
})

/** struct tc_u32_sel: as many keys follow as it says. */
const selector = {
  read(bytes: Buffer, start: number, end: number): readonly U32Key[] {
    const { count } = selectorStruct.read(bytes, start, end)
    const first = start + selectorStruct.size
    if (first + count * keyStruct.size > end) throw malformed(`no room for ${count} keys`)
    return Array.from({ length: count }, (_, i) => {
      const { offset, value, mask } = keyStruct.at(bytes, first + i * keyStruct.size)
      return { offset, value, mask }
    })
  },
  write(to: Parameters<typeof selectorStruct.write>[0], keys: readonly U32Key[]) {
    selectorStruct.write(to, { flags: TERMINAL, count: keys.length })
    for (const key of keys) keyStruct.write(to, key)
  },
}

const codec = attributes({
  class: attribute('TCA_U32_CLASSID', 1, handle),
  divisor: attribute('TCA_U32_DIVISOR', 4, u32),
  keys: attribute('TCA_U32_SEL', 5, selector),
  actions: attribute('TCA_U32_ACT', 7, actionList),
})

const names = ['kind', 'keys', 'source', 'destination', 'ipProtocol', 'class', 'actions']
const MOST_KEYS = 128

export const u32Kind: Kind = {
  write(option, options) {
    onlyKeys(option, options, names)
    const given = options as U32Options
    const keys = [
      ...(given.keys ?? []),
      ...addressKeys(`${option}.source`, given.source, 12, 8),
      ...addressKeys(`${option}.destination`, given.destination, 16, 24),
    ]
    if (given.ipProtocol !== undefined) {
      const number = integerOption(`${option}.ipProtocol`, given.ipProtocol, 0, 255)
      keys.push({ offset: 8, value: number * 0x10000, mask: 0x00ff0000 })
    }
    // A selector has to be there, and one key that compares nothing matches all.
    if (keys.length === 0) keys.push({ offset: 0, value: 0, mask: 0 })
    if (keys.length > MOST_KEYS)
      throw invalidOption(`${option}.keys`, `are ${keys.length}; ${MOST_KEYS} are the most`)
    return encoded(option, codec, {
      class: given.class,
      keys,
      actions: writeActions(`${option}.actions`, given.actions),
    })
  },
  read(bytes) {
    const { actions, ...rest } = decoded(codec, bytes)
    return { ...rest, ...readActions(actions) }
  },
}

/** The words of an address as the network header has them, those of which something counts. */
function addressKeys(
  option: string,
  prefix: string | undefined,
  at4: number,
  at6: number,
): U32Key[] {
  if (prefix === undefined) return []
  const { address, length } = prefixOf(option, prefix)
  const bytes = Buffer.from(ipBytes(address))
  const keys: U32Key[] = []
  for (let i = 0; i < bytes.length && i * 8 < length; i += 4) {
    const bits = Math.min(32, length - i * 8)
    const mask = (0xffffffff << (32 - bits)) >>> 0
    const offset = (bytes.length === 4 ? at4 : at6) + i
    keys.push({ offset, value: (bytes.readUInt32BE(i) & mask) >>> 0, mask })
  }
  return keys
}

/** `'10.0.0.0/8'` in its parts; without a length all of the address counts. */
export function prefixOf(option: string, prefix: unknown): { address: string; length: number } {
  const [address = '', length, rest] = `${prefix}`.split('/')
  const most = isIPv4(address) ? 32 : isIPv6(address) && !address.includes('%') ? 128 : -1
  const bits = length === undefined ? most : /^\d+$/.test(length) ? Number(length) : -1
  if (bits < 0 || bits > most || rest !== undefined)
    throw invalidOption(option, `${show(prefix)} is no address or prefix, as 10.0.0.0/8`)
  return { address, length: bits }
}
