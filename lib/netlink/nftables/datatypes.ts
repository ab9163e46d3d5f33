import { isIPv4, isIPv6 } from 'node:net'
import { invalidOption, show } from '../../base/index.js'
import { ipBytes, ipText } from '../codec/index.js'

/** One value of a key: an address, a name or a number, or bytes where its type is not known here. */
export type Value = string | number | bigint | boolean | Uint8Array

/** How values of one type of nft(8)'s stand in registers and sets. */
export interface DataType {
  /** nft's number for it: `enum datatypes`. */
  readonly id: number
  /** Bytes; 0 for as many as the set says. */
  readonly size: number
  /** Of whose numbers it is: the processor's, or the network's. */
  readonly order: 'host' | 'big'
  /** Numbers by their names; of a type with flags, bits. */
  readonly names?: Readonly<Record<string, number>>
  readonly flags?: boolean
  readonly text?: 'ipv4' | 'ipv6' | 'mac' | 'string' | 'bytes'
}

const protocols = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
}
const etherTypes = { ip: 0x800, arp: 0x806, vlan: 0x8100, ip6: 0x86dd }
const icmpTypes = {
  'echo-reply': 0,
  'destination-unreachable': 3,
  redirect: 5,
  'echo-request': 8,
  'router-advertisement': 9,
  'router-solicitation': 10,
  'time-exceeded': 11,
  'parameter-problem': 12,
  'timestamp-request': 13,
  'timestamp-reply': 14,
}
const icmpv6Types = {
  'destination-unreachable': 1,
  'packet-too-big': 2,
  'time-exceeded': 3,
  'parameter-problem': 4,
  'echo-request': 128,
  'echo-reply': 129,
  'mld-listener-query': 130,
  'mld-listener-report': 131,
  'nd-router-solicit': 133,
  'nd-router-advert': 134,
  'nd-neighbor-solicit': 135,
  'nd-neighbor-advert': 136,
  'nd-redirect': 137,
}
const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 }
const ctStates = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 }
const ctStatus = {
  expected: 1,
  'seen-reply': 2,
  assured: 4,
  confirmed: 8,
  snat: 16,
  dnat: 32,
  dying: 512,
}
const arpOperations = { request: 1, reply: 2 }
const packetTypes = { host: 0, broadcast: 1, multicast: 2, other: 3 }
const addressTypes = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
}

const host = (id: number, size: number, names?: DataType['names']): DataType =>
  names === undefined ? { id, size, order: 'host' } : { id, size, order: 'host', names }
const big = (id: number, size: number, names?: DataType['names']): DataType =>
  names === undefined ? { id, size, order: 'big' } : { id, size, order: 'big', names }

/** Types of keys and values by their names, as nft(8) has them. */
export const dataTypes = {
  nf_proto: host(2, 1, { ip: 2, ip6: 10 }),
  integer: { id: 4, size: 0, order: 'big', text: 'bytes' },
  string: { id: 5, size: 0, order: 'host', text: 'bytes' },
  ipv4_addr: { id: 7, size: 4, order: 'big', text: 'ipv4' },
  ipv6_addr: { id: 8, size: 16, order: 'big', text: 'ipv6' },
  ether_addr: { id: 9, size: 6, order: 'big', text: 'mac' },
  ether_type: big(10, 2, etherTypes),
  arp_op: big(11, 2, arpOperations),
  inet_proto: big(12, 1, protocols),
  inet_service: big(13, 2),
  icmp_type: big(14, 1, icmpTypes),
  tcp_flag: { id: 15, size: 1, order: 'big', names: tcpFlags, flags: true },
  time: host(18, 8),
  mark: host(19, 4),
  iface_index: host(20, 4),
  iface_type: host(21, 2),
  realm: host(22, 4),
  classid: host(23, 4),
  uid: host(24, 4),
  gid: host(25, 4),
  ct_state: { id: 26, size: 4, order: 'host', names: ctStates, flags: true },
  ct_dir: host(27, 1, { original: 0, reply: 1 }),
  ct_status: { id: 28, size: 4, order: 'host', names: ctStatus, flags: true },
  icmpv6_type: big(29, 1, icmpv6Types),
  pkt_type: host(31, 1, packetTypes),
  icmp_code: big(32, 1),
  icmpv6_code: big(33, 1),
  devgroup: host(35, 4),
  dscp: big(36, 1),
  ecn: big(37, 1),
  fib_addrtype: host(38, 4, addressTypes),
  boolean: host(39, 1),
  ifname: { id: 41, size: 16, order: 'host', text: 'string' },
  igmp_type: big(42, 1),
  cgroupsv2: host(46, 8),
} as const satisfies Record<string, DataType>

/** A type of a set's key, as nft(8) calls it. */
export type TypeName = keyof typeof dataTypes

const BY_ID = new Map<number, TypeName>(
  (Object.keys(dataTypes) as TypeName[]).map(name => [dataTypes[name].id, name]),
)

export function typeNamed(option: string, name: unknown): DataType {
  if (typeof name === 'string' && Object.hasOwn(dataTypes, name)) return dataTypes[name as TypeName]
  throw invalidOption(option, `${show(name)} is no type; ${Object.keys(dataTypes).join(', ')} are`)
}

export function typeNumbered(id: number): TypeName | undefined {
  return BY_ID.get(id)
}

function numberOf(option: string, type: DataType, value: Value): bigint {
  const { names } = type
  if (typeof value === 'boolean') return value ? 1n : 0n
  if (typeof value === 'string') {
    if (names !== undefined && Object.hasOwn(names, value)) return BigInt(names[value] as number)
    const known = names === undefined ? '' : `; ${Object.keys(names).join(', ')} are known`
    throw invalidOption(option, `${show(value)} is no number${known}`)
  }
  const number =
    typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : (value as bigint)
  if (typeof number !== 'bigint' || number < 0n || number >= 1n << BigInt(type.size * 8))
    throw invalidOption(option, `${show(value)} is no number of ${type.size} bytes`)
  return number
}

/**
 * The bytes of a value.
 *
 * @param order How numbers stand; intervals are of the network's order, for they are compared byte by byte.
 */
export function encodeValue(
  option: string,
  type: DataType,
  value: Value,
  order: 'host' | 'big' = type.order,
): Uint8Array {
  if (value instanceof Uint8Array) {
    if (type.size !== 0 && value.length !== type.size)
      throw invalidOption(option, `must be ${type.size} bytes`)
    return value
  }
  switch (type.text) {
    case 'ipv4':
      if (typeof value !== 'string' || !isIPv4(value))
        throw invalidOption(option, `${show(value)} is no address of IPv4`)
      return ipBytes(value)
    case 'ipv6':
      if (typeof value !== 'string' || !isIPv6(value) || value.includes('%'))
        throw invalidOption(option, `${show(value)} is no address of IPv6`)
      return ipBytes(value)
    case 'mac':
      if (typeof value !== 'string' || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value))
        throw invalidOption(option, `${show(value)} is no hardware address`)
      return Uint8Array.from(value.split(':'), pair => Number.parseInt(pair, 16))
    case 'string': {
      const bytes = typeof value === 'string' ? Buffer.from(value) : undefined
      if (
        bytes === undefined ||
        bytes.length === 0 ||
        bytes.length >= type.size ||
        bytes.includes(0)
      )
        throw invalidOption(option, `${show(value)} is no name of at most ${type.size - 1} bytes`)
      const out = new Uint8Array(type.size)
      out.set(bytes)
      return out
    }
    case 'bytes':
      throw invalidOption(option, 'must be a Uint8Array')
  }
  return integerBytes(numberOf(option, type, value), type.size, order)
}

/** A number of so many bytes. */
export function integerBytes(number: bigint, size: number, order: 'host' | 'big'): Uint8Array {
  const out = new Uint8Array(size)
  let rest = number
  for (let i = 0; i < size; i++) {
    out[order === 'host' ? i : size - 1 - i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return out
}

export function integerOf(bytes: Uint8Array, order: 'host' | 'big' = 'big'): bigint {
  let number = 0n
  const size = bytes.length
  for (let i = 0; i < size; i++)
    number = (number << 8n) | BigInt(bytes[order === 'host' ? size - 1 - i : i] as number)
  return number
}

/** What bytes stand for. Those that can't be of this type are given as they are. */
export function decodeValue(
  type: DataType,
  bytes: Uint8Array,
  order: 'host' | 'big' = type.order,
): Value {
  if (type.size !== bytes.length || type.text === 'bytes') return bytes
  switch (type.text) {
    case 'ipv4':
    case 'ipv6':
      return ipText(bytes)
    case 'mac':
      return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':')
    case 'string': {
      const end = bytes.indexOf(0)
      const text = Buffer.from(bytes.subarray(0, Math.max(end, 0))).toString('utf8')
      // What would not come out again as it came in stays bytes: wildcards among them.
      const plain = end > 0 && !text.includes('\ufffd') && bytes.subarray(end).every(b => b === 0)
      return plain ? text : bytes
    }
  }
  const number = integerOf(bytes, order)
  if (type.names !== undefined)
    for (const [name, known] of Object.entries(type.names))
      if (BigInt(known) === number) return name
  if (type.id === dataTypes.boolean.id && number < 2n) return number === 1n
  return number <= 0xffffffffn ? Number(number) : number
}
