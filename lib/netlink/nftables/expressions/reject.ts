import { attribute, attributes, be32, oneOf, u8 } from '../../codec/index.js'

/** Drops a packet and says so to who sent it. */
export const reject = attributes({
  type: attribute('NFTA_REJECT_TYPE', 1, oneOf({ icmp: 0, 'tcp reset': 1, icmpx: 2 }, be32)),
  code: attribute('NFTA_REJECT_ICMP_CODE', 2, u8),
})
