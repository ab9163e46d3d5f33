import {
  attribute,
  attributes,
  be16,
  bool,
  bool8,
  mac,
  oneOf,
  presence,
  u8,
  u16,
  u32,
  u64,
  type ValueOf,
} from '../../codec/index.js'
import { bridgeId, multicastRouters } from './bridge-values.js'
import { hundredths, kind, longHundredths, switches } from './kind.js'
import { vlanProtocols } from './vlan.js'

const long = longHundredths(u64)

const data = attributes({
  /** Spanning tree. */
  stp: attribute('IFLA_BR_STP_STATE', 5, bool(u32)),
  /** Of the bridge in the spanning tree, 0 to 65535. */
  priority: attribute('IFLA_BR_PRIORITY', 6, u16),
  /** How long a port listens and learns: milliseconds, or `'4s'`; written at 10 ms' precision. */
  forwardDelay: attribute('IFLA_BR_FORWARD_DELAY', 1, hundredths),
  helloTime: attribute('IFLA_BR_HELLO_TIME', 2, hundredths),
  maxAge: attribute('IFLA_BR_MAX_AGE', 3, hundredths),
  /** How long an address that has been learnt is kept. Default: 300 s. */
  ageingTime: attribute('IFLA_BR_AGEING_TIME', 4, hundredths),
  /** Whether ports belong to vlans. */
  vlanFiltering: attribute('IFLA_BR_VLAN_FILTERING', 7, bool8),
  vlanProtocol: attribute('IFLA_BR_VLAN_PROTOCOL', 8, oneOf(vlanProtocols, be16)),
  /** The vlan that new ports are in; 0: none. */
  vlanDefaultPvid: attribute('IFLA_BR_VLAN_DEFAULT_PVID', 39, u16),
  vlanStatistics: attribute('IFLA_BR_VLAN_STATS_ENABLED', 41, bool8),
  vlanStatisticsPerPort: attribute('IFLA_BR_VLAN_STATS_PER_PORT', 45, bool8),
  /** Which of the link local group addresses are forwarded, a bit for each. */
  groupForwardMask: attribute('IFLA_BR_GROUP_FWD_MASK', 9, u16),
  /** Address of the frames of the spanning tree. */
  groupAddress: attribute('IFLA_BR_GROUP_ADDR', 20, mac),
  /** Forgets all addresses that have been learnt. */
  flush: attribute('IFLA_BR_FDB_FLUSH', 21, presence),
  /** As many addresses are learnt; 0: any number. */
  fdbMaxLearned: attribute('IFLA_BR_FDB_MAX_LEARNED', 49, u32),
  multicastSnooping: attribute('IFLA_BR_MCAST_SNOOPING', 23, bool8),
  multicastRouter: attribute('IFLA_BR_MCAST_ROUTER', 22, multicastRouters),
  multicastQueryUseAddress: attribute('IFLA_BR_MCAST_QUERY_USE_IFADDR', 24, bool8),
  multicastQuerier: attribute('IFLA_BR_MCAST_QUERIER', 25, bool8),
  multicastHashElasticity: attribute('IFLA_BR_MCAST_HASH_ELASTICITY', 26, u32),
  multicastHashMax: attribute('IFLA_BR_MCAST_HASH_MAX', 27, u32),
  multicastLastMemberCount: attribute('IFLA_BR_MCAST_LAST_MEMBER_CNT', 28, u32),
  multicastStartupQueryCount: attribute('IFLA_BR_MCAST_STARTUP_QUERY_CNT', 29, u32),
  multicastLastMemberInterval: attribute('IFLA_BR_MCAST_LAST_MEMBER_INTVL', 30, long),
  multicastMembershipInterval: attribute('IFLA_BR_MCAST_MEMBERSHIP_INTVL', 31, long),
  multicastQuerierInterval: attribute('IFLA_BR_MCAST_QUERIER_INTVL', 32, long),
  multicastQueryInterval: attribute('IFLA_BR_MCAST_QUERY_INTVL', 33, long),
  multicastQueryResponseInterval: attribute('IFLA_BR_MCAST_QUERY_RESPONSE_INTVL', 34, long),
  multicastStartupQueryInterval: attribute('IFLA_BR_MCAST_STARTUP_QUERY_INTVL', 35, long),
  multicastStatistics: attribute('IFLA_BR_MCAST_STATS_ENABLED', 42, bool8),
  multicastIgmpVersion: attribute('IFLA_BR_MCAST_IGMP_VERSION', 43, u8),
  multicastMldVersion: attribute('IFLA_BR_MCAST_MLD_VERSION', 44, u8),
  callIptables: attribute('IFLA_BR_NF_CALL_IPTABLES', 36, bool8),
  callIp6tables: attribute('IFLA_BR_NF_CALL_IP6TABLES', 37, bool8),
  callArptables: attribute('IFLA_BR_NF_CALL_ARPTABLES', 38, bool8),
  /** Others. linux/if_bridge.h BR_BOOLOPT_… */
  switches: attribute(
    'IFLA_BR_MULTI_BOOLOPT',
    46,
    switches({ noLinkLocalLearning: 1, multicastVlanSnooping: 2, mstEnabled: 4 }),
  ),
  /** `'8000.02:42:ac:11:00:02'`: the priority, and the address. */
  rootId: attribute('IFLA_BR_ROOT_ID', 10, bridgeId),
  bridgeId: attribute('IFLA_BR_BRIDGE_ID', 11, bridgeId),
  rootPort: attribute('IFLA_BR_ROOT_PORT', 12, u16),
  rootPathCost: attribute('IFLA_BR_ROOT_PATH_COST', 13, u32),
  topologyChange: attribute('IFLA_BR_TOPOLOGY_CHANGE', 14, bool8),
  topologyChangeDetected: attribute('IFLA_BR_TOPOLOGY_CHANGE_DETECTED', 15, bool8),
  helloTimer: attribute('IFLA_BR_HELLO_TIMER', 16, long),
  tcnTimer: attribute('IFLA_BR_TCN_TIMER', 17, long),
  topologyChangeTimer: attribute('IFLA_BR_TOPOLOGY_CHANGE_TIMER', 18, long),
  gcTimer: attribute('IFLA_BR_GC_TIMER', 19, long),
  fdbLearned: attribute('IFLA_BR_FDB_N_LEARNED', 48, u32),
})

/** A switch of Ethernet; its ports have it as `master`. */
export interface Bridge extends ValueOf<typeof data> {}

/** linux/if_link.h IFLA_BR_… */
export const bridge = kind(data, {
  readOnly: [
    'rootId',
    'bridgeId',
    'rootPort',
    'rootPathCost',
    'topologyChange',
    'topologyChangeDetected',
    'helloTimer',
    'tcnTimer',
    'topologyChangeTimer',
    'gcTimer',
    'fdbLearned',
  ],
})
