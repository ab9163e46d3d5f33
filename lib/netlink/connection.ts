import { CofferdamError, type Descriptor } from '../base/index.js'
import { type NamespaceReference, open } from '../namespaces/index.js'
import { openSocketIn, type Protocol } from './protocols.js'
import { NetlinkSocket } from './socket.js'
import { Witness } from './witness.js'

/** The sockets to one network namespace, each opened when it is first wanted. */
export class Connection {
  /** Keeps the namespace, and what it was named by may go. */
  readonly #netns: Descriptor | undefined
  readonly #sockets = new Map<Protocol, Promise<NetlinkSocket>>()
  readonly #witnesses = new Map<string, Promise<Witness>>()
  #closed = false

  /** @param netns Default: this program's own. */
  constructor(netns?: NamespaceReference) {
    this.#netns = netns === undefined ? undefined : open('network', netns)
  }

  /** A descriptor of the namespace; undefined for this program's own. */
  get netns(): { fd: number } | undefined {
    return this.#netns === undefined ? undefined : { fd: this.#netns.fd }
  }

  /** @throws CofferdamError as {@link NetlinkSocket.open}; `ERR_STATE` after close(). */
  socket(protocol: Protocol): Promise<NetlinkSocket> {
    this.#check()
    const known = this.#sockets.get(protocol)
    if (known !== undefined) return known
    const socket = NetlinkSocket.open(protocol, this.netns)
    this.#sockets.set(protocol, socket)
    socket.catch(() => this.#sockets.delete(protocol)) // the next one may have more luck
    return socket
  }

  /** A socket of its own that is told of what happens; the caller's to be closed. */
  listen(protocol: Protocol, groups: readonly number[]): Promise<Descriptor> {
    this.#check()
    return openSocketIn(this.netns, protocol, groups)
  }

  /** Says whether anything has been told to a group, from the first time that it is asked for. */
  witness(protocol: Protocol, group: number): Promise<Witness> {
    this.#check()
    const key = `${protocol} ${group}`
    const known = this.#witnesses.get(key)
    if (known !== undefined) return known
    const witness = Witness.open(this.netns, protocol, group)
    this.#witnesses.set(key, witness)
    witness.catch(() => this.#witnesses.delete(key))
    return witness
  }

  /** When what is under way has been answered. Monitors go on. */
  async close(): Promise<void> {
    this.#closed = true
    const sockets = [...this.#sockets.values()]
    this.#sockets.clear()
    for (const socket of await Promise.allSettled(sockets))
      if (socket.status === 'fulfilled') await socket.value.close()
    for (const witness of await Promise.allSettled(this.#witnesses.values()))
      if (witness.status === 'fulfilled') witness.value.close()
    this.#netns?.close()
  }

  #check(): void {
    if (this.#closed)
      throw new CofferdamError('this netlink connection is closed', { code: 'ERR_STATE' })
  }
}
