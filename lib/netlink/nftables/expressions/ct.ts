import { attribute, attributes, be32, oneOf, u8 } from '../../codec/index.js'
import { register } from '../data.js'

/** enum nft_ct_keys */
const keys = {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  secmark: 4,
  expiration: 5,
  helper: 6,
  l3protocol: 7,
  src: 8,
  dst: 9,
  protocol: 10,
  protoSrc: 11,
  protoDst: 12,
  labels: 13,
  packets: 14,
  bytes: 15,
  averagePacket: 16,
  zone: 17,
  eventMask: 18,
  srcIp: 19,
  dstIp: 20,
  srcIp6: 21,
  dstIp6: 22,
  id: 23,
} as const

/** What is known of the connection that a packet belongs to. */
export const ct = attributes({
  dreg: attribute('NFTA_CT_DREG', 1, register),
  key: attribute('NFTA_CT_KEY', 2, oneOf(keys, be32)),
  direction: attribute('NFTA_CT_DIRECTION', 3, oneOf({ original: 0, reply: 1 }, u8)),
  sreg: attribute('NFTA_CT_SREG', 4, register),
})
