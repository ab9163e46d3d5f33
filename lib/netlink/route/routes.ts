import { CofferdamError, onlyKeys } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { optionalIndex } from './devices.js'
import { addressOption, bitsOf, type Family, familiesOption, sameFamily } from './families.js'
import type { Device } from './link-options.js'
import type { Route, RouteFilter, RouteOptions, RouteQuery } from './route.js'
import { type RawRoute, routeFormat } from './route-format.js'
import { shortTable, tableOption } from './route-tables.js'
import { rawRoute, routeFrom } from './route-values.js'
import { groups, undisturbed } from './undisturbed.js'

const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_GETROUTE = 26

const QUERY_KEYS = [
  'from',
  'input',
  'device',
  'mark',
  'tos',
  'uid',
  'ipProtocol',
  'sourcePort',
  'destinationPort',
  'match',
]

/** Routes of a network namespace, of IPv4 and IPv6. rtnetlink(7), ip-route(8) */
export class Routes {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * All routes of all tables, or those that a filter lets through; the kernel picks them.
   * Equivalent to: `ip route show table all`
   *
   * @throws CofferdamError `ENODEV`; `ERR_INTERRUPTED` when they went on to change.
   */
  async list(filter: RouteFilter = {}): Promise<Route[]> {
    onlyKeys('filter', filter, ['family', 'table', 'device', 'protocol', 'type'])
    const families = familiesOption('filter.family', filter.family)
    const table = tableOption('filter.table', filter.table)
    const socket = await this.#connection.socket('route')
    const device = await optionalIndex(socket, 'filter.device', filter.device)
    const { protocol = 0, type = 0 } = filter
    const wanted = { shortTable: shortTable(table ?? 0), table, device, protocol, type }
    const lists = await Promise.all(families.map(family => this.#list({ ...wanted, family })))
    return lists.length === 1 ? (lists[0] as Route[]) : lists.flat()
  }

  async #list(wanted: RawRoute & { family: Family }): Promise<Route[]> {
    const socket = await this.#connection.socket('route')
    const list = () => {
      const request = message('RTM_GETROUTE', RTM_GETROUTE, 0, routeFormat, wanted, 'filter')
      return socket.dump(request, routeFormat, routeFrom)
    }
    try {
      // That of IPv4 goes on behind the last destination that was given, and misses none.
      if (wanted.family === 'inet') return await list()
      return await undisturbed(this.#connection, groups.routes6, 'RTM_GETROUTE', list)
    } catch (error) {
      // There is no such table, so that nothing is in it.
      const code = error instanceof CofferdamError ? error.code : undefined
      if (code === 'ENOENT' && wanted.table !== undefined) return []
      throw error
    }
  }

  /**
   * The route that a packet would take. Equivalent to: `ip route get 10.1.2.3`
   *
   * @throws CofferdamError `ENETUNREACH`, `EHOSTUNREACH`, `EACCES` or `EINVAL` where there is none, or
   * one that says so: prohibited, or a black hole.
   */
  async get(destination: string, query: RouteQuery = {}): Promise<Route> {
    onlyKeys('query', query, QUERY_KEYS)
    const { from, input, device, match = false, tos = 0, ...rest } = query
    const family = addressOption('destination', destination)
    if (from !== undefined) sameFamily(family, 'query.from', addressOption('query.from', from))
    const socket = await this.#connection.socket('route')
    const value: RawRoute = {
      family,
      prefix: bitsOf(family),
      fromPrefix: from === undefined ? 0 : bitsOf(family),
      tos,
      // IPv6 names the table without being asked to.
      flags: match ? ['fibMatch'] : family === 'inet' ? ['lookupTable'] : [],
      destination,
      from,
      input: await optionalIndex(socket, 'query.input', input),
      device: await optionalIndex(socket, 'query.device', device),
      ...rest,
    }
    const request = message('RTM_GETROUTE', RTM_GETROUTE, 0, routeFormat, value, 'query')
    const [found] = await socket.request(request, routeFormat)
    const route = found === undefined ? undefined : routeFrom(found)
    if (route === undefined)
      throw new CofferdamError(`no route to ${destination}`, { code: 'ENETUNREACH' })
    return route
  }

  /**
   * Makes a route. Equivalent to: `ip route add 10.0.0.0/8 via 192.0.2.1`
   *
   * @throws CofferdamError `EEXIST` when there is one of the same destination, priority and type of
   * service; `ENETUNREACH` when there is no way to the gateway; `ENODEV`.
   */
  create(options: RouteOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.EXCLUSIVE, options)
  }

  /** Makes it, or takes the place of the one there is. Equivalent to: `ip route replace …` */
  replace(options: RouteOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.REPLACE, options)
  }

  /**
   * Makes it besides those there are: behind them of IPv4, and of IPv6 as one more way of the same
   * route. Equivalent to: `ip route append …`
   */
  append(options: RouteOptions): Promise<void> {
    return this.#write(messageFlags.CREATE | messageFlags.APPEND, options)
  }

  /**
   * Deletes the first that is as the options say; what they leave out is any, but for the table.
   * Equivalent to: `ip route del …`
   *
   * @throws CofferdamError `ESRCH` when there is none.
   */
  async delete(options: RouteOptions): Promise<void> {
    const value = await this.#raw(options, false)
    const socket = await this.#connection.socket('route')
    await socket.request(message('RTM_DELROUTE', RTM_DELROUTE, 0, routeFormat, value, 'options'))
  }

  async #write(flags: number, options: RouteOptions): Promise<void> {
    const value = await this.#raw(options, true)
    const socket = await this.#connection.socket('route')
    await socket.request(
      message('RTM_NEWROUTE', RTM_NEWROUTE, flags, routeFormat, value, 'options'),
    )
  }

  /** With numbers of devices for their names, which are asked for when all else is right. */
  async #raw(options: RouteOptions, exact: boolean): Promise<RawRoute> {
    const raw = rawRoute(options, exact)
    const socket = await this.#connection.socket('route')
    const index = (option: string, device?: Device) => optionalIndex(socket, option, device)
    const { nexthops = [] } = options
    const ways = raw.nexthops?.map(async (way, i) => ({
      ...way,
      device: (await index(`options.nexthops[${i}].device`, nexthops[i]?.device)) ?? 0,
    }))
    return {
      ...raw,
      device: await index('options.device', options.device),
      nexthops: ways && (await Promise.all(ways)),
    }
  }
}
