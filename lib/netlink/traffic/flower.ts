import { conflict, invalidOption, onlyKeys } from '../../base/index.js'
import { attribute, attributes, be16, ip, ipBytes, ipText, mac, u8, u16 } from '../codec/index.js'
import { type Action, actionList, readActions, writeActions } from './actions.js'
import { type Handle, handle } from './handles.js'
import { decoded, encoded, type Kind } from './kind.js'
import { prefixOf } from './u32.js'

/** Compares fields of the packet by their names; without any all packets match. tc-flower(8) */
export interface FlowerOptions {
  kind: 'flower'
  sourceMac?: string
  destinationMac?: string
  /** The filter's protocol is to be `ip` or `ipv6` for these and what follows. */
  source?: string
  destination?: string
  ipProtocol?: 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmpv6' | number
  /** With `ipProtocol` tcp, udp or sctp. */
  sourcePort?: number
  destinationPort?: number
  /** Of a packet with the tag 802.1Q. */
  vlan?: number
  class?: Handle
  actions?: readonly Action[]
}

const codec = attributes({
  class: attribute('TCA_FLOWER_CLASSID', 1, handle),
  actions: attribute('TCA_FLOWER_ACT', 3, actionList),
  destinationMac: attribute('TCA_FLOWER_KEY_ETH_DST', 4, mac),
  destinationMacMask: attribute('TCA_FLOWER_KEY_ETH_DST_MASK', 5, mac),
  sourceMac: attribute('TCA_FLOWER_KEY_ETH_SRC', 6, mac),
  sourceMacMask: attribute('TCA_FLOWER_KEY_ETH_SRC_MASK', 7, mac),
  etherType: attribute('TCA_FLOWER_KEY_ETH_TYPE', 8, be16),
  ipProtocol: attribute('TCA_FLOWER_KEY_IP_PROTO', 9, u8),
  source4: attribute('TCA_FLOWER_KEY_IPV4_SRC', 10, ip),
  source4Mask: attribute('TCA_FLOWER_KEY_IPV4_SRC_MASK', 11, ip),
  destination4: attribute('TCA_FLOWER_KEY_IPV4_DST', 12, ip),
  destination4Mask: attribute('TCA_FLOWER_KEY_IPV4_DST_MASK', 13, ip),
  source6: attribute('TCA_FLOWER_KEY_IPV6_SRC', 14, ip),
  source6Mask: attribute('TCA_FLOWER_KEY_IPV6_SRC_MASK', 15, ip),
  destination6: attribute('TCA_FLOWER_KEY_IPV6_DST', 16, ip),
  destination6Mask: attribute('TCA_FLOWER_KEY_IPV6_DST_MASK', 17, ip),
  sourceTcp: attribute('TCA_FLOWER_KEY_TCP_SRC', 18, be16),
  destinationTcp: attribute('TCA_FLOWER_KEY_TCP_DST', 19, be16),
  sourceUdp: attribute('TCA_FLOWER_KEY_UDP_SRC', 20, be16),
  destinationUdp: attribute('TCA_FLOWER_KEY_UDP_DST', 21, be16),
  vlan: attribute('TCA_FLOWER_KEY_VLAN_ID', 23, u16),
  sourceSctp: attribute('TCA_FLOWER_KEY_SCTP_SRC', 41, be16),
  destinationSctp: attribute('TCA_FLOWER_KEY_SCTP_DST', 42, be16),
})
type Fields = Parameters<typeof codec.write>[1]

const protocols: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  sctp: 132,
}
const suffixes: Readonly<Record<number, 'Tcp' | 'Udp' | 'Sctp'>> = {
  6: 'Tcp',
  17: 'Udp',
  132: 'Sctp',
}
const keys = [
  'kind',
  'sourceMac',
  'destinationMac',
  'source',
  'destination',
  'ipProtocol',
  'sourcePort',
  'destinationPort',
  'vlan',
  'class',
  'actions',
]
const sides = ['source', 'destination'] as const

export function flowerKind(etherType: number): Kind {
  return {
    write(option, options) {
      onlyKeys(option, options, keys)
      const given = options as FlowerOptions
      const named = given.ipProtocol
      const ipProtocol = typeof named === 'string' ? protocols[named] : named
      if (named !== undefined && ipProtocol === undefined)
        throw invalidOption(
          `${option}.ipProtocol`,
          `is a number or one of ${Object.keys(protocols).join(', ')}`,
        )
      const fields: Record<string, unknown> = {
        class: given.class,
        actions: writeActions(`${option}.actions`, given.actions),
        // 'all' has none of its own.
        etherType: etherType === ANY ? undefined : etherType,
        ipProtocol,
        vlan: given.vlan,
        sourceMac: given.sourceMac,
        destinationMac: given.destinationMac,
      }
      for (const side of sides) {
        Object.assign(fields, addressFields(`${option}.${side}`, side, given[side]))
        const port = given[`${side}Port`]
        if (port === undefined) continue
        const suffix = suffixes[ipProtocol ?? 0]
        if (suffix === undefined)
          throw conflict(`${option}.${side}Port`, 'goes with ipProtocol tcp, udp or sctp')
        fields[`${side}${suffix}`] = port
      }
      return encoded(option, codec, fields as Fields)
    },
    read: readFlower,
  }
}

const ANY = 0x0003

function readFlower(bytes: Buffer): object {
  const said = decoded(codec, bytes)
  const out: Record<string, unknown> = {}
  if (said.class !== undefined) out.class = said.class
  if (said.vlan !== undefined) out.vlan = said.vlan
  if (said.sourceMac !== undefined) out.sourceMac = said.sourceMac
  if (said.destinationMac !== undefined) out.destinationMac = said.destinationMac
  const number = said.ipProtocol
  if (number !== undefined)
    out.ipProtocol = Object.keys(protocols).find(name => protocols[name] === number) ?? number
  for (const side of sides) {
    const address = said[`${side}4`] ?? said[`${side}6`]
    const mask = said[`${side}4Mask`] ?? said[`${side}6Mask`]
    if (address !== undefined) out[side] = prefixText(address, mask)
    const port = said[`${side}Tcp`] ?? said[`${side}Udp`] ?? said[`${side}Sctp`]
    if (port !== undefined) out[`${side}Port`] = port
  }
  return { ...out, ...readActions(said.actions) }
}

function addressFields(option: string, side: string, prefix: string | undefined) {
  if (prefix === undefined) return {}
  const { address, length } = prefixOf(option, prefix)
  const raw = ipBytes(address)
  const mask = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) {
    mask[i] = 0xff & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i)))
    raw[i] = (raw[i] as number) & (mask[i] as number)
  }
  const family = raw.length === 4 ? 4 : 6
  return { [`${side}${family}`]: ipText(raw), [`${side}${family}Mask`]: ipText(mask) }
}

/** `10.0.0.0/8`; a mask with gaps stands as itself. */
function prefixText(address: string, mask: string | undefined): string {
  if (mask === undefined) return address
  const bits = [...ipBytes(mask)].map(byte => byte.toString(2).padStart(8, '0')).join('')
  const length = bits.indexOf('0') < 0 ? bits.length : bits.indexOf('0')
  return bits.includes('1', length) ? `${address}/${mask}` : `${address}/${length}`
}
