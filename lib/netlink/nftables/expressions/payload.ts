import { attribute, attributes, be32, flagSet, oneOf } from '../../codec/index.js'
import { register } from '../data.js'

/** Where in a packet an offset is counted from. */
const bases = { link: 0, network: 1, transport: 2, inner: 3, tunnel: 4 } as const

/** Bytes of a packet into a register (`dreg`), or out of one (`sreg`) with its checksum set right. */
export const payload = attributes({
  dreg: attribute('NFTA_PAYLOAD_DREG', 1, register),
  base: attribute('NFTA_PAYLOAD_BASE', 2, oneOf(bases, be32)),
  offset: attribute('NFTA_PAYLOAD_OFFSET', 3, be32),
  length: attribute('NFTA_PAYLOAD_LEN', 4, be32),
  sreg: attribute('NFTA_PAYLOAD_SREG', 5, register),
  checksum: attribute('NFTA_PAYLOAD_CSUM_TYPE', 6, oneOf({ none: 0, inet: 1, sctp: 2 }, be32)),
  checksumOffset: attribute('NFTA_PAYLOAD_CSUM_OFFSET', 7, be32),
  checksumFlags: attribute('NFTA_PAYLOAD_CSUM_FLAGS', 8, flagSet({ pseudoHeader: 1 }, be32)),
})
