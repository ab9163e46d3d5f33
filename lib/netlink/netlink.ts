import { onlyKeys } from '../base/index.js'
import type { NamespaceReference } from '../namespaces/index.js'
import { Connection } from './connection.js'
import { Generic, Wireguard } from './generic/index.js'
import type { Monitor } from './monitor.js'
import { Nftables } from './nftables/index.js'
import { Conntrack, Sockets, type Uevent } from './others/index.js'
import { uevents } from './others/uevents.js'
import { Addresses } from './route/addresses.js'
import { Bridges } from './route/bridge.js'
import { monitor, type NetworkChange, type NetworkMonitorOptions } from './route/changes.js'
import { Links } from './route/links.js'
import { NamespaceIds } from './route/namespace-ids.js'
import { Neighbours } from './route/neighbours.js'
import { Routes } from './route/routes.js'
import { Rules } from './route/rules.js'
import { Classes, Filters, Qdiscs } from './traffic/index.js'

/** Where {@link open} goes. */
export interface NetlinkOptions {
  /** A network namespace: a path, `{ pid }`, `{ pidfd }` or `{ fd }`. Default: this program's own. */
  netns?: NamespaceReference
}

/**
 * Network devices, addresses, routes and the rest of one network namespace, as the kernel has
 * them. Requests that are made in the same moment go to the kernel together. Made by {@link open}.
 */
export class Netlink implements AsyncDisposable {
  readonly #connection: Connection
  #generic: Generic | undefined
  /** Network devices. */
  readonly links: Links
  /** Addresses of the devices. */
  readonly addresses: Addresses
  readonly routes: Routes
  /** What says which table a route is looked for in. */
  readonly rules: Rules
  /** Other machines on the links. */
  readonly neighbours: Neighbours
  /** Forwarding databases and VLANs of bridges. */
  readonly bridge: Bridges
  /** Numbers of other network namespaces. */
  readonly namespaces: NamespaceIds
  /** The firewall. */
  readonly nftables: Nftables

  /** @param connection Is this object's. */
  constructor(connection: Connection) {
    this.#connection = connection
    this.links = new Links(connection)
    this.addresses = new Addresses(connection)
    this.routes = new Routes(connection)
    this.rules = new Rules(connection)
    this.neighbours = new Neighbours(connection)
    this.bridge = new Bridges(connection)
    this.namespaces = new NamespaceIds(connection)
    this.nftables = new Nftables(connection)
  }

  /**
   * Tells what happens to devices, addresses, routes and the rest from when the promise is
   * fulfilled on. Equivalent to: `ip monitor`
   *
   * ```ts
   * for await (const event of await nl.monitor({ routes: true, signal }))
   *   if (event.kind === 'route') console.log(event.change, event.route.destination)
   * ```
   */
  monitor(options: NetworkMonitorOptions = {}): Promise<Monitor<NetworkChange>> {
    return monitor(this.#connection, options)
  }

  /** What queues devices have for what they send. */
  get qdiscs(): Qdiscs {
    return new Qdiscs(this.#connection)
  }

  /** Classes of such queues, which share a rate. */
  get classes(): Classes {
    return new Classes(this.#connection)
  }

  /** Which packets go to which class, or what else is done with them. */
  get filters(): Filters {
    return new Filters(this.#connection)
  }

  /** Families of generic netlink. */
  get generic(): Generic {
    this.#generic ??= new Generic(this.#connection) // it remembers what it has found
    return this.#generic
  }

  /** Devices of the kind `wireguard`. */
  get wireguard(): Wireguard {
    return new Wireguard(this.#connection, this.generic)
  }

  /** Sockets of programs. */
  get sockets(): Sockets {
    return new Sockets(this.#connection)
  }

  /** Connections that the firewall keeps track of. */
  get conntrack(): Conntrack {
    return new Conntrack(this.#connection)
  }

  /**
   * What devices of the machine come, go and change, as udev hears of it: in the first user
   * namespace's network namespaces all that is of the machine, in all the namespace's own network devices.
   * Equivalent to: `udevadm monitor --kernel --property`
   */
  uevents(options: { signal?: AbortSignal } = {}): Promise<Monitor<Uevent>> {
    return uevents(this.#connection, options)
  }

  /** Closes its sockets when what is under way has been answered. Monitors go on. */
  close(): Promise<void> {
    return this.#connection.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Opens the way to a network namespace; neither this program nor any thread of it goes there.
 * netlink(7)
 *
 * ```ts
 * await using nl = await netlink.open({ netns: '/run/netns/blue' })
 * for (const { index, name } of await nl.links.list()) console.log(index, name)
 * ```
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when it is no network namespace, otherwise as
 * namespaces.open(); `EPERM` where it may not be entered.
 */
export async function open(options: NetlinkOptions = {}): Promise<Netlink> {
  onlyKeys('options', options, ['netns'])
  const connection = new Connection(options.netns)
  try {
    await connection.socket('route')
  } catch (error) {
    await connection.close()
    throw error
  }
  return new Netlink(connection)
}
