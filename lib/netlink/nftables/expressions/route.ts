import { attribute, attributes, be32, flagSet, oneOf, u8 } from '../../codec/index.js'
import { register } from '../data.js'

/** What the routing tables say of an address of the packet. */
export const fib = attributes({
  dreg: attribute('NFTA_FIB_DREG', 1, register),
  result: attribute('NFTA_FIB_RESULT', 2, oneOf({ oif: 1, oifname: 2, type: 3 }, be32)),
  flags: attribute(
    'NFTA_FIB_FLAGS',
    3,
    flagSet({ saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16, present: 32 }, be32),
  ),
})

const rtKeys = { classid: 0, nexthop4: 1, nexthop6: 2, tcpmss: 3, ipsec: 4 } as const

/** The route that a packet goes. */
export const rt = attributes({
  dreg: attribute('NFTA_RT_DREG', 1, register),
  key: attribute('NFTA_RT_KEY', 2, oneOf(rtKeys, be32)),
})

const socketKeys = { transparent: 0, mark: 1, wildcard: 2, cgroupv2: 3 } as const

/** The socket that a packet is for. */
export const socket = attributes({
  key: attribute('NFTA_SOCKET_KEY', 1, oneOf(socketKeys, be32)),
  dreg: attribute('NFTA_SOCKET_DREG', 2, register),
  level: attribute('NFTA_SOCKET_LEVEL', 3, be32),
})

/** An extension header, or an option of TCP: all or a part of it, or whether it is there. */
export const exthdr = attributes({
  dreg: attribute('NFTA_EXTHDR_DREG', 1, register),
  type: attribute('NFTA_EXTHDR_TYPE', 2, u8),
  offset: attribute('NFTA_EXTHDR_OFFSET', 3, be32),
  length: attribute('NFTA_EXTHDR_LEN', 4, be32),
  flags: attribute('NFTA_EXTHDR_FLAGS', 5, flagSet({ present: 1 }, be32)),
  op: attribute('NFTA_EXTHDR_OP', 6, oneOf({ ipv6: 0, tcp: 1, ipv4: 2, sctp: 3, dccp: 4 }, be32)),
  sreg: attribute('NFTA_EXTHDR_SREG', 7, register),
})
