import { flagOption, integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { message } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceIndex, optionalIndex } from './devices.js'
import type { Device } from './link-options.js'
import { type VlanInfo, type VlanSpec, vlanFormat } from './vlan-format.js'

const RTM_DELLINK = 17
const RTM_GETLINK = 18
const RTM_SETLINK = 19
const RTEXT_FILTER_BRVLAN_COMPRESSED = 4
const BRIDGE_FLAGS_SELF = 2
const LAST_VLAN = 4094

/** VLANs that a port of a bridge, or the bridge itself, is in. */
export interface PortVlans {
  /** Number of the port or bridge. */
  readonly device: number
  /** 1 to 4094: the only one, or the first. */
  readonly vlan: number
  /** The last of a range. */
  readonly last?: number
  /** What comes in without a tag is of this one. */
  readonly pvid: boolean
  /** What goes out has no tag. */
  readonly untagged: boolean
}

/** VLANs that are to be. What {@link Vlans.list} gives will do as well. */
export interface VlanOptions extends Partial<Omit<PortVlans, 'device'>> {
  readonly device: Device
  readonly vlan: number
  /** The device is the bridge, and not a port of one. */
  readonly self?: boolean
}

/** Which VLANs. */
export interface VlanFilter {
  readonly device?: Device
}

const KEYS = ['device', 'vlan', 'last', 'pvid', 'untagged', 'self']

/** VLANs of bridges' ports; they count when the bridge filters them. bridge(8) */
export class Vlans {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Of all bridges and their ports, or of one; ranges as one.
   * Equivalent to: `bridge -compressvlans vlan show`
   */
  async list(filter: VlanFilter = {}): Promise<PortVlans[]> {
    onlyKeys('filter', filter, ['device'])
    const socket = await this.#connection.socket('route')
    const device = await optionalIndex(socket, 'filter.device', filter.device)
    const request = message('RTM_GETLINK', RTM_GETLINK, 0, vlanFormat, {
      family: 'bridge',
      filter: RTEXT_FILTER_BRVLAN_COMPRESSED,
    })
    const found = await socket.dump(request, vlanFormat, ({ family, index = 0, spec }) =>
      family !== 'bridge' || spec === undefined || (device !== undefined && index !== device)
        ? undefined
        : vlansIn(index, spec),
    )
    return found.flat()
  }

  /**
   * Puts a port into VLANs, or changes how it is in them.
   * Equivalent to: `bridge vlan add dev eth0 vid 10 pvid untagged`
   *
   * @throws CofferdamError `EOPNOTSUPP` when it is no port of a bridge; `EINVAL` for a range of `pvid`s.
   */
  async create(options: VlanOptions): Promise<void> {
    await this.#send('RTM_SETLINK', RTM_SETLINK, options)
  }

  /** Takes it out of them; out of those of a range that it is in. Equivalent to: `bridge vlan del dev eth0 vid 10` */
  async delete(options: VlanOptions): Promise<void> {
    await this.#send('RTM_DELLINK', RTM_DELLINK, options)
  }

  async #send(name: string, type: number, options: VlanOptions): Promise<void> {
    const spec = specOf(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    const value = { family: 'bridge' as const, index, spec }
    await socket.request(message(name, type, 0, vlanFormat, value, 'options'))
  }
}

function specOf(options: VlanOptions): VlanSpec {
  onlyKeys('options', options, KEYS)
  const vlan = integerOption('options.vlan', options.vlan, 1, LAST_VLAN)
  const last = integerOption('options.last', options.last ?? vlan, 1, LAST_VLAN)
  if (last < vlan) throw invalidOption('options.last', `${show(last)} is before ${vlan}`)
  const flags: ('pvid' | 'untagged')[] = []
  if (flagOption('options.pvid', options.pvid, false)) flags.push('pvid')
  if (flagOption('options.untagged', options.untagged, false)) flags.push('untagged')
  const self = flagOption('options.self', options.self, false)
  return {
    target: self ? BRIDGE_FLAGS_SELF : undefined,
    vlans:
      vlan === last
        ? [{ id: vlan, flags }]
        : [
            { id: vlan, flags: [...flags, 'begin'] },
            { id: last, flags: [...flags, 'end'] },
          ],
  }
}

function vlansIn(device: number, { vlans }: VlanSpec): PortVlans[] {
  const found: PortVlans[] = []
  let first: VlanInfo | undefined
  for (const { id, flags } of vlans) {
    if (flags.includes('begin')) {
      first = { id, flags }
      continue
    }
    const range = flags.includes('end') && first !== undefined ? first.id : id
    found.push({
      device,
      vlan: range,
      ...(range !== id && { last: id }),
      pvid: flags.includes('pvid'),
      untagged: flags.includes('untagged'),
    })
    first = undefined
  }
  return found
}
