import { conflict } from '../../../base/index.js'
import { type TypeName, typeNamed } from '../datatypes.js'
import type { Expression } from '../expressions/index.js'
import type { RuleContext } from '../rules.js'
import { type Field, field } from './field.js'
import type { FieldSource } from './lookup.js'

type Payload = Extract<Expression, { kind: 'payload' }>
type Base = NonNullable<Payload['base']>

/** Asks for something once in a rule, before what depends on it. */
function once(rule: RuleContext, name: string, expressions: () => Expression[]): Expression[] {
  if (rule.known.has(name)) return []
  const [subject = ''] = name.split(' ')
  const other = [...rule.known].find(one => one.startsWith(`${subject} `))
  if (other !== undefined)
    throw conflict('expressions', `${name} and ${other} are never true of one packet`)
  rule.known.add(name)
  return expressions()
}

function equals(load: Expression, value: number[]): Expression[] {
  return [load, { kind: 'cmp', sreg: 1, op: 'eq', data: Uint8Array.from(value) }]
}

const NFPROTO = { ip: 2, ip6: 10 }
const ETHERTYPE = { ip: [8, 0], ip6: [0x86, 0xdd] }

/** Only packets of this version of IP, in a table that sees others too. */
function needsIp(rule: RuleContext, version: 'ip' | 'ip6'): Expression[] {
  if (rule.family === version) return []
  if (rule.family === 'ip' || rule.family === 'ip6' || rule.family === 'arp')
    throw conflict('expressions', `a table of family ${rule.family} sees no ${version}`)
  return once(rule, `network ${version}`, () =>
    rule.family === 'inet'
      ? equals({ kind: 'meta', key: 'nfproto', dreg: 1 }, [NFPROTO[version]])
      : equals({ kind: 'meta', key: 'protocol', dreg: 1 }, ETHERTYPE[version]),
  )
}

/** Numbers of protocols above IP. */
export const transports = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 }
export type Transport = keyof typeof transports

/** Only packets of this protocol. */
export function needsTransport(rule: RuleContext, protocol: Transport): Expression[] {
  const version = protocol === 'icmp' ? 'ip' : protocol === 'icmpv6' ? 'ip6' : undefined
  const before = version === undefined ? [] : needsIp(rule, version)
  return [
    ...before,
    ...once(rule, `transport ${protocol}`, () =>
      equals({ kind: 'meta', key: 'l4proto', dreg: 1 }, [transports[protocol]]),
    ),
  ]
}

const checksums: Partial<Record<string, Omit<Payload, 'kind'>>> = {
  ip: { checksum: 'inet', checksumOffset: 10 },
  tcp: { checksum: 'inet', checksumOffset: 16 },
  udp: { checksum: 'inet', checksumOffset: 6 },
  icmp: { checksum: 'inet', checksumOffset: 2 },
  icmpv6: { checksum: 'inet', checksumOffset: 2 },
}

function payload(
  header: string,
  needs: (rule: RuleContext) => Expression[],
  base: Base,
  offset: number,
  type: TypeName,
  pseudo = false,
): Field {
  const length = typeNamed('type', type).size
  const source: FieldSource = {
    type,
    needs,
    load: dreg => ({ kind: 'payload', base, offset, length, dreg }),
    store: sreg => ({
      kind: 'payload',
      base,
      offset,
      length,
      sreg,
      ...checksums[header],
      ...(pseudo ? { checksumFlags: ['pseudoHeader'] } : {}),
    }),
  }
  return field(source)
}

const transport = (protocol: Transport) => (offset: number, type: TypeName) =>
  payload(protocol, rule => needsTransport(rule, protocol), 'transport', offset, type)
const ofTcp = transport('tcp')
const ofUdp = transport('udp')
const ofSctp = transport('sctp')
const ofIp = (offset: number, type: TypeName, pseudo = false) =>
  payload('ip', rule => needsIp(rule, 'ip'), 'network', offset, type, pseudo)
const ofIp6 = (offset: number, type: TypeName, pseudo = false) =>
  payload('ip6', rule => needsIp(rule, 'ip6'), 'network', offset, type, pseudo)

/** The header of TCP: `tcp.dport(80)`. */
export const tcp = {
  sport: ofTcp(0, 'inet_service'),
  dport: ofTcp(2, 'inet_service'),
  flags: ofTcp(13, 'tcp_flag'),
} as const
export const udp = { sport: ofUdp(0, 'inet_service'), dport: ofUdp(2, 'inet_service') } as const
export const sctp = { sport: ofSctp(0, 'inet_service'), dport: ofSctp(2, 'inet_service') } as const
export const icmp = {
  type: transport('icmp')(0, 'icmp_type'),
  code: transport('icmp')(1, 'icmp_code'),
} as const
export const icmpv6 = {
  type: transport('icmpv6')(0, 'icmpv6_type'),
  code: transport('icmpv6')(1, 'icmpv6_code'),
} as const

/** The header of IPv4: `ip.saddr('10.0.0.0/8')`. */
export const ip = {
  ttl: payload('ip', rule => needsIp(rule, 'ip'), 'network', 8, 'icmp_code'),
  protocol: ofIp(9, 'inet_proto'),
  saddr: ofIp(12, 'ipv4_addr', true),
  daddr: ofIp(16, 'ipv4_addr', true),
} as const

/** The header of IPv6. */
export const ip6 = {
  nexthdr: ofIp6(6, 'inet_proto'),
  hoplimit: ofIp6(7, 'icmp_code'),
  saddr: ofIp6(8, 'ipv6_addr', true),
  daddr: ofIp6(24, 'ipv6_addr', true),
} as const

function ofDevice(rule: RuleContext): Expression[] {
  if (rule.family === 'netdev' || rule.family === 'bridge') return []
  return once(rule, 'device ethernet', () =>
    equals({ kind: 'meta', key: 'iiftype', dreg: 1 }, [1, 0]),
  )
}

/** The header of Ethernet. */
export const ether = {
  daddr: payload('ether', ofDevice, 'link', 0, 'ether_addr'),
  saddr: payload('ether', ofDevice, 'link', 6, 'ether_addr'),
  type: payload('ether', ofDevice, 'link', 12, 'ether_type'),
} as const

type MetaKey = NonNullable<Extract<Expression, { kind: 'meta' }>['key']>
const ofMeta = (key: MetaKey, type: TypeName) =>
  field({
    type,
    load: dreg => ({ kind: 'meta', key, dreg }),
    store: sreg => ({ kind: 'meta', key, sreg }),
  })

/** What is known of a packet besides its bytes: `meta.iifname('eth0')`, `meta.mark.set(7)`. */
export const meta = {
  length: ofMeta('length', 'mark'),
  protocol: ofMeta('protocol', 'ether_type'),
  mark: ofMeta('mark', 'mark'),
  iif: ofMeta('iif', 'iface_index'),
  oif: ofMeta('oif', 'iface_index'),
  iifname: ofMeta('iifname', 'ifname'),
  oifname: ofMeta('oifname', 'ifname'),
  iiftype: ofMeta('iiftype', 'iface_type'),
  skuid: ofMeta('skuid', 'uid'),
  skgid: ofMeta('skgid', 'gid'),
  nfproto: ofMeta('nfproto', 'nf_proto'),
  l4proto: ofMeta('l4proto', 'inet_proto'),
  pkttype: ofMeta('pkttype', 'pkt_type'),
  nftrace: ofMeta('nftrace', 'boolean'),
  priority: ofMeta('priority', 'classid'),
  cpu: ofMeta('cpu', 'mark'),
} as const

type CtKey = NonNullable<Extract<Expression, { kind: 'ct' }>['key']>
type Direction = 'original' | 'reply'
const ofCt = (key: CtKey, type: TypeName, direction?: Direction) => {
  const rest = direction === undefined ? {} : { direction }
  return field({
    type,
    load: dreg => ({ kind: 'ct', key, dreg, ...rest }),
    store: sreg => ({ kind: 'ct', key, sreg, ...rest }),
  })
}

/** The connection that a packet belongs to: `ct.state('established', 'related')`. */
export const ct = {
  state: ofCt('state', 'ct_state'),
  status: ofCt('status', 'ct_status'),
  mark: ofCt('mark', 'mark'),
  direction: ofCt('direction', 'ct_dir'),
  original: {
    saddr: ofCt('srcIp', 'ipv4_addr', 'original'),
    daddr: ofCt('dstIp', 'ipv4_addr', 'original'),
    protoDst: ofCt('protoDst', 'inet_service', 'original'),
  },
} as const

const ofFib = (
  result: 'oif' | 'type',
  type: TypeName,
  ...flags: ('saddr' | 'daddr' | 'iif' | 'mark')[]
) => field({ type, load: dreg => ({ kind: 'fib', result, flags, dreg }) })

/** What the routing tables say: `fib.destinationType('local')`. */
export const fib = {
  sourceType: ofFib('type', 'fib_addrtype', 'saddr'),
  destinationType: ofFib('type', 'fib_addrtype', 'daddr'),
  /** Device that an answer would leave by; 0: none. With that of the packet itself: reverse path filtering. */
  reverseDevice: ofFib('oif', 'iface_index', 'saddr', 'iif'),
} as const
