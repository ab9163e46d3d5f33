import type { Bond, BondPort } from './kinds/bond.js'
import type { Bridge } from './kinds/bridge.js'
import type { BridgePort } from './kinds/bridge-port.js'
import type { Gre } from './kinds/gre.js'
import type { Ipvlan } from './kinds/ipvlan.js'
import type { Macvlan } from './kinds/macvlan.js'
import type { Tun } from './kinds/tun.js'
import type { Vlan } from './kinds/vlan.js'
import type { Vrf, VrfPort } from './kinds/vrf.js'
import type { Vxlan } from './kinds/vxlan.js'
import type { LinkMessage, LinkStatistics } from './link-format.js'

/** A network device. What the kernel does not tell of one is left out. */
export interface Link {
  /** Its number in the network namespace. */
  readonly index: number
  readonly name: string
  /** `'veth'`, `'bridge'`, …; undefined for `lo`, and for hardware. What a kind has stands under its name. */
  readonly kind: string | undefined
  /** `ether`, `loopback`, `none`, …: its ARPHRD_… of linux/if_arp.h */
  readonly hardware: NonNullable<LinkMessage['hardware']>
  /** `up`, `multicast`, `promiscuous`, …: its IFF_… of netdevice(7) */
  readonly flags: NonNullable<LinkMessage['flags']>
  /** Whether it has been brought up; `state` says whether it works. */
  readonly up: boolean
  readonly state: LinkMessage['state']
  readonly carrier: boolean | undefined
  readonly carrierChanges: number | undefined
  /** Its hardware address. */
  readonly address: string | undefined
  readonly broadcast: string | undefined
  readonly permanentAddress: string | undefined
  readonly mtu: number | undefined
  readonly minMtu: number | undefined
  readonly maxMtu: number | undefined
  /** Number of the bridge, bond or VRF that it belongs to. */
  readonly master: number | undefined
  /** Number of the device that it stands on; of veth, of the other end. */
  readonly link: number | undefined
  /** Of the network namespace that `link` is in, when it is another one. */
  readonly linkNetnsId: number | undefined
  readonly alias: string | undefined
  readonly alternativeNames: readonly string[]
  readonly qdisc: string | undefined
  readonly txQueueLength: number | undefined
  readonly txQueues: number | undefined
  readonly rxQueues: number | undefined
  /** Number of the group of devices, 0 by default. Equivalent to: `ip link set … group` */
  readonly deviceGroup: number | undefined
  /** How many want it to take all packets. */
  readonly promiscuity: number | undefined
  readonly gsoMaxSize: number | undefined
  readonly gsoMaxSegments: number | undefined
  readonly groMaxSize: number | undefined
  /** How it gets addresses of IPv6 by itself. Equivalent to: `addrgenmode` */
  readonly addressGeneration: string | number | undefined
  /** Left out when the list was asked for without. */
  readonly statistics: LinkStatistics | undefined
  readonly bond?: Bond
  readonly bridge?: Bridge
  readonly gre?: Gre
  readonly gretap?: Gre
  readonly ip6gre?: Gre
  readonly ip6gretap?: Gre
  readonly ipvlan?: Ipvlan
  readonly ipvtap?: Ipvlan
  readonly macvlan?: Macvlan
  readonly macvtap?: Macvlan
  readonly tun?: Tun
  readonly vlan?: Vlan
  readonly vrf?: Vrf
  readonly vxlan?: Vxlan
  /** What its master makes of it. */
  readonly bridgePort?: BridgePort
  readonly bondPort?: BondPort
  readonly vrfPort?: VrfPort
  /** Attributes of a kind that this package does not know, as they are. */
  data?: Uint8Array
}

const ports: Readonly<Record<string, string>> = {
  bond: 'bondPort',
  bridge: 'bridgePort',
  vrf: 'vrfPort',
}

/** What a message says of a device. */
export function toLink(message: LinkMessage): Link {
  const { info, flags = [] } = message
  const link: Record<string, unknown> & Link = {
    index: message.index ?? 0,
    name: message.name ?? '',
    kind: info?.kind,
    hardware: message.hardware ?? 'none',
    flags,
    up: flags.includes('up'),
    state: message.state,
    carrier: message.carrier,
    carrierChanges: message.carrierChanges,
    address: message.address,
    broadcast: message.broadcast,
    permanentAddress: message.permanentAddress,
    mtu: message.mtu,
    minMtu: message.minMtu,
    maxMtu: message.maxMtu,
    master: message.master,
    link: message.link,
    linkNetnsId: message.linkNetnsId,
    alias: message.alias,
    alternativeNames: message.alternativeNames ?? [],
    qdisc: message.qdisc,
    txQueueLength: message.txQueueLength,
    txQueues: message.txQueues,
    rxQueues: message.rxQueues,
    deviceGroup: message.deviceGroup,
    promiscuity: message.promiscuity,
    gsoMaxSize: message.gsoMaxSize,
    gsoMaxSegments: message.gsoMaxSegments,
    groMaxSize: message.groMaxSize,
    addressGeneration: message.families?.ipv6?.addressGeneration,
    statistics: message.statistics,
  }
  if (info === undefined) return link
  const { kind, data, portKind, portData } = info
  if (data instanceof Uint8Array) link.data = data
  else if (kind !== undefined && data !== undefined && kind !== 'veth') link[kind] = data
  const port = portKind === undefined ? undefined : ports[portKind]
  if (port !== undefined && portData !== undefined) link[port] = portData
  return link
}
