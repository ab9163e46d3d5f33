import { attribute, attributes, be32, be64, flagSet, oneOf } from '../../codec/index.js'

const inverted = flagSet({ inverted: 1 }, be32)

export const counter = attributes({
  bytes: attribute('NFTA_COUNTER_BYTES', 1, be64),
  packets: attribute('NFTA_COUNTER_PACKETS', 2, be64),
})

/** Goes on with the rule until so many bytes have passed; inverted, from then on. */
export const quota = attributes({
  bytes: attribute('NFTA_QUOTA_BYTES', 1, be64),
  flags: attribute('NFTA_QUOTA_FLAGS', 2, flagSet({ inverted: 1, depleted: 2 }, be32)),
  consumed: attribute('NFTA_QUOTA_CONSUMED', 4, be64),
})

/** Goes on with the rule as long as no more come than `rate` in `unit` seconds; inverted, for what is more. */
export const limit = attributes({
  rate: attribute('NFTA_LIMIT_RATE', 1, be64),
  unit: attribute('NFTA_LIMIT_UNIT', 2, be64),
  burst: attribute('NFTA_LIMIT_BURST', 3, be32),
  type: attribute('NFTA_LIMIT_TYPE', 4, oneOf({ packets: 0, bytes: 1 }, be32)),
  flags: attribute('NFTA_LIMIT_FLAGS', 5, inverted),
})

/** Goes on with the rule for so many connections at a time. */
export const connlimit = attributes({
  count: attribute('NFTA_CONNLIMIT_COUNT', 1, be32),
  flags: attribute('NFTA_CONNLIMIT_FLAGS', 2, inverted),
})

/** When it was that a packet came here last. */
export const last = attributes({
  set: attribute('NFTA_LAST_SET', 1, be32),
  milliseconds: attribute('NFTA_LAST_MSECS', 2, be64),
})
