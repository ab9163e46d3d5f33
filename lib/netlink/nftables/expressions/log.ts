import { attribute, attributes, be16, be32, flagSet, oneOf, text } from '../../codec/index.js'

const levels = {
  emerg: 0,
  alert: 1,
  crit: 2,
  err: 3,
  warn: 4,
  notice: 5,
  info: 6,
  debug: 7,
  audit: 8,
} as const

/** linux/netfilter/nf_log.h `NF_LOG_…` */
const flags = { tcpSequence: 1, tcpOptions: 2, ipOptions: 4, skuid: 8, ether: 32 } as const

/** Tells the log of the kernel, or with a `group` who listens to that one. */
export const log = attributes({
  group: attribute('NFTA_LOG_GROUP', 1, be16),
  prefix: attribute('NFTA_LOG_PREFIX', 2, text(128)),
  snaplen: attribute('NFTA_LOG_SNAPLEN', 3, be32),
  threshold: attribute('NFTA_LOG_QTHRESHOLD', 4, be16),
  level: attribute('NFTA_LOG_LEVEL', 5, oneOf(levels, be32)),
  flags: attribute('NFTA_LOG_FLAGS', 6, flagSet(flags, be32)),
})
