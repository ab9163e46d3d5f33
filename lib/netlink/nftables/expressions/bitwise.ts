import { attribute, attributes, be32, oneOf } from '../../codec/index.js'
import { register, valueCodec } from '../data.js'

const operations = { maskXor: 0, shiftLeft: 1, shiftRight: 2, and: 3, or: 4, xor: 5 } as const

/** `(register & mask) ^ xor`, or a shift by `data`. */
export const bitwise = attributes({
  sreg: attribute('NFTA_BITWISE_SREG', 1, register),
  dreg: attribute('NFTA_BITWISE_DREG', 2, register),
  length: attribute('NFTA_BITWISE_LEN', 3, be32),
  mask: attribute('NFTA_BITWISE_MASK', 4, valueCodec),
  xor: attribute('NFTA_BITWISE_XOR', 5, valueCodec),
  op: attribute('NFTA_BITWISE_OP', 6, oneOf(operations, be32)),
  data: attribute('NFTA_BITWISE_DATA', 7, valueCodec),
  sreg2: attribute('NFTA_BITWISE_SREG2', 8, register),
})

/** Between the order of bytes of the network and of the processor. */
export const byteorder = attributes({
  sreg: attribute('NFTA_BYTEORDER_SREG', 1, register),
  dreg: attribute('NFTA_BYTEORDER_DREG', 2, register),
  op: attribute('NFTA_BYTEORDER_OP', 3, oneOf({ toHost: 0, toNetwork: 1 }, be32)),
  length: attribute('NFTA_BYTEORDER_LEN', 4, be32),
  size: attribute('NFTA_BYTEORDER_SIZE', 5, be32),
})
