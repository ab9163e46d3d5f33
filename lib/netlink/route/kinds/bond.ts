import {
  attribute,
  attributes,
  bool8,
  ip4,
  ip6,
  list,
  mac,
  oneOf,
  s32,
  u8,
  u16,
  u32,
  type ValueOf,
} from '../../codec/index.js'
import { kind } from './kind.js'

const modes = {
  'balance-rr': 0,
  'active-backup': 1,
  'balance-xor': 2,
  broadcast: 3,
  '802.3ad': 4,
  'balance-tlb': 5,
  'balance-alb': 6,
}
const policies = {
  layer2: 0,
  'layer3+4': 1,
  'layer2+3': 2,
  'encap2+3': 3,
  'encap3+4': 4,
  'vlan+srcmac': 5,
}
const validations = {
  none: 0,
  active: 1,
  backup: 2,
  all: 3,
  filter: 4,
  filter_active: 5,
  filter_backup: 6,
}

const information = attributes({
  aggregator: attribute('IFLA_BOND_AD_INFO_AGGREGATOR', 1, u16),
  ports: attribute('IFLA_BOND_AD_INFO_NUM_PORTS', 2, u16),
  actorKey: attribute('IFLA_BOND_AD_INFO_ACTOR_KEY', 3, u16),
  partnerKey: attribute('IFLA_BOND_AD_INFO_PARTNER_KEY', 4, u16),
  partnerAddress: attribute('IFLA_BOND_AD_INFO_PARTNER_MAC', 5, mac),
})

const data = attributes({
  mode: attribute('IFLA_BOND_MODE', 1, oneOf(modes, u8)),
  /** The device that is used, in modes that use one. */
  activeSlave: attribute('IFLA_BOND_ACTIVE_SLAVE', 2, u32),
  /** The one that is preferred. */
  primary: attribute('IFLA_BOND_PRIMARY', 11, u32),
  primaryReselect: attribute(
    'IFLA_BOND_PRIMARY_RESELECT',
    12,
    oneOf({ always: 0, better: 1, failure: 2 }, u8),
  ),
  /** Milliseconds between looks at whether a device has a carrier; 0: none. */
  miimon: attribute('IFLA_BOND_MIIMON', 3, u32),
  /** Milliseconds until a carrier counts. */
  upDelay: attribute('IFLA_BOND_UPDELAY', 4, u32),
  downDelay: attribute('IFLA_BOND_DOWNDELAY', 5, u32),
  peerNotifyDelay: attribute('IFLA_BOND_PEER_NOTIF_DELAY', 28, u32),
  useCarrier: attribute('IFLA_BOND_USE_CARRIER', 6, bool8),
  /** Milliseconds between questions to `arpTargets`. */
  arpInterval: attribute('IFLA_BOND_ARP_INTERVAL', 7, u32),
  arpTargets: attribute('IFLA_BOND_ARP_IP_TARGET', 8, list(ip4)),
  nsTargets: attribute('IFLA_BOND_NS_IP6_TARGET', 31, list(ip6)),
  arpValidate: attribute('IFLA_BOND_ARP_VALIDATE', 9, oneOf(validations, u32)),
  arpAllTargets: attribute('IFLA_BOND_ARP_ALL_TARGETS', 10, oneOf({ any: 0, all: 1 }, u32)),
  missedMax: attribute('IFLA_BOND_MISSED_MAX', 30, u8),
  failOverMac: attribute(
    'IFLA_BOND_FAIL_OVER_MAC',
    13,
    oneOf({ none: 0, active: 1, follow: 2 }, u8),
  ),
  /** What tells which device a packet goes by. */
  transmitHashPolicy: attribute('IFLA_BOND_XMIT_HASH_POLICY', 14, oneOf(policies, u8)),
  resendIgmp: attribute('IFLA_BOND_RESEND_IGMP', 15, u32),
  peerNotifications: attribute('IFLA_BOND_NUM_PEER_NOTIF', 16, u8),
  allSlavesActive: attribute('IFLA_BOND_ALL_SLAVES_ACTIVE', 17, bool8),
  minLinks: attribute('IFLA_BOND_MIN_LINKS', 18, u32),
  /** Seconds. */
  learningInterval: attribute('IFLA_BOND_LP_INTERVAL', 19, u32),
  packetsPerSlave: attribute('IFLA_BOND_PACKETS_PER_SLAVE', 20, u32),
  lacpRate: attribute('IFLA_BOND_AD_LACP_RATE', 21, oneOf({ slow: 0, fast: 1 }, u8)),
  lacpActive: attribute('IFLA_BOND_AD_LACP_ACTIVE', 29, bool8),
  aggregatorSelect: attribute(
    'IFLA_BOND_AD_SELECT',
    22,
    oneOf({ stable: 0, bandwidth: 1, count: 2 }, u8),
  ),
  actorSystemPriority: attribute('IFLA_BOND_AD_ACTOR_SYS_PRIO', 24, u16),
  userPortKey: attribute('IFLA_BOND_AD_USER_PORT_KEY', 25, u16),
  actorSystem: attribute('IFLA_BOND_AD_ACTOR_SYSTEM', 26, mac),
  dynamicLoadBalance: attribute('IFLA_BOND_TLB_DYNAMIC_LB', 27, bool8),
  information: attribute('IFLA_BOND_AD_INFO', 23, information),
})

const port = attributes({
  state: attribute('IFLA_BOND_SLAVE_STATE', 1, oneOf({ active: 0, backup: 1 }, u8)),
  miiStatus: attribute(
    'IFLA_BOND_SLAVE_MII_STATUS',
    2,
    oneOf({ up: 0, goingDown: 1, down: 2, goingBack: 3 }, u8),
  ),
  linkFailures: attribute('IFLA_BOND_SLAVE_LINK_FAILURE_COUNT', 3, u32),
  permanentAddress: attribute('IFLA_BOND_SLAVE_PERM_HWADDR', 4, mac),
  queueId: attribute('IFLA_BOND_SLAVE_QUEUE_ID', 5, u16),
  aggregator: attribute('IFLA_BOND_SLAVE_AD_AGGREGATOR_ID', 6, u16),
  /** Which is chosen of several. */
  priority: attribute('IFLA_BOND_SLAVE_PRIO', 9, s32),
})

/** Several devices as one; they have it as `master`, and are down when they become so. */
export interface Bond extends ValueOf<typeof data> {}
/** A device of a bond. */
export interface BondPort extends ValueOf<typeof port> {}

/** linux/if_link.h IFLA_BOND_…, linux/if_bonding.h */
export const bond = kind(data, {
  readOnly: ['information'],
  devices: ['activeSlave', 'primary'],
})
export const bondPort = kind(port, {
  readOnly: ['state', 'miiStatus', 'linkFailures', 'permanentAddress', 'aggregator'],
})
