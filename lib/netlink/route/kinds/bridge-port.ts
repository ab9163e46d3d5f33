import {
  attribute,
  attributes,
  bool8,
  oneOf,
  presence,
  u8,
  u16,
  u32,
  u64,
  type ValueOf,
} from '../../codec/index.js'
import { bridgeId, multicastRouters } from './bridge-values.js'
import { kind, longHundredths } from './kind.js'

const states = { disabled: 0, listening: 1, learning: 2, forwarding: 3, blocking: 4 }
const long = longHundredths(u64)

const data = attributes({
  /** In the spanning tree. */
  state: attribute('IFLA_BRPORT_STATE', 1, oneOf(states, u8)),
  /** In the spanning tree, 0 to 63. */
  priority: attribute('IFLA_BRPORT_PRIORITY', 2, u16),
  /** In the spanning tree, 1 to 65535. */
  cost: attribute('IFLA_BRPORT_COST', 3, u32),
  /** Whether a frame may leave by the port that it came in by. */
  hairpin: attribute('IFLA_BRPORT_MODE', 4, bool8),
  /** Whether frames of the spanning tree disable it. */
  guard: attribute('IFLA_BRPORT_GUARD', 5, bool8),
  /** Whether it may never be the root port. */
  rootBlock: attribute('IFLA_BRPORT_PROTECT', 6, bool8),
  fastLeave: attribute('IFLA_BRPORT_FAST_LEAVE', 7, bool8),
  /** Whether addresses of who sends are learnt. */
  learning: attribute('IFLA_BRPORT_LEARNING', 8, bool8),
  learningSync: attribute('IFLA_BRPORT_LEARNING_SYNC', 11, bool8),
  /** Whether frames to addresses that are not known go to it. */
  flood: attribute('IFLA_BRPORT_UNICAST_FLOOD', 9, bool8),
  multicastFlood: attribute('IFLA_BRPORT_MCAST_FLOOD', 27, bool8),
  broadcastFlood: attribute('IFLA_BRPORT_BCAST_FLOOD', 30, bool8),
  multicastToUnicast: attribute('IFLA_BRPORT_MCAST_TO_UCAST', 28, bool8),
  multicastRouter: attribute('IFLA_BRPORT_MULTICAST_ROUTER', 25, multicastRouters),
  multicastHostsLimit: attribute('IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT', 37, u32),
  proxyArp: attribute('IFLA_BRPORT_PROXYARP', 10, bool8),
  proxyArpWifi: attribute('IFLA_BRPORT_PROXYARP_WIFI', 12, bool8),
  neighbourSuppress: attribute('IFLA_BRPORT_NEIGH_SUPPRESS', 32, bool8),
  /** Whether it reaches only ports that are not isolated. */
  isolated: attribute('IFLA_BRPORT_ISOLATED', 33, bool8),
  /** Whether only frames from known addresses come in. */
  locked: attribute('IFLA_BRPORT_LOCKED', 39, bool8),
  /** Whether others are noted as locked, when it is. */
  macAuthenticationBypass: attribute('IFLA_BRPORT_MAB', 40, bool8),
  vlanTunnel: attribute('IFLA_BRPORT_VLAN_TUNNEL', 29, bool8),
  groupForwardMask: attribute('IFLA_BRPORT_GROUP_FWD_MASK', 31, u16),
  /** The port that takes over when this one has no carrier. */
  backupPort: attribute('IFLA_BRPORT_BACKUP_PORT', 34, u32),
  /** Forgets the addresses that have been learnt of it. */
  flush: attribute('IFLA_BRPORT_FLUSH', 24, presence),
  rootId: attribute('IFLA_BRPORT_ROOT_ID', 13, bridgeId),
  bridgeId: attribute('IFLA_BRPORT_BRIDGE_ID', 14, bridgeId),
  designatedPort: attribute('IFLA_BRPORT_DESIGNATED_PORT', 15, u16),
  designatedCost: attribute('IFLA_BRPORT_DESIGNATED_COST', 16, u16),
  id: attribute('IFLA_BRPORT_ID', 17, u16),
  number: attribute('IFLA_BRPORT_NO', 18, u16),
  topologyChangeAck: attribute('IFLA_BRPORT_TOPOLOGY_CHANGE_ACK', 19, bool8),
  configurationPending: attribute('IFLA_BRPORT_CONFIG_PENDING', 20, bool8),
  messageAgeTimer: attribute('IFLA_BRPORT_MESSAGE_AGE_TIMER', 21, long),
  forwardDelayTimer: attribute('IFLA_BRPORT_FORWARD_DELAY_TIMER', 22, long),
  holdTimer: attribute('IFLA_BRPORT_HOLD_TIMER', 23, long),
  multicastHosts: attribute('IFLA_BRPORT_MCAST_EHT_HOSTS_CNT', 38, u32),
})

/** A device as a port of a bridge. */
export interface BridgePort extends ValueOf<typeof data> {}

/** linux/if_link.h IFLA_BRPORT_… */
export const bridgePort = kind(data, {
  devices: ['backupPort'],
  readOnly: [
    'rootId',
    'bridgeId',
    'designatedPort',
    'designatedCost',
    'id',
    'number',
    'topologyChangeAck',
    'configurationPending',
    'messageAgeTimer',
    'forwardDelayTimer',
    'holdTimer',
    'multicastHosts',
  ],
})
