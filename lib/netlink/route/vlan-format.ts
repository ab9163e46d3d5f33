import {
  attribute,
  attributes,
  type Codec,
  eachAttribute,
  flagSet,
  format,
  s32,
  struct,
  u16,
  u32,
  type Writer,
} from '../codec/index.js'
import { family } from './families.js'

/** linux/if_bridge.h BRIDGE_VLAN_INFO_* */
const vlanFlags = { master: 1, pvid: 2, untagged: 4, begin: 8, end: 16, brentry: 32 } as const

/** struct bridge_vlan_info */
const info = struct({ flags: flagSet(vlanFlags, u16), id: u16 })

/** One VLAN, or the first or the last of a range of them. */
export interface VlanInfo {
  readonly id: number
  readonly flags: readonly (keyof typeof vlanFlags | number)[]
}

/** IFLA_AF_SPEC of a bridge's port: whose they are, and any number of VLANs. */
export interface VlanSpec {
  /** BRIDGE_FLAGS_*: 1 for the bridge of the port, 2 for the device itself. */
  readonly target?: number | undefined
  readonly vlans: readonly VlanInfo[]
}

const BRIDGE_FLAGS = 0
const BRIDGE_VLAN_INFO = 2

function put(to: Writer, type: number, size: number): void {
  const at = to.reserve(4)
  to.bytes.writeUInt16LE(4 + size, at)
  to.bytes.writeUInt16LE(type, at + 2)
}

const spec: Codec<VlanSpec> = {
  read(bytes, start, end) {
    const vlans: VlanInfo[] = []
    let target: number | undefined
    eachAttribute(bytes, start, end, (type, from, to) => {
      if (type === BRIDGE_FLAGS) target = u16.read(bytes, from, to)
      if (type === BRIDGE_VLAN_INFO) vlans.push(info.read(bytes, from, to))
    })
    return { target, vlans }
  },
  write(to, { target, vlans }) {
    if (target !== undefined) {
      put(to, BRIDGE_FLAGS, u16.size)
      u16.write(to, target)
      to.align()
    }
    for (const vlan of vlans) {
      put(to, BRIDGE_VLAN_INFO, info.size)
      info.write(to, vlan)
    }
  },
  inside: {
    nameOf: type =>
      ({ [BRIDGE_FLAGS]: 'IFLA_BRIDGE_FLAGS', [BRIDGE_VLAN_INFO]: 'IFLA_BRIDGE_VLAN_INFO' })[type],
    fieldAt(bytes, start, end, offset) {
      let found: string[] = []
      eachAttribute(bytes, start, end, (type, from, to) => {
        if (offset >= from - 4 && offset < to)
          found = [type === BRIDGE_FLAGS ? 'IFLA_BRIDGE_FLAGS' : 'IFLA_BRIDGE_VLAN_INFO']
      })
      return found
    },
  },
}

/** struct ifinfomsg, with what AF_BRIDGE says of a port. */
const header = struct({ family, pad: 3, index: s32, flags: 8 })
export const vlanFormat = format(
  header,
  attributes({
    master: attribute('IFLA_MASTER', 10, u32),
    spec: attribute('IFLA_AF_SPEC', 26, spec),
    filter: attribute('IFLA_EXT_MASK', 29, u32),
  }),
)
