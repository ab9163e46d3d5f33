import {
  attribute,
  attributes,
  flagSet,
  list,
  mac,
  oneOf,
  s32,
  u16,
  u32,
  type ValueOf,
} from '../../codec/index.js'
import { kind } from './kind.js'

const data = attributes({
  /** Whom it reaches of those on the same device. Default: `vepa`. */
  mode: attribute(
    'IFLA_MACVLAN_MODE',
    1,
    oneOf({ private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 }, u32),
  ),
  flags: attribute('IFLA_MACVLAN_FLAGS', 2, flagSet({ noPromiscuous: 1, noDestination: 2 }, u16)),
  /** How the list of source addresses is changed, in mode `source`. */
  addressMode: attribute(
    'IFLA_MACVLAN_MACADDR_MODE',
    3,
    oneOf({ add: 0, delete: 1, flush: 2, set: 3 }, u32),
  ),
  /** The one that is added or deleted. */
  sourceAddress: attribute('IFLA_MACVLAN_MACADDR', 4, mac),
  /** Those that it takes frames from, in mode `source`; written with `addressMode: 'set'`. */
  sourceAddresses: attribute('IFLA_MACVLAN_MACADDR_DATA', 5, list(mac, 4)),
  sourceAddressCount: attribute('IFLA_MACVLAN_MACADDR_COUNT', 6, u32),
  /** Frames to all that wait for being handed out. */
  broadcastQueueLength: attribute('IFLA_MACVLAN_BC_QUEUE_LEN', 7, u32),
  broadcastQueueLengthUsed: attribute('IFLA_MACVLAN_BC_QUEUE_LEN_USED', 8, u32),
  /** So many receivers of a broadcast are served at once. */
  broadcastCutoff: attribute('IFLA_MACVLAN_BC_CUTOFF', 9, s32),
})

/** A device with an address of its own on another device, which `link` is. */
export interface Macvlan extends ValueOf<typeof data> {}

/** macvlan, and macvtap. linux/if_link.h IFLA_MACVLAN_… */
export const macvlan = kind(data, {
  readOnly: ['sourceAddressCount', 'broadcastQueueLengthUsed'],
})
