import type { NamespaceReference } from '../../namespaces/index.js'
import type { Bond, BondPort } from './kinds/bond.js'
import type { Bridge } from './kinds/bridge.js'
import type { BridgePort } from './kinds/bridge-port.js'
import type { Gre } from './kinds/gre.js'
import type { Ipvlan } from './kinds/ipvlan.js'
import type { Macvlan } from './kinds/macvlan.js'
import type { Vlan } from './kinds/vlan.js'
import type { Vrf } from './kinds/vrf.js'
import type { Vxlan } from './kinds/vxlan.js'

/** A device by its name, also an alternative one, or by its number. */
export type Device = string | number

/** What both ends of a veth, and all other devices, are made with. */
export interface DeviceSettings {
  /** At most 15 bytes. Default: the kernel's choice, as `veth0`. */
  name?: string
  /** The network namespace that it comes to be in. Default: the one of this connection. */
  netns?: NamespaceReference
  mtu?: number
  /** Hardware address, as `'02:42:ac:11:00:02'`. */
  address?: string
  broadcast?: string
  /** Packets that wait to be sent. Equivalent to: `txqueuelen` */
  txQueueLength?: number
  /** Number of a group of devices. Equivalent to: `group` */
  deviceGroup?: number
  gsoMaxSize?: number
  gsoMaxSegments?: number
  groMaxSize?: number
  /** Whether it is brought up, or down. */
  up?: boolean
  /** Whether it resolves addresses. */
  arp?: boolean
  multicast?: boolean
  allMulticast?: boolean
  promiscuous?: boolean
}

/** What can be said of all devices. */
export interface LinkSettings extends DeviceSettings {
  /** The bridge, bond or VRF that it is to belong to; null: none. Equivalent to: `master`, `nomaster` */
  master?: Device | null
  /** Text about it, up to 255 bytes; empty: none. */
  alias?: string
  carrier?: boolean
  state?: 'up' | 'down' | 'dormant' | 'testing' | 'unknown'
  /** How it gets addresses of IPv6 by itself. Equivalent to: `addrgenmode` */
  addressGeneration?: 'eui64' | 'none' | 'stablePrivacy' | 'random'
  /** As a port of its bridge. Equivalent to: `ip link set … type bridge_slave …` */
  bridgePort?: WithDevices<BridgePort, 'backupPort'>
  /** As a device of its bond. Equivalent to: `ip link set … type bond_slave …` */
  bondPort?: BondPort
}

/** Options that are devices can be given by name. */
export type WithDevices<T, K extends keyof T> = Omit<T, K> & { [P in K]?: Device }

/** What a kind's own options are, by its name. */
export interface KindOptions {
  bond: WithDevices<Bond, 'activeSlave' | 'primary'>
  bridge: Bridge
  dummy: object
  gre: WithDevices<Gre, 'device'>
  gretap: WithDevices<Gre, 'device'>
  ifb: object
  ip6gre: WithDevices<Gre, 'device'>
  ip6gretap: WithDevices<Gre, 'device'>
  ipvlan: Ipvlan
  ipvtap: Ipvlan
  macvlan: Macvlan
  macvtap: Macvlan
  vlan: Vlan
  vrf: Vrf
  vxlan: WithDevices<Vxlan, 'device'>
  wireguard: object
}

/** What only a new device can be told. */
export interface CreateSettings extends LinkSettings {
  /** The device that it stands on, for the kinds that stand on one: macvlan, ipvlan, vlan. */
  link?: Device
  /** Number of its queues. */
  txQueues?: number
  rxQueues?: number
  /** Other names. Equivalent to: `ip link property add dev … altname …` */
  alternativeNames?: readonly string[]
}

/** A pair of devices: what one sends the other receives. veth(4) */
export interface CreateVeth extends CreateSettings {
  kind: 'veth'
  /** The other end. */
  peer?: DeviceSettings
}

/** A device whose other end is a program, which stays until it is deleted. */
export interface CreateTun extends Omit<LinkSettings, 'netns'> {
  kind: 'tun'
  name: string
  /** Packets of IP, or frames of Ethernet. */
  type: 'tun' | 'tap'
  /** Who may open it besides who may administer the network: a user's id, a group's id. */
  owner?: number
  group?: number
  packetInformation?: boolean
  virtioHeader?: boolean
  multiQueue?: boolean
  alternativeNames?: readonly string[]
}

/** What {@link Links.create} makes, told apart by `kind`. */
export type CreateLink =
  | CreateVeth
  | CreateTun
  | { [K in keyof KindOptions]: { kind: K } & CreateSettings & KindOptions[K] }[keyof KindOptions]

/** What {@link Links.set} changes. The kind's own options go with its name as `kind`. */
export type SetLink = LinkSettings &
  (
    | { kind?: undefined }
    | { [K in keyof KindOptions]: { kind: K } & KindOptions[K] }[keyof KindOptions]
  )

/** Which of the devices are wanted; those that all of it is true of. */
export interface LinkFilter {
  kind?: string
  /** Those that belong to this one. */
  master?: Device
  /** Those that are up, or down. */
  up?: boolean
  /** False leaves out the counters, which is faster. Default: true. */
  statistics?: boolean
}
