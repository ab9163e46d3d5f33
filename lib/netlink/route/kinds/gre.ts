import {
  attribute,
  attributes,
  be16,
  be32,
  bool8,
  type Codec,
  flagSet,
  ip4,
  ip6,
  presence,
  u8,
  u32,
  type ValueOf,
} from '../../codec/index.js'
import { kind } from './kind.js'

const header = flagSet({ checksum: 0x8000, key: 0x2000, sequence: 0x1000 }, be16)

/** linux/if_tunnel.h IFLA_GRE_… */
function describe(address: Codec<string>) {
  return attributes({
    /** The other end. */
    remote: attribute('IFLA_GRE_REMOTE', 7, address),
    /** Address that it sends from. */
    local: attribute('IFLA_GRE_LOCAL', 6, address),
    /** The device that it sends by. */
    device: attribute('IFLA_GRE_LINK', 1, u32),
    ttl: attribute('IFLA_GRE_TTL', 8, u8),
    tos: attribute('IFLA_GRE_TOS', 9, u8),
    /** What headers have that come in. With a key this has `key`. */
    inputFlags: attribute('IFLA_GRE_IFLAGS', 2, header),
    outputFlags: attribute('IFLA_GRE_OFLAGS', 3, header),
    inputKey: attribute('IFLA_GRE_IKEY', 4, be32),
    outputKey: attribute('IFLA_GRE_OKEY', 5, be32),
    pathMtuDiscovery: attribute('IFLA_GRE_PMTUDISC', 10, bool8),
    ignoreDontFragment: attribute('IFLA_GRE_IGNORE_DF', 19, bool8),
    encapsulationLimit: attribute('IFLA_GRE_ENCAP_LIMIT', 11, u8),
    flowInformation: attribute('IFLA_GRE_FLOWINFO', 12, be32),
    mark: attribute('IFLA_GRE_FWMARK', 20, u32),
    /** Whether routes, or BPF, say where a packet goes. Equivalent to: `external` */
    external: attribute('IFLA_GRE_COLLECT_METADATA', 18, presence),
  })
}

const data = describe(ip4)

/** A tunnel for packets (`gre`, `ip6gre`) or for frames (`gretap`, `ip6gretap`), over IPv4 or IPv6. */
export interface Gre extends ValueOf<typeof data> {}

/** A key is used when the flags say so. */
function toData(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const out = { ...options }
  for (const [key, flags] of [
    ['inputKey', 'inputFlags'],
    ['outputKey', 'outputFlags'],
  ] as const) {
    const given = out[flags] ?? []
    if (out[key] !== undefined && Array.isArray(given) && !given.includes('key'))
      out[flags] = [...given, 'key']
  }
  return out
}

export const gre = kind(data, { devices: ['device'], toData })
export const ip6gre = kind(describe(ip6), { devices: ['device'], toData })
