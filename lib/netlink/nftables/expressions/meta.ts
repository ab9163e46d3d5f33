import { attribute, attributes, be32, oneOf } from '../../codec/index.js'
import { register } from '../data.js'

/** enum nft_meta_keys */
const keys = {
  length: 0,
  protocol: 1,
  priority: 2,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  iiftype: 8,
  oiftype: 9,
  skuid: 10,
  skgid: 11,
  nftrace: 12,
  rtclassid: 13,
  secmark: 14,
  nfproto: 15,
  l4proto: 16,
  ibrname: 17,
  obrname: 18,
  pkttype: 19,
  cpu: 20,
  iifgroup: 21,
  oifgroup: 22,
  cgroup: 23,
  random: 24,
  secpath: 25,
  iifkind: 26,
  oifkind: 27,
  ibrpvid: 28,
  ibrvproto: 29,
  time: 30,
  day: 31,
  hour: 32,
  sdif: 33,
  sdifname: 34,
  broute: 35,
} as const

/** What the kernel knows of a packet besides its bytes. */
export const meta = attributes({
  dreg: attribute('NFTA_META_DREG', 1, register),
  key: attribute('NFTA_META_KEY', 2, oneOf(keys, be32)),
  sreg: attribute('NFTA_META_SREG', 3, register),
})
