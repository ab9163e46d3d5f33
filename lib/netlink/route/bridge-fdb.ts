import { invalidOption, keyOption, onlyKeys, show } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceIndex, optionalIndex } from './devices.js'
import { addressOption } from './families.js'
import type { Device } from './link-options.js'
import {
  type NeighbourFlag,
  neighbourFormat,
  type RawNeighbour,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  splitFlags,
  stateOf,
} from './neighbour-format.js'
import { groups, undisturbed } from './undisturbed.js'

/** The bits of a state, as bridge(8) names what they come to. */
const kinds = { permanent: ['permanent'], static: ['noarp'], dynamic: ['reachable'] } as const

/** Where a bridge or a VXLAN sends what is for a hardware address. */
export interface FdbEntry {
  /** Hardware address. */
  readonly address: string
  /** Number of the device: a port of a bridge, the bridge, or a VXLAN. */
  readonly device: number
  /** Number of the bridge whose entry it is. */
  readonly master?: number
  /** `permanent`: the bridge's own; `static`: never forgotten; `dynamic`: learnt, and forgotten again. */
  readonly state: 'permanent' | 'static' | 'dynamic'
  readonly vlan?: number
  /** Of a VXLAN: the other end, and its port and network if they are not those of the device. */
  readonly destination?: string
  readonly port?: number
  readonly vni?: number
  /** Number of the device by which it goes there. */
  readonly through?: number
  readonly sourceVni?: number
  /** `self`: an entry of the device itself; `master`: of its bridge; `sticky`, `externLearn` and such. */
  readonly flags: readonly NeighbourFlag[]
}

/** An entry that is to be. What {@link Fdb.list} gives will do as well. */
export interface FdbOptions extends Partial<Omit<FdbEntry, 'device' | 'through'>> {
  readonly address: string
  readonly device: Device
  /** Default: `'permanent'`. */
  readonly state?: FdbEntry['state']
  readonly through?: Device
  /** Of the device itself, which is the default; or of the bridge that it is a port of. The same as the flags. */
  readonly to?: 'self' | 'master'
}

/** Which entries. */
export interface FdbFilter {
  /** Of this port, or VXLAN. */
  readonly device?: Device
  /** Of this bridge and its ports. */
  readonly bridge?: Device
}

const KEYS = [
  'address',
  'device',
  'master',
  'state',
  'vlan',
  'destination',
  'port',
  'vni',
  'through',
  'sourceVni',
  'flags',
  'to',
]

/** The forwarding databases of bridges and VXLANs. bridge(8) */
export class Fdb {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * All of them, or those of a port or a bridge; the kernel picks them.
   * Equivalent to: `bridge fdb show br br0`
   *
   * @throws CofferdamError `ENODEV`; `ERR_INTERRUPTED` when they went on to change.
   */
  async list(filter: FdbFilter = {}): Promise<FdbEntry[]> {
    onlyKeys('filter', filter, ['device', 'bridge'])
    const socket = await this.#connection.socket('route')
    const device = await optionalIndex(socket, 'filter.device', filter.device)
    const master = await optionalIndex(socket, 'filter.bridge', filter.bridge)
    return undisturbed(this.#connection, groups.neighbours, 'RTM_GETNEIGH', () => {
      const value: RawNeighbour = { family: 'bridge', throughDevice: device, master }
      const request = message('RTM_GETNEIGH', RTM_GETNEIGH, 0, neighbourFormat, value, 'filter')
      return socket.dump(request, neighbourFormat, fdbFrom)
    })
  }

  /**
   * Adds an entry. Equivalent to: `bridge fdb add 02:… dev eth0 master`
   *
   * @throws CofferdamError `EEXIST`; `EOPNOTSUPP` when the device has no such database.
   */
  create(options: FdbOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.EXCLUSIVE, options)
  }

  /** Adds it, or changes the one of this address. Equivalent to: `bridge fdb replace …` */
  replace(options: FdbOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.REPLACE, options)
  }

  /** Adds one more destination of a VXLAN to the same address. Equivalent to: `bridge fdb append …` */
  append(options: FdbOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.APPEND, options)
  }

  /**
   * Removes an entry. Equivalent to: `bridge fdb del 02:… dev eth0 master`
   *
   * @throws CofferdamError `ENOENT` when there is none.
   */
  async delete(options: FdbOptions): Promise<void> {
    await this.#send('RTM_DELNEIGH', RTM_DELNEIGH, 0, options)
  }

  async #write(flags: number, options: FdbOptions): Promise<void> {
    await this.#send('RTM_NEWNEIGH', RTM_NEWNEIGH, flags, options)
  }

  async #send(name: string, type: number, flags: number, options: FdbOptions): Promise<void> {
    const raw = rawEntry(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    const through = await optionalIndex(socket, 'options.through', options.through)
    const value = { ...raw, index, throughDevice: through }
    await socket.request(message(name, type, flags, neighbourFormat, value, 'options'))
  }
}

function rawEntry(options: FdbOptions): RawNeighbour {
  onlyKeys('options', options, KEYS)
  const { address, state = 'permanent', destination, flags = [], to } = options
  keyOption('options.state', state, kinds)
  if (to !== undefined && to !== 'self' && to !== 'master')
    throw invalidOption('options.to', `${show(to)} is none; self and master are`)
  if (destination !== undefined) addressOption('options.destination', destination)
  const said = flags.filter(flag => flag !== 'offloaded' && flag !== 'locked')
  if (to !== undefined) said.push(to)
  if (!said.includes('master') && !said.includes('self'))
    said.push(options.master === undefined ? 'self' : 'master')
  return {
    family: 'bridge',
    hardware: address,
    state: kinds[state],
    ...splitFlags([...new Set(said)]),
    address: destination,
    vlan: options.vlan,
    port: options.port,
    vni: options.vni,
    sourceVni: options.sourceVni,
  }
}

/** What a message says; undefined when it is no entry of a bridge. */
export function fdbFrom(raw: RawNeighbour): FdbEntry | undefined {
  if (raw.family !== 'bridge' || raw.hardware === undefined) return undefined
  const state = stateOf(raw)
  const entry: { -readonly [K in keyof FdbEntry]: FdbEntry[K] } = {
    address: raw.hardware,
    device: raw.index ?? 0,
    state: state === 'permanent' ? 'permanent' : state === 'noarp' ? 'static' : 'dynamic',
    flags: [...(raw.flags ?? []), ...(raw.moreFlags ?? [])],
  }
  if (raw.master !== undefined) entry.master = raw.master
  if (raw.vlan !== undefined) entry.vlan = raw.vlan
  if (raw.address !== undefined) entry.destination = raw.address
  if (raw.port !== undefined) entry.port = raw.port
  if (raw.vni !== undefined) entry.vni = raw.vni
  if (raw.throughDevice !== undefined) entry.through = raw.throughDevice
  if (raw.sourceVni !== undefined) entry.sourceVni = raw.sourceVni
  return entry
}
