import { invalidOption, keyOption, onlyKeys, show, wordOption } from '../../base/index.js'
import { message } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { type InetSocketEntry, inetFormat, shortened, socketStates } from './inet-diag.js'
import { unixFormat, unixTypes } from './unix-diag.js'

const SOCK_DIAG_BY_FAMILY = 20
const SOCK_DESTROY = 21
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const families = { ipv4: AF_INET, ipv6: AF_INET6 } as const
const protocols = { tcp: 6, udp: 17, udplite: 136, raw: 255 } as const

/** Where a socket stands, in the words of TCP. A socket that is not connected is `closed`. */
export type SocketState = keyof typeof socketStates

/** A socket of IPv4 or IPv6. */
export interface InternetSocket {
  readonly protocol: keyof typeof protocols
  readonly family: keyof typeof families
  readonly state: SocketState | number
  readonly local: { readonly address: string; readonly port: number }
  /** Port 0 for one that is not connected. */
  readonly remote: { readonly address: string; readonly port: number }
  /** Number of the device that it is bound to; 0 for none. */
  readonly device: number
  readonly uid: number
  /** As /proc/PID/fd has it; 0 for one that no program has any more. */
  readonly inode: number
  /** Bytes that wait to be read; of one that listens connections that wait to be accepted. */
  readonly receiveQueue: number
  /** Bytes that wait to be sent or acknowledged; of one that listens how many may wait. */
  readonly sendQueue: number
  /** The kernel's own number of it: no other socket of this boot has it. */
  readonly cookie: bigint
}

/** A socket of the machine's own. unix(7) */
export interface UnixSocket {
  readonly protocol: 'unix'
  readonly type: 'stream' | 'datagram' | 'seqpacket' | number
  readonly state: SocketState | number
  /** A path, `'@name'` for an abstract one; undefined for none. */
  readonly name: string | undefined
  readonly inode: number
  /** Inode of the one at the other end. */
  readonly peer: number | undefined
  /** Undefined before Linux 5.3. */
  readonly uid: number | undefined
  readonly receiveQueue: number
  readonly sendQueue: number
  readonly cookie: bigint
}

/** Which sockets. */
export interface SocketFilter<P extends string> {
  protocol: P
  /** Default: all. */
  states?: readonly SocketState[]
  /** Of sockets of the internet. Default: both. */
  family?: keyof typeof families
}

/** The sockets of programs in a network namespace. sock_diag(7) */
export class Sockets {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Lists sockets. Equivalent to: `ss -tan`, `ss -uan`, `ss -xa`
   *
   * @throws CofferdamError `ENOENT` or `EOPNOTSUPP` when the kernel can't tell of this protocol.
   */
  list(filter: SocketFilter<'unix'>): Promise<UnixSocket[]>
  list(filter: SocketFilter<keyof typeof protocols>): Promise<InternetSocket[]>
  async list(
    filter: SocketFilter<keyof typeof protocols | 'unix'>,
  ): Promise<(InternetSocket | UnixSocket)[]> {
    onlyKeys('sockets.list', filter, ['protocol', 'states', 'family'])
    const { protocol, family } = filter
    const mask = stateMask(filter.states)
    if (protocol === 'unix') return this.#unix(mask)
    wordOption('sockets.list: protocol', protocol, [...Object.keys(protocols), 'unix'])
    if (family !== undefined) keyOption('sockets.list: family', family, families)
    const wanted = family === undefined ? (['ipv4', 'ipv6'] as const) : [family]
    const socket = await this.#connection.socket('sockDiag')
    const lists = await Promise.all(
      wanted.map(one => {
        const value = { family: families[one], protocol: protocols[protocol], states: mask }
        const request = message(
          'SOCK_DIAG_BY_FAMILY',
          SOCK_DIAG_BY_FAMILY,
          0,
          inetFormat.request,
          value,
        )
        return socket.dump(request, inetFormat.answer, found => internetSocket(protocol, found))
      }),
    )
    return lists.flat()
  }

  /**
   * Ends a connection, whoever's it is: who has it gets `ECONNABORTED`. Equivalent to: `ss -K …`
   *
   * @param socket As list() gave it; another one that has the same addresses by now is not ended.
   * @throws CofferdamError `ENOENT` when it is gone; `EOPNOTSUPP` when the kernel can't.
   */
  async destroy(socket: InternetSocket): Promise<void> {
    if (!Object.hasOwn(protocols, socket?.protocol))
      throw invalidOption('sockets.destroy: socket', 'is to be one of tcp or udp')
    const { protocol, family, local, remote, device, cookie } = socket
    const value = {
      family: families[family],
      protocol: protocols[protocol],
      states: 0xffffffff,
      localPort: local.port,
      remotePort: remote.port,
      localAddress: local.address,
      remoteAddress: remote.address,
      device,
      cookie,
    }
    const request = message('SOCK_DESTROY', SOCK_DESTROY, 0, inetFormat.request, value)
    await (await this.#connection.socket('sockDiag')).request(request)
  }

  async #unix(mask: number): Promise<UnixSocket[]> {
    const socket = await this.#connection.socket('sockDiag')
    const value = { family: AF_UNIX, states: mask, show: SHOW }
    const request = message(
      'SOCK_DIAG_BY_FAMILY',
      SOCK_DIAG_BY_FAMILY,
      0,
      unixFormat.request,
      value,
    )
    return socket.dump(request, unixFormat.answer, found => ({
      protocol: 'unix',
      type: unixTypes[found.type ?? 0] ?? found.type ?? 0,
      state: stateName(found.state ?? 0),
      name: found.name,
      inode: found.inode ?? 0,
      peer: found.peer,
      uid: found.uid,
      receiveQueue: found.queues?.receive ?? 0,
      sendQueue: found.queues?.send ?? 0,
      cookie: found.cookie ?? 0n,
    }))
  }
}

/** UDIAG_SHOW_NAME, _PEER, _RQLEN, _UID */
const SHOW = 0x01 | 0x04 | 0x10 | 0x40

function stateMask(wanted: readonly SocketState[] | undefined): number {
  if (wanted === undefined) return 0xffffffff
  if (!Array.isArray(wanted))
    throw invalidOption('sockets.list: states', `${show(wanted)} is no list`)
  let mask = 0
  for (const state of wanted)
    mask |= 1 << socketStates[keyOption('sockets.list: states', state, socketStates)]
  return mask >>> 0
}

const stateNames = new Map<number, string>(
  Object.entries(socketStates).map(([name, number]) => [number, name]),
)

function stateName(number: number): SocketState | number {
  return (stateNames.get(number) as SocketState | undefined) ?? number
}

function internetSocket(
  protocol: InternetSocket['protocol'],
  found: Partial<InetSocketEntry>,
): InternetSocket {
  const four = found.family === AF_INET
  return {
    protocol,
    family: four ? 'ipv4' : 'ipv6',
    state: stateName(found.state ?? 0),
    local: { address: shortened(found.localAddress ?? '::', four), port: found.localPort ?? 0 },
    remote: { address: shortened(found.remoteAddress ?? '::', four), port: found.remotePort ?? 0 },
    device: found.device ?? 0,
    uid: found.uid ?? 0,
    inode: found.inode ?? 0,
    receiveQueue: found.receiveQueue ?? 0,
    sendQueue: found.sendQueue ?? 0,
    cookie: found.cookie ?? 0n,
  }
}
