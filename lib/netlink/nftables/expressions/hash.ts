import { attribute, attributes, be32, oneOf } from '../../codec/index.js'
import { register } from '../data.js'

/** Numbers one after the other, or at random, from `offset` to before `offset + modulus`. */
export const numgen = attributes({
  dreg: attribute('NFTA_NG_DREG', 1, register),
  modulus: attribute('NFTA_NG_MODULUS', 2, be32),
  type: attribute('NFTA_NG_TYPE', 3, oneOf({ incremental: 0, random: 1 }, be32)),
  offset: attribute('NFTA_NG_OFFSET', 4, be32),
})

/** A number from what the register holds (`jenkins`), or from the packet's addresses and ports. */
export const hash = attributes({
  sreg: attribute('NFTA_HASH_SREG', 1, register),
  dreg: attribute('NFTA_HASH_DREG', 2, register),
  length: attribute('NFTA_HASH_LEN', 3, be32),
  modulus: attribute('NFTA_HASH_MODULUS', 4, be32),
  seed: attribute('NFTA_HASH_SEED', 5, be32),
  offset: attribute('NFTA_HASH_OFFSET', 6, be32),
  type: attribute('NFTA_HASH_TYPE', 7, oneOf({ jenkins: 0, symmetric: 1 }, be32)),
})
