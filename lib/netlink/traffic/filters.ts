import { integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { attribute, attributes, message, messageFlags, u32 } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceFields, deviceIndex } from '../route/devices.js'
import type { Device } from '../route/link-options.js'
import { type Action, actionList, readActions, resolved, writeActions } from './actions.js'
import { type FlowerOptions, flowerKind } from './flower.js'
import { type Handle, handle, handleText, parseHandle } from './handles.js'
import { decoded, encoded, type Kind, readKind, writeKind } from './kind.js'
import { tcFormat } from './tc-format.js'
import { type U32Options, u32Kind } from './u32.js'

const RTM_NEWTFILTER = 44
const RTM_DELTFILTER = 45
const RTM_GETTFILTER = 46

/** All packets. tc-matchall(8) */
export interface MatchallOptions {
  kind: 'matchall'
  class?: Handle
  actions?: readonly Action[]
}

/** Those that the firewall has marked with the filter's handle. tc-fw(8) */
export interface FwOptions {
  kind: 'fw'
  /** Bits of the mark that count. */
  mask?: number
  class?: Handle
  actions?: readonly Action[]
}

/** A kind of filter, what it finds, and what is done with that. */
export type FilterOptions = U32Options | FlowerOptions | MatchallOptions | FwOptions

/** A kind whose attributes, but for the actions, are called as the options. */
function withActions(codec: typeof matchallCodec | typeof fwCodec): Kind {
  return {
    write(option, options) {
      const { kind: _, actions, ...rest } = options as FwOptions
      return encoded(option, codec as typeof fwCodec, {
        ...rest,
        actions: writeActions(`${option}.actions`, actions),
      })
    },
    read(bytes) {
      const { actions, ...rest } = decoded(codec as typeof fwCodec, bytes)
      return { ...rest, ...readActions(actions) }
    },
  }
}

const matchallCodec = attributes({
  class: attribute('TCA_MATCHALL_CLASSID', 1, handle),
  actions: attribute('TCA_MATCHALL_ACT', 2, actionList),
})
const fwCodec = attributes({
  class: attribute('TCA_FW_CLASSID', 1, handle),
  actions: attribute('TCA_FW_ACT', 4, actionList),
  mask: attribute('TCA_FW_MASK', 5, u32),
})
const matchall = withActions(matchallCodec)
const fw = withActions(fwCodec)

function kindsFor(protocol: number): Readonly<Record<FilterOptions['kind'], Kind>> {
  return { u32: u32Kind, flower: flowerKind(protocol), matchall, fw }
}
const readers = kindsFor(0)

/** Numbers of protocols above Ethernet. linux/if_ether.h */
export const filterProtocols = {
  all: 0x0003,
  ip: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
} as const
/** Which packets are looked at, by the protocol that their frame says; `vlan` is 802.1Q. */
export type FilterProtocol = keyof typeof filterProtocols | number

/** Where filters hang. */
export interface FilterParent {
  /** Name or number. */
  device: Device
  /** `'ingress'`, `'egress'` (of `clsact`), a qdisc or a class. Default: the qdisc at the root. */
  parent?: Handle
}

/** Which filter. */
export interface FilterPlace extends FilterParent {
  /** They are asked in this order: 1 to 65535, from the kernel when left out. */
  priority?: number
  /** Default: `all`. */
  protocol?: FilterProtocol
  /** Of those of one priority; of `fw` the mark. Given by the kernel when left out. */
  handle?: number
}

/** A filter: which packets go to which class, or what is done with them. */
export interface Filter {
  readonly index: number
  readonly kind: string
  readonly parent: Handle
  readonly priority: number
  readonly protocol: FilterProtocol
  /** 0 for what stands for all filters of this priority. */
  readonly handle: number
  readonly chain: number
  /** Undefined for kinds that are not described here. */
  readonly options: FilterOptions | undefined
}

const placeKeys = ['device', 'parent', 'priority', 'protocol', 'handle']

/** Filters for what a device sends or receives. tc(8) */
export class Filters {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Those at one place. Equivalent to: `tc filter show dev eth0 ingress` */
  async list(where: FilterParent): Promise<Filter[]> {
    onlyKeys('filters.list', where, ['device', 'parent'])
    const parent = hangsFrom('filters.list', where.parent)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'filters.list: device', where.device)
    const request = message('RTM_GETTFILTER', RTM_GETTFILTER, 0, tcFormat, { index, parent })
    return socket.dump(request, tcFormat, found => {
      const { kind = '', info = 0, options, chain = 0 } = found
      return {
        index: found.index ?? 0,
        kind,
        parent: handleText(found.parent ?? 0),
        priority: info >>> 16,
        protocol: protocolName(info & 0xffff),
        handle: found.handle ?? 0,
        chain,
        options: readKind<FilterOptions>(readers, kind, options),
      }
    })
  }

  /**
   * Makes one. Equivalent to:
   * `tc filter add dev eth0 ingress matchall action mirred egress redirect dev ifb0`
   *
   * ```ts
   * await nl.filters.create({
   *   device: 'eth0', parent: 'ingress', kind: 'u32',
   *   actions: [{ kind: 'mirred', action: 'redirect', device: 'ifb0' }],
   * })
   * ```
   *
   * @throws CofferdamError `EEXIST`; `ENOENT` when the kernel has not this kind, or not an action.
   */
  create(options: FilterPlace & FilterOptions): Promise<void> {
    const { CREATE, EXCLUSIVE } = messageFlags
    return this.#send('filters.create', CREATE | EXCLUSIVE, options)
  }

  /** Makes one, in the place of what has its priority and handle. Equivalent to: `tc filter replace …` */
  replace(options: FilterPlace & FilterOptions): Promise<void> {
    return this.#send('filters.replace', messageFlags.CREATE, options)
  }

  /**
   * Deletes one, or, without a handle, all of a priority, or without that all there are.
   * Equivalent to: `tc filter del dev eth0 ingress pref 10`
   *
   * @throws CofferdamError `ENOENT` when there is none.
   */
  async delete(place: FilterPlace & { kind?: FilterOptions['kind'] }): Promise<void> {
    onlyKeys('filters.delete', place, [...placeKeys, 'kind'])
    const { kind } = place
    const value = { ...placeOf('filters.delete', place), ...(kind === undefined ? {} : { kind }) }
    // What stands for all protocols is none when all are to go.
    if (place.priority === undefined) value.info = 0
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'filters.delete: device', place.device)
    const request = message('RTM_DELTFILTER', RTM_DELTFILTER, 0, tcFormat, { ...value, index })
    await socket.request(request)
  }

  async #send(call: string, flags: number, given: FilterPlace & FilterOptions): Promise<void> {
    const { device, parent, priority, protocol, handle, ...options } = given
    const value = placeOf(call, { device, parent, priority, protocol, handle } as FilterPlace)
    const socket = await this.#connection.socket('route')
    const indexOf = (option: string, name: Device) => deviceIndex(socket, option, name)
    // All of it is looked at before anything is asked, and then written with the numbers of devices.
    const kinds = kindsFor(protocolNumber(call, protocol))
    const name = `${call}: options`
    writeKind(kinds, name, withoutDevices(`${name}.actions`, options))
    const actions = await resolved(`${name}.actions`, options.actions, indexOf)
    const body = { ...options, ...(actions === undefined ? {} : { actions }) }
    const request = message('RTM_NEWTFILTER', RTM_NEWTFILTER, flags, tcFormat, {
      ...value,
      index: await indexOf(`${call}: device`, device),
      kind: options.kind,
      options: writeKind(kinds, name, body),
    })
    await socket.request(request)
  }
}

/** The same with some number for each device that has a name. */
function withoutDevices(option: string, options: FilterOptions): FilterOptions {
  if (!Array.isArray(options.actions)) return options
  const actions = (options.actions as readonly Action[]).map((action, i) =>
    action?.kind === 'mirred' && deviceFields(`${option}.${i}.device`, action.device)
      ? { ...action, device: 1 }
      : action,
  )
  return { ...options, actions }
}

function hangsFrom(call: string, parent: Handle | undefined): number {
  return parent === undefined || parent === 'root' ? 0 : parseHandle(`${call}: parent`, parent)
}

function placeOf(call: string, { device, parent, priority, protocol, handle }: FilterPlace) {
  deviceFields(`${call}: device`, device)
  const order = priority === undefined ? 0 : integerOption(`${call}: priority`, priority, 1, 0xffff)
  return {
    parent: hangsFrom(call, parent),
    info: (order * 0x10000 + swapped(protocolNumber(call, protocol))) >>> 0,
    handle: handle === undefined ? 0 : integerOption(`${call}: handle`, handle, 0, 0xffffffff),
  }
}

function protocolNumber(call: string, protocol: FilterProtocol = 'all'): number {
  const number =
    typeof protocol === 'string' && Object.hasOwn(filterProtocols, protocol)
      ? filterProtocols[protocol]
      : protocol
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 0xffff)
    throw invalidOption(
      `${call}: protocol`,
      `${show(protocol)} is none; ${Object.keys(filterProtocols).join(', ')} are`,
    )
  return number
}

function protocolName(value: number): FilterProtocol {
  const number = swapped(value)
  for (const [name, known] of Object.entries(filterProtocols))
    if (known === number) return name as keyof typeof filterProtocols
  return number
}

/** In the network's order. */
function swapped(number: number): number {
  return ((number & 0xff) << 8) | (number >> 8)
}
