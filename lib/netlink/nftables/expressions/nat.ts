import { attribute, attributes, be32, flagSet, oneOf } from '../../codec/index.js'
import { register } from '../data.js'

/** linux/netfilter/nf_nat.h `NF_NAT_RANGE_…` */
const flags = flagSet(
  { mapIps: 1, ports: 2, random: 4, persistent: 8, 'fully-random': 16, netmap: 64 },
  be32,
)
const family = oneOf({ inet: 1, ip: 2, ip6: 10 }, be32)

export const nat = attributes({
  type: attribute('NFTA_NAT_TYPE', 1, oneOf({ snat: 0, dnat: 1 }, be32)),
  natFamily: attribute('NFTA_NAT_FAMILY', 2, family),
  addressMin: attribute('NFTA_NAT_REG_ADDR_MIN', 3, register),
  addressMax: attribute('NFTA_NAT_REG_ADDR_MAX', 4, register),
  portMin: attribute('NFTA_NAT_REG_PROTO_MIN', 5, register),
  portMax: attribute('NFTA_NAT_REG_PROTO_MAX', 6, register),
  flags: attribute('NFTA_NAT_FLAGS', 7, flags),
})

export const masq = attributes({
  flags: attribute('NFTA_MASQ_FLAGS', 1, flags),
  portMin: attribute('NFTA_MASQ_REG_PROTO_MIN', 2, register),
  portMax: attribute('NFTA_MASQ_REG_PROTO_MAX', 3, register),
})

export const redir = attributes({
  portMin: attribute('NFTA_REDIR_REG_PROTO_MIN', 1, register),
  portMax: attribute('NFTA_REDIR_REG_PROTO_MAX', 2, register),
  flags: attribute('NFTA_REDIR_FLAGS', 3, flags),
})

export const tproxy = attributes({
  proxyFamily: attribute('NFTA_TPROXY_FAMILY', 1, family),
  address: attribute('NFTA_TPROXY_REG_ADDR', 2, register),
  port: attribute('NFTA_TPROXY_REG_PORT', 3, register),
})
