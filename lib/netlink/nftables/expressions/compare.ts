import { attribute, attributes, be32, oneOf } from '../../codec/index.js'
import { register, valueCodec } from '../data.js'

/** Goes on with the rule if the register holds this, byte by byte from the left. */
export const cmp = attributes({
  sreg: attribute('NFTA_CMP_SREG', 1, register),
  op: attribute('NFTA_CMP_OP', 2, oneOf({ eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 }, be32)),
  data: attribute('NFTA_CMP_DATA', 3, valueCodec),
})

/** Goes on with the rule if what the register holds is between the two, or isn't. */
export const range = attributes({
  sreg: attribute('NFTA_RANGE_SREG', 1, register),
  op: attribute('NFTA_RANGE_OP', 2, oneOf({ eq: 0, neq: 1 }, be32)),
  from: attribute('NFTA_RANGE_FROM_DATA', 3, valueCodec),
  to: attribute('NFTA_RANGE_TO_DATA', 4, valueCodec),
})
