import {
  attribute,
  attributes,
  be16,
  flagSet,
  format,
  ip,
  oneOf,
  s32,
  struct,
  u8,
  u32,
} from '../codec/index.js'
import { family } from './families.js'
import { routeMetrics } from './route-metrics.js'
import { nexthopFlags, nexthops, via } from './route-nexthops.js'
import { scope } from './scopes.js'

/** linux/rtnetlink.h RTN_* */
export const routeTypes = {
  unspecified: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
  nat: 10,
  xresolve: 11,
} as const

/** linux/rtnetlink.h RTPROT_*, and of /etc/iproute2/rt_protos */
export const routeProtocols = {
  unspecified: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  gated: 8,
  ra: 9,
  mrt: 10,
  zebra: 11,
  bird: 12,
  dnrouted: 13,
  xorp: 14,
  ntk: 15,
  dhcp: 16,
  mrouted: 17,
  keepalived: 18,
  babel: 42,
  openr: 99,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
  eigrp: 192,
} as const

/** Those of routes are the same bits as those of next hops, and more. */
export const routeFlags = {
  ...nexthopFlags,
  notify: 0x100,
  cloned: 0x200,
  equalize: 0x400,
  prefix: 0x800,
  lookupTable: 0x1000,
  fibMatch: 0x2000,
  offloaded: 0x4000,
  trapped: 0x8000,
  offloadFailed: 0x20000000,
} as const

/** A flag of a route; a number for those that have no name here. */
export type RouteFlag = keyof typeof routeFlags | number

/** struct rtmsg */
const header = struct({
  family,
  prefix: u8,
  fromPrefix: u8,
  tos: u8,
  shortTable: u8,
  protocol: oneOf(routeProtocols, u8),
  scope,
  type: oneOf(routeTypes, u8),
  flags: flagSet(routeFlags, u32),
})

/** struct rta_cacheinfo; `expires` in hundredths of seconds (USER_HZ). */
const cache = struct({ references: u32, lastUse: s32, expires: s32, error: u32, used: u32 })

export const routeFormat = format(
  header,
  attributes({
    destination: attribute('RTA_DST', 1, ip),
    from: attribute('RTA_SRC', 2, ip),
    input: attribute('RTA_IIF', 3, u32),
    device: attribute('RTA_OIF', 4, u32),
    gateway: attribute('RTA_GATEWAY', 5, ip),
    priority: attribute('RTA_PRIORITY', 6, u32),
    source: attribute('RTA_PREFSRC', 7, ip),
    metrics: attribute('RTA_METRICS', 8, routeMetrics),
    nexthops: attribute('RTA_MULTIPATH', 9, nexthops),
    realms: attribute('RTA_FLOW', 11, u32),
    cache: attribute('RTA_CACHEINFO', 12, cache),
    table: attribute('RTA_TABLE', 15, u32),
    mark: attribute('RTA_MARK', 16, u32),
    via: attribute('RTA_VIA', 18, via),
    preference: attribute(
      'RTA_PREF',
      20,
      oneOf({ medium: 0, high: 1, invalid: 2, low: 3 } as const, u8),
    ),
    expires: attribute('RTA_EXPIRES', 23, u32),
    uid: attribute('RTA_UID', 25, u32),
    ipProtocol: attribute('RTA_IP_PROTO', 27, u8),
    sourcePort: attribute('RTA_SPORT', 28, be16),
    destinationPort: attribute('RTA_DPORT', 29, be16),
    nexthopId: attribute('RTA_NH_ID', 30, u32),
  }),
)

export type RawRoute = Parameters<typeof routeFormat.write>[1]
