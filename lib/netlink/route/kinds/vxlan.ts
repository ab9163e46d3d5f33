import {
  attribute,
  attributes,
  be16,
  be32,
  bool8,
  ip4,
  ip6,
  oneOf,
  presence,
  struct,
  u8,
  u32,
  type ValueOf,
} from '../../codec/index.js'
import { bothFamilies, kind } from './kind.js'

const data = attributes({
  /** VNI, 0 to 2^24 - 1. */
  id: attribute('IFLA_VXLAN_ID', 1, u32),
  /** The other end, or a multicast group (`ip` calls that `group`), of IPv4 or IPv6. */
  remote: attribute('IFLA_VXLAN_GROUP', 2, ip4),
  remote6: attribute('IFLA_VXLAN_GROUP6', 16, ip6),
  /** Address that it sends from, of IPv4 or IPv6. */
  local: attribute('IFLA_VXLAN_LOCAL', 4, ip4),
  local6: attribute('IFLA_VXLAN_LOCAL6', 17, ip6),
  /** The device that it sends by. */
  device: attribute('IFLA_VXLAN_LINK', 3, u32),
  /** UDP port of the other ends. Default: 8472; that of IANA is 4789. */
  port: attribute('IFLA_VXLAN_PORT', 15, be16),
  sourcePorts: attribute('IFLA_VXLAN_PORT_RANGE', 10, struct({ low: be16, high: be16 })),
  ttl: attribute('IFLA_VXLAN_TTL', 5, u8),
  inheritTtl: attribute('IFLA_VXLAN_TTL_INHERIT', 28, presence),
  tos: attribute('IFLA_VXLAN_TOS', 6, u8),
  dontFragment: attribute('IFLA_VXLAN_DF', 29, oneOf({ unset: 0, set: 1, inherit: 2 }, u8)),
  flowLabel: attribute('IFLA_VXLAN_LABEL', 26, be32),
  /** Whether it learns which address is at which end. Default: true. */
  learning: attribute('IFLA_VXLAN_LEARNING', 7, bool8),
  /** Seconds until it forgets them; 0: never. */
  ageing: attribute('IFLA_VXLAN_AGEING', 8, u32),
  /** As many of them; 0: any number. */
  limit: attribute('IFLA_VXLAN_LIMIT', 9, u32),
  /** Whether it answers ARP itself. */
  proxy: attribute('IFLA_VXLAN_PROXY', 11, bool8),
  routeShortCircuit: attribute('IFLA_VXLAN_RSC', 12, bool8),
  l2miss: attribute('IFLA_VXLAN_L2MISS', 13, bool8),
  l3miss: attribute('IFLA_VXLAN_L3MISS', 14, bool8),
  udpChecksum: attribute('IFLA_VXLAN_UDP_CSUM', 18, bool8),
  udpZeroChecksum6Tx: attribute('IFLA_VXLAN_UDP_ZERO_CSUM6_TX', 19, bool8),
  udpZeroChecksum6Rx: attribute('IFLA_VXLAN_UDP_ZERO_CSUM6_RX', 20, bool8),
  /** Group policies in the header. */
  groupPolicy: attribute('IFLA_VXLAN_GBP', 23, presence),
  protocolExtension: attribute('IFLA_VXLAN_GPE', 27, presence),
  /** Whether routes, or BPF, say where a frame goes. Equivalent to: `external` */
  external: attribute('IFLA_VXLAN_COLLECT_METADATA', 25, bool8),
})

/** A network of Ethernet over UDP. */
export interface Vxlan extends Omit<ValueOf<typeof data>, 'remote6' | 'local6'> {}

/** linux/if_link.h IFLA_VXLAN_… */
export const vxlan = kind(data, { devices: ['device'], ...bothFamilies('remote', 'local') })
