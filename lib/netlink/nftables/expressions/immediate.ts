import { attribute, attributes } from '../../codec/index.js'
import { dataCodec, register } from '../data.js'

/** A value into a register, or a verdict into register 0. */
export const immediate = attributes({
  dreg: attribute('NFTA_IMMEDIATE_DREG', 1, register),
  data: attribute('NFTA_IMMEDIATE_DATA', 2, dataCodec),
})
