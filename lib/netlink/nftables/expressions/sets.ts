import {
  attribute,
  attributes,
  be32,
  be64,
  type Codec,
  flagSet,
  oneOf,
  text,
} from '../../codec/index.js'
import { register } from '../data.js'

/** Whether what the register holds is in a set, or what a map has for it. */
export const lookup = attributes({
  set: attribute('NFTA_LOOKUP_SET', 1, text(256)),
  sreg: attribute('NFTA_LOOKUP_SREG', 2, register),
  dreg: attribute('NFTA_LOOKUP_DREG', 3, register),
  setId: attribute('NFTA_LOOKUP_SET_ID', 4, be32),
  flags: attribute('NFTA_LOOKUP_FLAGS', 5, flagSet({ inverted: 1 }, be32)),
})

/** Puts what the register holds into a set, or takes it out. `expression` is one such as a counter. */
export function dynsetOf<E>(expression: Codec<E>, expressions: Codec<readonly E[]>) {
  return attributes({
    set: attribute('NFTA_DYNSET_SET_NAME', 1, text(256)),
    setId: attribute('NFTA_DYNSET_SET_ID', 2, be32),
    op: attribute('NFTA_DYNSET_OP', 3, oneOf({ add: 0, update: 1, delete: 2 }, be32)),
    sregKey: attribute('NFTA_DYNSET_SREG_KEY', 4, register),
    sregData: attribute('NFTA_DYNSET_SREG_DATA', 5, register),
    timeout: attribute('NFTA_DYNSET_TIMEOUT', 6, be64),
    expression: attribute('NFTA_DYNSET_EXPR', 7, expression),
    flags: attribute('NFTA_DYNSET_FLAGS', 9, flagSet({ inverted: 1, expression: 2 }, be32)),
    expressions: attribute('NFTA_DYNSET_EXPRESSIONS', 10, expressions),
  })
}

/** Kinds of objects: `NFT_OBJECT_…`. */
export const objectTypes = {
  counter: 1,
  quota: 2,
  'ct helper': 3,
  limit: 4,
  connlimit: 5,
  tunnel: 6,
  'ct timeout': 7,
  secmark: 8,
  'ct expectation': 9,
  synproxy: 10,
} as const

/** Applies an object of the table's, by its name or by what a map has for the register. */
export const objref = attributes({
  type: attribute('NFTA_OBJREF_IMM_TYPE', 1, oneOf(objectTypes, be32)),
  name: attribute('NFTA_OBJREF_IMM_NAME', 2, text(256)),
  sreg: attribute('NFTA_OBJREF_SET_SREG', 3, register),
  set: attribute('NFTA_OBJREF_SET_NAME', 4, text(256)),
  setId: attribute('NFTA_OBJREF_SET_ID', 5, be32),
})
