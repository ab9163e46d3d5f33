import {
  attribute,
  attributes,
  be16,
  be32,
  be64,
  flagSet,
  format,
  ip,
  struct,
  u8,
} from '../codec/index.js'

/** What the kernel keeps in mind of a connection. linux/netfilter/nf_conntrack_common.h enum ip_conntrack_status */
export const conntrackStatusFlags = {
  /** Somebody expected it: as the data of FTP. */
  expected: 1 << 0,
  /** Packets went both ways. */
  seenReply: 1 << 1,
  /** It is not to be thrown out early. */
  assured: 1 << 2,
  confirmed: 1 << 3,
  sourceNat: 1 << 4,
  destinationNat: 1 << 5,
  sequenceAdjust: 1 << 6,
  sourceNatDone: 1 << 7,
  destinationNatDone: 1 << 8,
  dying: 1 << 9,
  fixedTimeout: 1 << 10,
  template: 1 << 11,
  untracked: 1 << 12,
  helper: 1 << 13,
  offload: 1 << 14,
  hardwareOffload: 1 << 15,
} as const
export type ConntrackStatus = keyof typeof conntrackStatusFlags | number

const tuple = attributes({
  ip: attribute(
    'CTA_TUPLE_IP',
    1,
    attributes({
      source4: attribute('CTA_IP_V4_SRC', 1, ip),
      destination4: attribute('CTA_IP_V4_DST', 2, ip),
      source6: attribute('CTA_IP_V6_SRC', 3, ip),
      destination6: attribute('CTA_IP_V6_DST', 4, ip),
    }),
  ),
  protocol: attribute(
    'CTA_TUPLE_PROTO',
    2,
    attributes({
      number: attribute('CTA_PROTO_NUM', 1, u8),
      sourcePort: attribute('CTA_PROTO_SRC_PORT', 2, be16),
      destinationPort: attribute('CTA_PROTO_DST_PORT', 3, be16),
      icmpId: attribute('CTA_PROTO_ICMP_ID', 4, be16),
      icmpType: attribute('CTA_PROTO_ICMP_TYPE', 5, u8),
      icmpCode: attribute('CTA_PROTO_ICMP_CODE', 6, u8),
      icmp6Id: attribute('CTA_PROTO_ICMPV6_ID', 7, be16),
      icmp6Type: attribute('CTA_PROTO_ICMPV6_TYPE', 8, u8),
      icmp6Code: attribute('CTA_PROTO_ICMPV6_CODE', 9, u8),
    }),
  ),
})
export type WireTuple = ReturnType<typeof tuple.read>

const counters = attributes({
  packets: attribute('CTA_COUNTERS_PACKETS', 1, be64),
  bytes: attribute('CTA_COUNTERS_BYTES', 2, be64),
})

const state = attributes({ state: attribute('CTA_PROTOINFO_TCP_STATE', 1, u8) })

/** linux/netfilter/nfnetlink_conntrack.h; the header is struct nfgenmsg. */
export const conntrackFormat = format(
  struct({ family: u8, version: u8, resource: be16 }),
  attributes({
    original: attribute('CTA_TUPLE_ORIG', 1, tuple),
    reply: attribute('CTA_TUPLE_REPLY', 2, tuple),
    status: attribute('CTA_STATUS', 3, flagSet(conntrackStatusFlags, be32)),
    information: attribute(
      'CTA_PROTOINFO',
      4,
      attributes({ tcp: attribute('CTA_PROTOINFO_TCP', 1, state) }),
    ),
    timeout: attribute('CTA_TIMEOUT', 7, be32),
    mark: attribute('CTA_MARK', 8, be32),
    originalCounters: attribute('CTA_COUNTERS_ORIG', 9, counters),
    replyCounters: attribute('CTA_COUNTERS_REPLY', 10, counters),
    id: attribute('CTA_ID', 12, be32),
    zone: attribute('CTA_ZONE', 18, be16),
    timestamp: attribute(
      'CTA_TIMESTAMP',
      20,
      attributes({ start: attribute('CTA_TIMESTAMP_START', 1, be64) }),
    ),
    markMask: attribute('CTA_MARK_MASK', 21, be32),
  }),
)
export type WireConnection = ReturnType<typeof conntrackFormat.read>
