import { conflict, invalidOption, onlyKeys, show } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import {
  type AddressFlag,
  addressFormat,
  type KernelFlags,
  type RawAddress,
} from './address-format.js'
import { deviceIndex, optionalIndex } from './devices.js'
import {
  addressOption,
  bitsOf,
  type Family,
  familiesOption,
  familyIn,
  prefixOption,
  sameFamily,
} from './families.js'
import type { Device } from './link-options.js'
import type { Scope } from './scopes.js'

const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22
const FOREVER = 0xffffffff

/** An address of a device. */
export interface Address {
  readonly family: Family
  /** Number of its device. */
  readonly device: number
  /** With the length of its prefix, `'10.0.0.1/24'`; without one when there is a `peer`. */
  readonly address: string
  /** The other end of a point-to-point link, with the length of the prefix. */
  readonly peer?: string
  /** Of IPv4. */
  readonly broadcast?: string
  /** Of IPv4: the device's name, or that, a colon and more. */
  readonly label?: string
  readonly scope: Scope
  readonly flags: readonly AddressFlag[]
  /** For how many seconds it still can be used. */
  readonly validLifetime: number | 'forever'
  /** For how many seconds it still is used for new connections. */
  readonly preferredLifetime: number | 'forever'
  /** Priority of the route to its prefix. */
  readonly priority?: number
  /** Who made it, a number of the administrator's; since Linux 5.18. */
  readonly protocol?: number
}

/** An address that is to be. What {@link Addresses.list} gives will do as well. */
export interface AddressOptions extends Partial<Omit<Address, 'device' | 'broadcast'>> {
  readonly device: Device
  /** `'10.0.0.1/24'`; all bits of it without a length. */
  readonly address: string
  /** Of IPv4; `'auto'`: the last address of the prefix. Default: none. */
  readonly broadcast?: string
}

/** Which addresses. */
export interface AddressFilter {
  readonly device?: Device
  readonly family?: Family
}

const KEYS = [
  'device',
  'address',
  'family',
  'peer',
  'broadcast',
  'label',
  'scope',
  'flags',
  'validLifetime',
  'preferredLifetime',
  'priority',
  'protocol',
]

/** Addresses of the devices of a network namespace, of IPv4 and IPv6. rtnetlink(7), ip-address(8) */
export class Addresses {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * All, or those of a device or a family; the kernel picks them.
   * Equivalent to: `ip address show dev eth0`
   *
   * @throws CofferdamError `ENODEV`; `ERR_INTERRUPTED`.
   */
  async list(filter: AddressFilter = {}): Promise<Address[]> {
    onlyKeys('filter', filter, ['device', 'family'])
    const families = familiesOption('filter.family', filter.family)
    const socket = await this.#connection.socket('route')
    const index = await optionalIndex(socket, 'filter.device', filter.device)
    const family = families.length === 1 ? families[0] : undefined
    const value = { family: family ?? ('unspecified' as const), index: index ?? 0 }
    const request = message('RTM_GETADDR', RTM_GETADDR, 0, addressFormat, value, 'filter')
    return socket.dump(request, addressFormat, raw => addressFrom(raw))
  }

  /**
   * Gives a device an address. One of IPv6 is `tentative` at first, and of no use, until others on
   * the link have been asked whether they have it; {@link list} and monitors show its flags, and
   * `flags: ['nodad']` does without. Equivalent to: `ip address add 10.0.0.1/24 dev eth0`
   *
   * @throws CofferdamError `EEXIST` when it has it; `ENODEV`.
   */
  create(options: AddressOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.EXCLUSIVE, options)
  }

  /** Gives it, or changes what is said of it. Equivalent to: `ip address replace 10.0.0.1/24 dev eth0` */
  replace(options: AddressOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.REPLACE, options)
  }

  /**
   * Takes it from the device. Equivalent to: `ip address del 10.0.0.1/24 dev eth0`
   *
   * @throws CofferdamError `EADDRNOTAVAIL` when the device has no such address.
   */
  async delete(options: AddressOptions): Promise<void> {
    const { broadcast, flags, cache, priority, protocol, ...raw } = await this.#raw(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    const value = { ...raw, index }
    await socket.request(message('RTM_DELADDR', RTM_DELADDR, 0, addressFormat, value, 'options'))
  }

  async #write(flags: number, options: AddressOptions): Promise<void> {
    const raw = await this.#raw(options)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'options.device', options.device)
    await socket.request(
      message('RTM_NEWADDR', RTM_NEWADDR, flags, addressFormat, { ...raw, index }, 'options'),
    )
  }

  // Async, so that what it refuses rejects a promise.
  async #raw(options: AddressOptions): Promise<RawAddress> {
    onlyKeys('options', options, KEYS)
    return rawAddress(options)
  }
}

function rawAddress(options: AddressOptions): RawAddress {
  const own = prefixOption('options.address', options.address)
  if (options.family !== undefined) sameFamily(own.family, 'options.family', options.family)
  const { peer, length } = peerOf(options, own)
  return {
    family: own.family,
    prefix: length,
    scope:
      options.scope ??
      (own.family === 'inet' && own.address.startsWith('127.') ? 'host' : 'global'),
    address: peer ?? own.address,
    local: own.address,
    label: options.label,
    broadcast: broadcastOf(options, own.family, own.address, length),
    flags: kernelFlags(options.flags),
    cache: lifetimes(options),
    priority: options.priority,
    protocol: options.protocol,
  }
}

function peerOf(options: AddressOptions, own: { family: Family; length: number }) {
  if (options.peer === undefined) return { length: own.length }
  const peer = prefixOption('options.peer', options.peer)
  sameFamily(own.family, 'options.peer', peer.family)
  if (own.length !== bitsOf(own.family))
    throw conflict(
      'options.address',
      'where there is a peer the length of the prefix stands at the peer',
    )
  return { peer: peer.address, length: peer.length }
}

function broadcastOf(
  { broadcast }: AddressOptions,
  family: Family,
  address: string,
  length: number,
) {
  if (broadcast === undefined) return undefined
  if (family !== 'inet') throw invalidOption('options.broadcast', 'IPv6 has none')
  if (broadcast !== 'auto') {
    sameFamily('inet', 'options.broadcast', addressOption('options.broadcast', broadcast))
    return broadcast
  }
  if (length > 30) throw invalidOption('options.broadcast', `a prefix of ${length} bits has none`)
  const bits = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
  const last = (bits | (2 ** (32 - length) - 1)) >>> 0
  return [24, 16, 8, 0].map(by => (last >>> by) & 0xff).join('.')
}

function kernelFlags(flags: unknown): KernelFlags | undefined {
  if (flags === undefined) return undefined
  if (!Array.isArray(flags)) throw invalidOption('options.flags', `${show(flags)} is no list`)
  return flags.map(flag => (flag === 'temporary' ? 'secondary' : flag))
}

function lifetimes({ validLifetime, preferredLifetime }: AddressOptions) {
  if (validLifetime === undefined && preferredLifetime === undefined) return undefined
  const valid = seconds('options.validLifetime', validLifetime)
  const preferred = preferredLifetime ?? validLifetime
  const used = seconds('options.preferredLifetime', preferred)
  if (used > valid)
    throw conflict(
      'options.preferredLifetime',
      `${preferredLifetime} is more than the validLifetime`,
    )
  return { valid, preferred: used }
}

function seconds(option: string, value: unknown): number {
  if (value === undefined || value === 'forever') return FOREVER
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < FOREVER)
    return value
  throw invalidOption(option, `${show(value)} is no number of seconds, nor forever`)
}

const forever = (value: number): number | 'forever' => (value === FOREVER ? 'forever' : value)

/** What a message says; undefined when it is of no family that is known here. */
export function addressFrom(raw: RawAddress): Address | undefined {
  const family = familyIn(raw.family)
  const { prefix = 0, cache, flags = [] } = raw
  const own = raw.local ?? raw.address
  if (family === undefined || own === undefined) return undefined
  const peer =
    raw.address === undefined || raw.address === own ? undefined : `${raw.address}/${prefix}`
  return {
    family,
    device: raw.index ?? 0,
    address: peer === undefined ? `${own}/${prefix}` : own,
    ...(peer !== undefined && { peer }),
    ...(raw.broadcast !== undefined && { broadcast: raw.broadcast }),
    ...(raw.label !== undefined && { label: raw.label }),
    scope: raw.scope ?? 'global',
    flags:
      family === 'inet' ? flags : flags.map(flag => (flag === 'secondary' ? 'temporary' : flag)),
    validLifetime: forever(cache?.valid ?? FOREVER),
    preferredLifetime: forever(cache?.preferred ?? FOREVER),
    ...(raw.priority !== undefined && { priority: raw.priority }),
    ...(raw.protocol !== undefined && { protocol: raw.protocol }),
  }
}
