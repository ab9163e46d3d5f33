import { attribute, attributes, be16, be32, flagSet, u8 } from '../../codec/index.js'
import { register } from '../data.js'

/** Sends a copy of the packet to an address, or out of a device. */
export const dup = attributes({
  address: attribute('NFTA_DUP_SREG_ADDR', 1, register),
  device: attribute('NFTA_DUP_SREG_DEV', 2, register),
})

/** Sends the packet out of a device. */
export const fwd = attributes({
  device: attribute('NFTA_FWD_SREG_DEV', 1, register),
  address: attribute('NFTA_FWD_SREG_ADDR', 2, register),
  protocol: attribute('NFTA_FWD_NFPROTO', 3, be32),
})

/** Hands the packet to a program. */
export const queue = attributes({
  number: attribute('NFTA_QUEUE_NUM', 1, be16),
  total: attribute('NFTA_QUEUE_TOTAL', 2, be16),
  flags: attribute('NFTA_QUEUE_FLAGS', 3, flagSet({ bypass: 1, fanout: 2 }, be16)),
  sreg: attribute('NFTA_QUEUE_SREG_QNUM', 4, register),
})

/** The packet's connection is not to be known of. */
export const notrack = attributes({})

const synproxyFlags = { mss: 1, windowScale: 2, sackPermitted: 4, timestamp: 8, ecn: 16 } as const

/** Answers a connection's first packet before the real server is asked. */
export const synproxy = attributes({
  mss: attribute('NFTA_SYNPROXY_MSS', 1, be16),
  windowScale: attribute('NFTA_SYNPROXY_WSCALE', 2, u8),
  flags: attribute('NFTA_SYNPROXY_FLAGS', 3, flagSet(synproxyFlags, be32)),
})
