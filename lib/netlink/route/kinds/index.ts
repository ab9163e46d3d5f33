import { bond, bondPort } from './bond.js'
import { bridge } from './bridge.js'
import { bridgePort } from './bridge-port.js'
import { gre, ip6gre } from './gre.js'
import { ipvlan } from './ipvlan.js'
import type { Kind } from './kind.js'
import { macvlan } from './macvlan.js'
import { plain } from './plain.js'
import { tun } from './tun.js'
import { veth } from './veth.js'
import { vlan } from './vlan.js'
import { vrf, vrfPort } from './vrf.js'
import { vxlan } from './vxlan.js'

/** Kinds of devices, by the names that the kernel has for them. */
export const linkKinds: Readonly<Record<string, Kind>> = {
  bond,
  bridge,
  dummy: plain,
  gre,
  gretap: gre,
  ifb: plain,
  ip6gre,
  ip6gretap: ip6gre,
  ipvlan,
  ipvtap: ipvlan,
  macvlan,
  macvtap: macvlan,
  tun,
  veth,
  vlan,
  vrf,
  vxlan,
  wireguard: plain,
}

/** What a device is to its master, by the master's kind. */
export const portKinds: Readonly<Record<string, Kind>> = {
  bond: bondPort,
  bridge: bridgePort,
  vrf: vrfPort,
}
