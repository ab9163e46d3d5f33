import { conflict, invalidOption, keyOption, onlyKeys, show } from '../../base/index.js'
import {
  addressOption,
  type Family,
  familyIn,
  familyOption,
  prefixOption,
  sameFamily,
} from './families.js'
import type { Nexthop, NexthopOptions, Route, RouteOptions } from './route.js'
import { type RawRoute, routeTypes } from './route-format.js'
import type { RawNexthop } from './route-nexthops.js'
import { shortTable, tableOption } from './route-tables.js'

const KEYS = [
  'destination',
  'family',
  'type',
  'from',
  'gateway',
  'device',
  'nexthops',
  'nexthopId',
  'source',
  'priority',
  'table',
  'protocol',
  'scope',
  'tos',
  'flags',
  'metrics',
  'preference',
  'expires',
  'realms',
]
const NEXTHOP_KEYS = ['gateway', 'device', 'weight', 'flags']
/** Of the hundreds of a second that struct rta_cacheinfo counts. */
const TICKS = 100
/** Types whose routes stand in the table `local`. */
const LOCAL: readonly unknown[] = ['local', 'broadcast', 'anycast', 'nat']

/**
 * The message of a route, but for its devices.
 *
 * @param exact Fills in what `ip route add` would; otherwise what is left out is any.
 */
export function rawRoute(options: RouteOptions, exact: boolean): RawRoute {
  onlyKeys('options', options, KEYS)
  const { type = 'unicast', metrics, nexthopId, expires } = options
  if (typeof type !== 'number') keyOption('options.type', type, routeTypes)
  const family = familyOf(options)
  const { address, length } = destinationOf(options.destination, family)
  const table = tableOption('options.table', options.table) ?? (LOCAL.includes(type) ? 255 : 254)
  const raw: RawRoute = {
    family,
    prefix: length,
    destination: length === 0 ? undefined : address,
    shortTable: shortTable(table),
    table,
    type: exact ? type : (options.type ?? 'unspecified'),
    protocol: options.protocol ?? (exact ? 'boot' : 'unspecified'),
    scope: options.scope ?? (exact ? scopeOf(options, family) : 'nowhere'),
    tos: options.tos ?? 0,
    flags: options.flags?.includes('onlink') ? ['onlink'] : [],
    ...fromOf(options, family),
    ...gatewayOf('options', options.gateway, family),
    priority: options.priority,
    source: sourceOf(options.source, family),
    metrics,
    nexthops: nexthopsOf(options, family),
    nexthopId,
    preference: options.preference,
    expires,
    realms: options.realms,
  }
  return raw
}

/** That of the destination, or, where that is `'default'`, of what else has one. */
function familyOf({ destination, family, gateway, source }: RouteOptions): Family {
  const said = family === undefined ? undefined : familyOption('options.family', family)
  if (destination === 'default') {
    if (said !== undefined) return said
    if (source !== undefined) return addressOption('options.source', source)
    return gateway === undefined ? 'inet' : addressOption('options.gateway', gateway)
  }
  const found = prefixOption('options.destination', destination).family
  if (said !== undefined) sameFamily(found, 'options.family', said)
  return found
}

function destinationOf(destination: string, family: Family) {
  if (destination === 'default') return { address: family === 'inet' ? '0.0.0.0' : '::', length: 0 }
  return prefixOption('options.destination', destination)
}

function fromOf({ from }: RouteOptions, family: Family) {
  if (from === undefined) return {}
  const prefix = prefixOption('options.from', from)
  sameFamily(family, 'options.from', prefix.family)
  return { from: prefix.address, fromPrefix: prefix.length }
}

function gatewayOf(option: string, gateway: string | undefined, family: Family) {
  if (gateway === undefined) return {}
  const found = addressOption(`${option}.gateway`, gateway)
  if (found === family) return { gateway }
  if (family === 'inet') return { via: gateway }
  throw invalidOption(`${option}.gateway`, 'a route of IPv6 has no gateway of IPv4')
}

function sourceOf(source: string | undefined, family: Family): string | undefined {
  if (source !== undefined)
    sameFamily(family, 'options.source', addressOption('options.source', source))
  return source
}

function nexthopsOf(options: RouteOptions, family: Family): RawNexthop[] | undefined {
  const { nexthops, gateway, device } = options
  if (nexthops === undefined) return undefined
  if (gateway !== undefined || device !== undefined)
    throw conflict('options.nexthops', 'stand instead of gateway and device')
  if (!Array.isArray(nexthops) || nexthops.length === 0)
    throw invalidOption('options.nexthops', `${show(nexthops)} is no list of next hops`)
  return nexthops.map((one: NexthopOptions, i) => {
    const option = `options.nexthops[${i}]`
    onlyKeys(option, one, NEXTHOP_KEYS)
    const { weight = 1, flags = [] } = one
    if (!Number.isInteger(weight) || weight < 1 || weight > 256)
      throw invalidOption(`${option}.weight`, `${show(weight)} is none; 1 to 256 are`)
    return {
      ...gatewayOf(option, one.gateway, family),
      hops: weight - 1,
      flags: flags.includes('onlink') ? (['onlink'] as const) : [],
    }
  })
}

/** As `ip route add` chooses: a destination that is on the link, or behind a gateway. */
function scopeOf({ type, gateway, nexthops, nexthopId }: RouteOptions, family: Family) {
  if (family === 'inet6') return 'global'
  if (type === 'local' || type === 'nat') return 'host'
  if (type === 'broadcast' || type === 'multicast' || type === 'anycast') return 'link'
  if (type !== undefined && type !== 'unicast') return 'global'
  return gateway === undefined && nexthops === undefined && nexthopId === undefined
    ? 'link'
    : 'global'
}

function nexthopFrom({ gateway, via, device, hops = 0, flags = [] }: RawNexthop): Nexthop {
  const through = gateway ?? via
  return {
    ...(through !== undefined && { gateway: through }),
    ...(device !== undefined && device !== 0 && { device }),
    weight: hops + 1,
    flags,
  }
}

/** What a message says; undefined when it is of no family that is known here. */
export function routeFrom(raw: RawRoute): Route | undefined {
  const family = familyIn(raw.family)
  if (family === undefined) return undefined
  const { prefix = 0, destination, from, device, priority, source, tos = 0 } = raw
  const gateway = raw.gateway ?? raw.via
  const ticks = raw.cache?.expires ?? 0
  const route: { -readonly [K in keyof Route]: Route[K] } = {
    family,
    type: raw.type ?? 'unspecified',
    destination: destination === undefined ? 'default' : `${destination}/${prefix}`,
    table: raw.table ?? raw.shortTable ?? 0,
    protocol: raw.protocol ?? 'unspecified',
    scope: raw.scope ?? 'global',
    flags: raw.flags ?? [],
  }
  if (from !== undefined) route.from = `${from}/${raw.fromPrefix}`
  if (gateway !== undefined) route.gateway = gateway
  if (device !== undefined) route.device = device
  if (raw.nexthops !== undefined) route.nexthops = raw.nexthops.map(nexthopFrom)
  if (raw.nexthopId !== undefined) route.nexthopId = raw.nexthopId
  if (source !== undefined) route.source = source
  if (priority !== undefined) route.priority = priority
  if (tos !== 0) route.tos = tos
  if (raw.metrics !== undefined) route.metrics = raw.metrics
  if (raw.preference !== undefined) route.preference = raw.preference
  if (ticks > 0) route.expires = Math.ceil(ticks / TICKS)
  if (raw.realms !== undefined) route.realms = raw.realms
  return route
}
