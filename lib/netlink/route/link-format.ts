import {
  attribute,
  attributes,
  bool8,
  type Codec,
  flagSet,
  format,
  list,
  mac,
  oneOf,
  s32,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  type ValueOf,
} from '../codec/index.js'
import { linkInfo } from './link-info.js'

/** IFNAMSIZ: a device's name has at most 15 bytes. */
export const NAME_SIZE = 16

/** Flags of a device. netdevice(7), linux/if.h */
export const linkFlags = {
  up: 0x1,
  broadcast: 0x2,
  debug: 0x4,
  loopback: 0x8,
  pointToPoint: 0x10,
  notrailers: 0x20,
  running: 0x40,
  noarp: 0x80,
  promiscuous: 0x100,
  allMulticast: 0x200,
  master: 0x400,
  slave: 0x800,
  multicast: 0x1000,
  portsel: 0x2000,
  automedia: 0x4000,
  dynamic: 0x8000,
  lowerUp: 0x10000,
  dormant: 0x20000,
  echo: 0x40000,
} as const

/** Hardware, and what is taken for it. linux/if_arp.h ARPHRD_… */
const hardware = {
  ether: 1,
  infiniband: 32,
  ax25: 3,
  ppp: 512,
  tunnel: 768,
  tunnel6: 769,
  loopback: 772,
  sit: 776,
  gre: 778,
  ieee80211: 801,
  netlink: 824,
  gre6: 823,
  none: 0xfffe,
} as const

/** RFC 2863. linux/if.h IF_OPER_… */
const states = {
  unknown: 0,
  notPresent: 1,
  down: 2,
  lowerLayerDown: 3,
  testing: 4,
  dormant: 5,
  up: 6,
} as const

const header = struct({
  family: u8,
  pad: 1,
  hardware: oneOf(hardware, u16),
  index: s32,
  flags: flagSet(linkFlags, u32),
  change: flagSet(linkFlags, u32),
})

const counters = struct({
  rxPackets: u64,
  txPackets: u64,
  rxBytes: u64,
  txBytes: u64,
  rxErrors: u64,
  txErrors: u64,
  rxDropped: u64,
  txDropped: u64,
  multicast: u64,
  collisions: u64,
  rxLengthErrors: u64,
  rxOverErrors: u64,
  rxCrcErrors: u64,
  rxFrameErrors: u64,
  rxFifoErrors: u64,
  rxMissedErrors: u64,
  txAbortedErrors: u64,
  txCarrierErrors: u64,
  txFifoErrors: u64,
  txHeartbeatErrors: u64,
  txWindowErrors: u64,
  rxCompressed: u64,
  txCompressed: u64,
  rxNoHandler: u64,
})

/** Counters of a device. linux/if_link.h struct rtnl_link_stats64 */
export interface LinkStatistics extends Required<ValueOf<typeof counters>> {
  /** Since Linux 5.19. */
  rxOtherhostDropped?: bigint
}

const statistics: Codec<LinkStatistics> = {
  read(bytes, start, end) {
    const found = counters.read(bytes, start, end) as LinkStatistics
    if (end - start >= counters.size + u64.size)
      found.rxOtherhostDropped = u64.at(bytes, start + counters.size)
    return found
  },
  write: (to, value) => counters.write(to, value),
}

/** Of IPv6. linux/if_link.h IFLA_INET6_… */
const inet6 = attributes({
  addressGeneration: attribute(
    'IFLA_INET6_ADDR_GEN_MODE',
    8,
    oneOf({ eui64: 0, none: 1, stablePrivacy: 2, random: 3 }, u8),
  ),
})

/** By the numbers of address families. */
const families = attributes({ ipv6: attribute('AF_INET6', 10, inet6) })

const described = {
  address: attribute('IFLA_ADDRESS', 1, mac),
  broadcast: attribute('IFLA_BROADCAST', 2, mac),
  name: attribute('IFLA_IFNAME', 3, text(NAME_SIZE)),
  mtu: attribute('IFLA_MTU', 4, u32),
  link: attribute('IFLA_LINK', 5, s32),
  qdisc: attribute('IFLA_QDISC', 6, text()),
  master: attribute('IFLA_MASTER', 10, u32),
  txQueueLength: attribute('IFLA_TXQLEN', 13, u32),
  state: attribute('IFLA_OPERSTATE', 16, oneOf(states, u8)),
  info: attribute('IFLA_LINKINFO', 18, linkInfo, { hidden: true }),
  netnsPid: attribute('IFLA_NET_NS_PID', 19, u32),
  alias: attribute('IFLA_IFALIAS', 20, text(256)),
  statistics: attribute('IFLA_STATS64', 23, statistics),
  families: attribute('IFLA_AF_SPEC', 26, families, { hidden: true }),
  deviceGroup: attribute('IFLA_GROUP', 27, u32),
  netnsFd: attribute('IFLA_NET_NS_FD', 28, u32),
  extensions: attribute('IFLA_EXT_MASK', 29, flagSet({ skipStatistics: 8 }, u32)),
  promiscuity: attribute('IFLA_PROMISCUITY', 30, u32),
  txQueues: attribute('IFLA_NUM_TX_QUEUES', 31, u32),
  rxQueues: attribute('IFLA_NUM_RX_QUEUES', 32, u32),
  carrier: attribute('IFLA_CARRIER', 33, bool8),
  carrierChanges: attribute('IFLA_CARRIER_CHANGES', 35, u32),
  linkNetnsId: attribute('IFLA_LINK_NETNSID', 37, s32),
  gsoMaxSegments: attribute('IFLA_GSO_MAX_SEGS', 40, u32),
  gsoMaxSize: attribute('IFLA_GSO_MAX_SIZE', 41, u32),
  newNetnsId: attribute('IFLA_NEW_NETNSID', 45, s32),
  newIndex: attribute('IFLA_NEW_IFINDEX', 49, s32),
  minMtu: attribute('IFLA_MIN_MTU', 50, u32),
  maxMtu: attribute('IFLA_MAX_MTU', 51, u32),
  alternativeNames: attribute('IFLA_PROP_LIST', 52, list(text(128), 53)),
  /** One that is asked for. */
  alternativeName: attribute('IFLA_ALT_IFNAME', 53, text(128)),
  permanentAddress: attribute('IFLA_PERM_ADDRESS', 54, mac),
  groMaxSize: attribute('IFLA_GRO_MAX_SIZE', 58, u32),
  allMulticastCount: attribute('IFLA_ALLMULTI', 61, u32),
}

/** `RTM_NEWLINK` and its like: struct ifinfomsg. rtnetlink(7) */
export const linkFormat = format(header, attributes(described, { whole: true }))
/** What stands in such a message. */
export type LinkMessage = ValueOf<typeof linkFormat>

const { statistics: _, ...others } = described
/** {@link linkFormat}, which leaves the counters unread. */
export const bareFormat = format(header, attributes(others, { whole: true }))
