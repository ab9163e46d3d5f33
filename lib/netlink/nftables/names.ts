// linux/netfilter/nf_tables.h, linux/netfilter.h, linux/netfilter/nfnetlink.h

/** Families of tables, by the numbers of linux/netfilter.h (`NFPROTO_…`). */
export const families = {
  unspec: 0,
  inet: 1,
  ip: 2,
  arp: 3,
  netdev: 5,
  bridge: 7,
  ip6: 10,
} as const
/** What packets a table sees: `inet` is both of IPv4 and IPv6, `netdev` those of devices. */
export type Family = Exclude<keyof typeof families, 'unspec'>

export const NFNL_SUBSYS_NFTABLES = 10
export const NFNL_MSG_BATCH_BEGIN = 0x10
export const NFNL_MSG_BATCH_END = 0x11
/** The group that is told of changes. */
export const NFNLGRP_NFTABLES = 7

/** Numbers of messages: enum nf_tables_msg_types. */
export const messages = {
  NFT_MSG_NEWTABLE: 0,
  NFT_MSG_GETTABLE: 1,
  NFT_MSG_DELTABLE: 2,
  NFT_MSG_NEWCHAIN: 3,
  NFT_MSG_GETCHAIN: 4,
  NFT_MSG_DELCHAIN: 5,
  NFT_MSG_NEWRULE: 6,
  NFT_MSG_GETRULE: 7,
  NFT_MSG_DELRULE: 8,
  NFT_MSG_NEWSET: 9,
  NFT_MSG_GETSET: 10,
  NFT_MSG_DELSET: 11,
  NFT_MSG_NEWSETELEM: 12,
  NFT_MSG_GETSETELEM: 13,
  NFT_MSG_DELSETELEM: 14,
  NFT_MSG_NEWGEN: 15,
  NFT_MSG_GETGEN: 16,
  NFT_MSG_TRACE: 17,
  NFT_MSG_NEWOBJ: 18,
  NFT_MSG_GETOBJ: 19,
  NFT_MSG_DELOBJ: 20,
  NFT_MSG_GETOBJ_RESET: 21,
} as const
export type MessageName = keyof typeof messages

/** Where a base chain stands: by the numbers of enum nf_inet_hooks, and of those of arp and devices. */
const inetHooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 }
const arpHooks = { input: 0, output: 1 }
const netdevHooks = { ingress: 0, egress: 1 }
export type Hook =
  | 'prerouting'
  | 'input'
  | 'forward'
  | 'output'
  | 'postrouting'
  | 'ingress'
  | 'egress'

export function hooksOf(family: Family): Readonly<Partial<Record<Hook, number>>> {
  if (family === 'arp') return arpHooks
  return family === 'netdev' ? netdevHooks : inetHooks
}

/** Numbers of priorities of base chains; linux/netfilter_ipv4.h `NF_IP_PRI_…` */
export const priorities = {
  raw: -300,
  mangle: -150,
  dstnat: -100,
  filter: 0,
  security: 50,
  srcnat: 100,
}
const bridgePriorities = { dstnat: -300, filter: -200, out: 100, srcnat: 300 }
/** Names of priorities, as nft(8) has them. */
export type PriorityName = keyof typeof priorities | 'out'

export function prioritiesOf(family: Family): Readonly<Partial<Record<PriorityName, number>>> {
  if (family === 'bridge') return bridgePriorities
  return family === 'arp' || family === 'netdev' ? { filter: 0 } : priorities
}

/** What becomes of a packet: enum nft_verdicts, and those of linux/netfilter.h. */
export const verdicts = {
  drop: 0,
  accept: 1,
  stolen: 2,
  queue: 3,
  repeat: 4,
  continue: 0xffffffff,
  break: 0xfffffffe,
  jump: 0xfffffffd,
  goto: 0xfffffffc,
  return: 0xfffffffb,
} as const
