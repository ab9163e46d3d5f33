import type { Family } from './families.js'
import type { Device } from './link-options.js'
import type { RouteFlag, routeProtocols, routeTypes } from './route-format.js'
import type { RouteMetrics } from './route-metrics.js'
import type { nexthopFlags } from './route-nexthops.js'
import type { RouteTable } from './route-tables.js'
import type { Scope } from './scopes.js'

/** What is done with a packet that goes there; a number for what has no name here. */
export type RouteType = keyof typeof routeTypes | number

/** Who made a route; a number for who has no name here. */
export type RouteProtocol = keyof typeof routeProtocols | number

/** One of several ways that a route shares its packets among. */
export interface Nexthop {
  /** Of IPv4 or IPv6, whichever the route itself is of. */
  readonly gateway?: string
  /** Number of the device. */
  readonly device?: number
  /** Its share, 1 to 256. */
  readonly weight: number
  readonly flags: readonly (keyof typeof nexthopFlags | number)[]
}

/** A route. */
export interface Route {
  readonly family: Family
  readonly type: RouteType
  /** With the length of its prefix, as `'10.0.0.0/8'`; `'default'` for all there is. */
  readonly destination: string
  /** Only for packets from here, of IPv6. Equivalent to: `from` */
  readonly from?: string
  /** Where packets are sent. Of IPv6 in a route of IPv4 too (RFC 5549). */
  readonly gateway?: string
  /** Number of the device. */
  readonly device?: number
  /** Instead of `gateway` and `device`. */
  readonly nexthops?: readonly Nexthop[]
  /** Instead of them: number of an object that `ip nexthop` has made. */
  readonly nexthopId?: number
  /** The address that packets get which have none yet. Equivalent to: `src` */
  readonly source?: string
  /** The least is used. Equivalent to: `metric` */
  readonly priority?: number
  /** Number of the table: 254 is main, 255 local. */
  readonly table: number
  readonly protocol: RouteProtocol
  readonly scope: Scope
  /** Only for packets of this type of service, of IPv4. */
  readonly tos?: number
  /** `onlink`: the gateway is there even if no route to it says so. Others are the kernel's to say. */
  readonly flags: readonly RouteFlag[]
  readonly metrics?: RouteMetrics
  /** Of IPv6, of routes of the same priority: RFC 4191. Equivalent to: `pref` */
  readonly preference?: 'low' | 'medium' | 'high' | 'invalid' | number
  /** After so many seconds it is gone, of IPv6. */
  readonly expires?: number
  /** For classes of traffic. */
  readonly realms?: number
}

/** One of several ways of a route that is to be. */
export interface NexthopOptions extends Partial<Omit<Nexthop, 'device'>> {
  readonly device?: Device
}

/** A route that is to be. What {@link Routes.list} gives will do as well. */
export interface RouteOptions
  extends Partial<Omit<Route, 'device' | 'nexthops' | 'table' | 'destination'>> {
  /** `'10.0.0.0/8'`; all bits of it without a length; `'default'`. */
  readonly destination: string
  readonly device?: Device
  readonly nexthops?: readonly NexthopOptions[]
  /** Default: `'local'` for the types local, broadcast and anycast, otherwise `'main'`. */
  readonly table?: RouteTable
}

/** Which routes. */
export interface RouteFilter {
  readonly family?: Family
  readonly table?: RouteTable
  /** Number or name of the device that packets leave by. */
  readonly device?: Device
  readonly protocol?: RouteProtocol
  readonly type?: RouteType
}

/** What the packet is like whose route is asked for. */
export interface RouteQuery {
  readonly from?: string
  /** It comes in by this device, instead of being sent from here. Equivalent to: `iif` */
  readonly input?: Device
  /** It is to leave by this one. Equivalent to: `oif` */
  readonly device?: Device
  readonly mark?: number
  readonly tos?: number
  readonly uid?: number
  /** Number of the protocol, as 6 for TCP. */
  readonly ipProtocol?: number
  readonly sourcePort?: number
  readonly destinationPort?: number
  /** The route as it stands in its table, instead of what comes of it. Equivalent to: `fibmatch` */
  readonly match?: boolean
}
