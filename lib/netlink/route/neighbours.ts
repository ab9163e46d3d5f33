import { conflict, flagOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceIndex, optionalIndex } from './devices.js'
import { addressOption, type Family, familiesOption, familyIn, sameFamily } from './families.js'
import type { Device } from './link-options.js'
import {
  type NeighbourFlag,
  type NeighbourState,
  neighbourFormat,
  type RawNeighbour,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  splitFlags,
  stateOf,
} from './neighbour-format.js'
import { groups, undisturbed } from './undisturbed.js'

/** What is known of another machine on the link: of ARP, and of the discovery of neighbours of IPv6. */
export interface Neighbour {
  readonly family: Family
  /** Number of the device. */
  readonly device: number
  readonly address: string
  /** Hardware address, once it is known. */
  readonly hardware?: string
  readonly state: NeighbourState
  /** `router`, `externLearn`, `proxy`, `managed` and such. */
  readonly flags: readonly NeighbourFlag[]
  /** Who made it, a number as of routes. */
  readonly protocol?: number
}

/** A neighbour that is to be known. What {@link Neighbours.list} gives will do as well. */
export interface NeighbourOptions extends Partial<Omit<Neighbour, 'device'>> {
  readonly device: Device
  readonly address: string
  /** Default: `'permanent'`. */
  readonly state?: NeighbourState
  /** This machine answers for the address. The same as the flag. */
  readonly proxy?: boolean
}

/** Which neighbours. */
export interface NeighbourFilter {
  readonly device?: Device
  readonly family?: Family
  /** Those that this machine answers for, instead of the others. */
  readonly proxy?: boolean
}

const KEYS = ['device', 'address', 'family', 'hardware', 'state', 'flags', 'protocol', 'proxy']

/** Neighbours on the links of a network namespace, of IPv4 and IPv6. rtnetlink(7), ip-neighbour(8) */
export class Neighbours {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * All, or those of a device or a family, in any state; the kernel picks them.
   * Equivalent to: `ip neighbour show nud all`, and with `proxy`: `ip neighbour show proxy`
   *
   * @throws CofferdamError `ENODEV`; `ERR_INTERRUPTED` when they went on to change.
   */
  async list(filter: NeighbourFilter = {}): Promise<Neighbour[]> {
    onlyKeys('filter', filter, ['device', 'family', 'proxy'])
    const families = familiesOption('filter.family', filter.family)
    const proxy = flagOption('filter.proxy', filter.proxy, false)
    const socket = await this.#connection.socket('route')
    const device = await optionalIndex(socket, 'filter.device', filter.device)
    // Of proxies the kernel has no such filter.
    const value: RawNeighbour = proxy ? { flags: ['proxy'] } : { throughDevice: device }
    const list = (family: Family) => {
      const request = message('RTM_GETNEIGH', RTM_GETNEIGH, 0, neighbourFormat, {
        ...value,
        family,
      })
      return socket.dump(request, neighbourFormat, neighbourFrom)
    }
    const lists = await undisturbed(this.#connection, groups.neighbours, 'RTM_GETNEIGH', () =>
      Promise.all(families.map(list)),
    )
    const found = lists.flat()
    return device === undefined ? found : found.filter(one => one.device === device)
  }

  /**
   * Makes a neighbour known. Equivalent to: `ip neighbour add 10.0.0.2 lladdr … dev eth0`
   *
   * @throws CofferdamError `EEXIST` when it is known already, in any state; `ENODEV`.
   */
  create(options: NeighbourOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.EXCLUSIVE, options)
  }

  /** Makes it known, or changes what is known. Equivalent to: `ip neighbour replace …` */
  replace(options: NeighbourOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.REPLACE, options)
  }

  /**
   * Makes it unknown. Equivalent to: `ip neighbour del 10.0.0.2 dev eth0`
   *
   * @throws CofferdamError `ENOENT` when it is not known.
   */
  async delete(options: NeighbourOptions): Promise<void> {
    const { hardware, state, protocol, moreFlags, flags = [], ...raw } = await this.#raw(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    const value: RawNeighbour = {
      ...raw,
      index,
      flags: flags.includes('proxy') ? ['proxy'] : [],
    }
    await socket.request(
      message('RTM_DELNEIGH', RTM_DELNEIGH, 0, neighbourFormat, value, 'options'),
    )
  }

  async #write(flags: number, options: NeighbourOptions): Promise<void> {
    const raw = await this.#raw(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    const value = { ...raw, index }
    await socket.request(
      message('RTM_NEWNEIGH', RTM_NEWNEIGH, flags, neighbourFormat, value, 'options'),
    )
  }

  // Async, so that what it refuses rejects a promise.
  async #raw(options: NeighbourOptions): Promise<RawNeighbour> {
    onlyKeys('options', options, KEYS)
    const { address, hardware, state = 'permanent', flags = [], protocol } = options
    const family = addressOption('options.address', address)
    if (options.family !== undefined) sameFamily(family, 'options.family', options.family)
    if (!Array.isArray(flags)) throw invalidOption('options.flags', `${show(flags)} is no list`)
    const proxy = flagOption('options.proxy', options.proxy, flags.includes('proxy'))
    if (proxy && hardware !== undefined)
      throw conflict('options.hardware', 'this machine answers for a proxy, with its own')
    const all = proxy ? [...new Set([...flags, 'proxy' as const])] : flags
    return {
      family,
      address,
      hardware,
      state: state === 'none' || proxy ? [] : [state],
      ...splitFlags(all),
      protocol,
    }
  }
}

/** What a message says; undefined when it is of no family that is known here. */
export function neighbourFrom(raw: RawNeighbour): Neighbour | undefined {
  const family = familyIn(raw.family)
  if (family === undefined || raw.address === undefined) return undefined
  return {
    family,
    device: raw.index ?? 0,
    address: raw.address,
    ...(raw.hardware !== undefined && raw.hardware !== '' && { hardware: raw.hardware }),
    state: stateOf(raw),
    flags: [...(raw.flags ?? []), ...(raw.moreFlags ?? [])],
    ...(raw.protocol !== undefined && { protocol: raw.protocol }),
  }
}
