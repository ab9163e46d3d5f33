import {
  attribute,
  attributes,
  be16,
  list,
  oneOf,
  struct,
  u16,
  u32,
  type ValueOf,
} from '../../codec/index.js'
import { kind, switches } from './kind.js'

/** Which protocol tags frames. linux/if_ether.h */
export const vlanProtocols = { '802.1Q': 0x8100, '802.1ad': 0x88a8 } as const

const mapping = list(struct({ from: u32, to: u32 }), 1)

const data = attributes({
  /** Number of the vlan, 0 to 4094. */
  id: attribute('IFLA_VLAN_ID', 1, u16),
  /** Default: `802.1Q`. */
  protocol: attribute('IFLA_VLAN_PROTOCOL', 5, oneOf(vlanProtocols, be16)),
  /** Equivalent to: `reorder_hdr`, `gvrp`, `loose_binding`, `mvrp`, `bridge_binding` */
  flags: attribute(
    'IFLA_VLAN_FLAGS',
    2,
    switches({ reorderHeader: 1, gvrp: 2, looseBinding: 4, mvrp: 8, bridgeBinding: 16 }),
  ),
  /** Priority of a packet from that in the tag of its frame. */
  ingressPriorities: attribute('IFLA_VLAN_INGRESS_QOS', 4, mapping),
  /** Priority in the tag of a frame from that of its packet. */
  egressPriorities: attribute('IFLA_VLAN_EGRESS_QOS', 3, mapping),
})

/** A vlan of another device, which `link` is. */
export interface Vlan extends ValueOf<typeof data> {}

/** linux/if_link.h IFLA_VLAN_… */
export const vlan = kind(data)
