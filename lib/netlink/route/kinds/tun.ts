import { attribute, attributes, bool8, oneOf, u8, u32, type ValueOf } from '../../codec/index.js'
import { kind } from './kind.js'

const data = attributes({
  /** Packets of IP, or frames of Ethernet. */
  type: attribute('IFLA_TUN_TYPE', 3, oneOf({ tun: 1, tap: 2 }, u8)),
  /** Who may open it besides who may administer the network. */
  owner: attribute('IFLA_TUN_OWNER', 1, u32),
  group: attribute('IFLA_TUN_GROUP', 2, u32),
  /** Whether a header says what a packet is. */
  packetInformation: attribute('IFLA_TUN_PI', 4, bool8),
  /** Whether a header of virtio_net(7) goes before each packet. */
  virtioHeader: attribute('IFLA_TUN_VNET_HDR', 5, bool8),
  /** Whether it stays when nobody has it open. */
  persistent: attribute('IFLA_TUN_PERSIST', 6, bool8),
  multiQueue: attribute('IFLA_TUN_MULTI_QUEUE', 7, bool8),
  queues: attribute('IFLA_TUN_NUM_QUEUES', 8, u32),
  disabledQueues: attribute('IFLA_TUN_NUM_DISABLED_QUEUES', 9, u32),
})

/** A device whose other end is a program. */
export interface Tun extends ValueOf<typeof data> {}

/** rtnetlink only tells of it. linux/if_link.h IFLA_TUN_… */
export const tun = kind(data, { readOnly: data.names })
