import { conflict, onlyKeys } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceFields, deviceIndex } from '../route/devices.js'
import type { Device } from '../route/link-options.js'
import { type FqCodelOptions, type FqOptions, fq, fqCodel, type SfqOptions, sfq } from './fair.js'
import { type Handle, handleText, INGRESS, parseHandle } from './handles.js'
import { type HtbOptions, htb } from './htb.js'
import { bareKind, readKind, writeKind } from './kind.js'
import { type NetemOptions, netem } from './netem.js'
import { type FifoOptions, fifo, type PrioOptions, prio } from './queues.js'
import { type TbfOptions, tbf } from './tbf.js'
import { statisticsOf, type TrafficStatistics, tcFormat } from './tc-format.js'

const RTM_NEWQDISC = 36
const RTM_DELQDISC = 37
const RTM_GETQDISC = 38

/** Has no options: where filters for what arrives hang, with `clsact` for what leaves too; and `noqueue`. */
export interface BareQdiscOptions {
  kind: 'ingress' | 'clsact' | 'noqueue' | 'mq'
}

/** A kind of qdisc, and how it is set. */
export type QdiscOptions =
  | TbfOptions
  | HtbOptions
  | FqCodelOptions
  | FqOptions
  | SfqOptions
  | PrioOptions
  | FifoOptions
  | NetemOptions
  | BareQdiscOptions

const kinds: Readonly<Record<QdiscOptions['kind'], typeof tbf>> = {
  tbf,
  htb,
  fq_codel: fqCodel,
  fq,
  sfq,
  prio,
  pfifo: fifo,
  bfifo: fifo,
  netem,
  ingress: bareKind,
  clsact: bareKind,
  noqueue: bareKind,
  mq: bareKind,
}

/** Where a qdisc is. */
export interface QdiscPlace {
  /** Name or number. */
  device: Device
  /** A class, as `'1:10'`, or `'root'`, which is the default but for `ingress` and `clsact`, which have one place. */
  parent?: Handle
  /** `'1:'`; the default is that the kernel chooses. */
  handle?: Handle
}

/** A queueing discipline. */
export interface Qdisc {
  /** Number of its device. */
  readonly index: number
  readonly kind: string
  readonly handle: Handle
  /** `root`, `ingress` (where `ingress` and `clsact` are) or a class. */
  readonly parent: Handle
  /** How it is set; undefined for kinds that are not described here. */
  readonly options: QdiscOptions | undefined
  readonly statistics: TrafficStatistics
}

/** What queues a device has for what it sends, and where filters hang. tc(8) */
export class Qdiscs {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * All of them, or those of one device. Equivalent to: `tc -s qdisc show dev eth0`
   *
   * @throws CofferdamError `ENODEV`; `ERR_INVALID_OPTION`.
   */
  async list(filter: { device?: Device } = {}): Promise<Qdisc[]> {
    onlyKeys('qdiscs.list', filter, ['device'])
    const { device } = filter
    const socket = await this.#connection.socket('route')
    const wanted =
      device === undefined ? undefined : await deviceIndex(socket, 'qdiscs.list: device', device)
    const request = message('RTM_GETQDISC', RTM_GETQDISC, 0, tcFormat, {})
    return socket.dump(request, tcFormat, found => {
      const { index = 0, kind = '', handle = 0, parent = 0, options, statistics } = found
      if (wanted !== undefined && index !== wanted) return undefined
      return {
        index,
        kind,
        handle: handleText(handle),
        parent: handleText(parent),
        options: readKind<QdiscOptions>(kinds, kind, options),
        statistics: statisticsOf(statistics),
      }
    })
  }

  /**
   * Makes one where there is none, but for the one that the device was given by the kernel.
   * Equivalent to: `tc qdisc add dev eth0 root handle 1: tbf rate 10mbit burst 32k latency 50ms`
   *
   * ```ts
   * await nl.qdiscs.create({ device: 'eth0', handle: '1:', kind: 'tbf', rate: '10mbit', burst: '32KiB', latency: '50ms' })
   * ```
   *
   * @throws CofferdamError `EEXIST`; `ENOENT` when the kernel does not have the kind.
   */
  create(options: QdiscPlace & QdiscOptions): Promise<void> {
    const { CREATE, EXCLUSIVE } = messageFlags
    return this.#send('qdiscs.create', CREATE | EXCLUSIVE, options)
  }

  /** Makes one, in the place of what may be there. Equivalent to: `tc qdisc replace …` */
  replace(options: QdiscPlace & QdiscOptions): Promise<void> {
    const { CREATE, REPLACE } = messageFlags
    return this.#send('qdiscs.replace', CREATE | REPLACE, options)
  }

  /**
   * Sets one that there is, which is of this kind; what waits in it stays. Equivalent to: `tc qdisc change …`
   *
   * @throws CofferdamError `ENOENT` or `EINVAL` when it is another one.
   */
  set(options: QdiscPlace & QdiscOptions): Promise<void> {
    return this.#send('qdiscs.set', 0, options)
  }

  /**
   * Deletes one, and what hangs from it. Equivalent to: `tc qdisc del dev eth0 root`
   *
   * @param place Its parent (`'ingress'` for those of the kinds `ingress` and `clsact`), its handle, or both.
   * @throws CofferdamError `ENOENT` or `EINVAL` when there is none.
   */
  async delete(place: QdiscPlace): Promise<void> {
    const call = 'qdiscs.delete'
    onlyKeys(call, place, ['device', 'parent', 'handle'])
    const { parent, handle: named } = place
    if (parent === undefined && named === undefined)
      throw conflict(`${call}: parent`, 'parent, handle or both are to be given')
    deviceFields(`${call}: device`, place.device)
    const handle = named === undefined ? 0 : parseHandle(`${call}: handle`, named)
    const hangs = parent === undefined ? 0 : parentNumber(call, parent)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, `${call}: device`, place.device)
    const value = { index, handle, parent: hangs }
    await socket.request(message('RTM_DELQDISC', RTM_DELQDISC, 0, tcFormat, value))
  }

  async #send(call: string, flags: number, given: QdiscPlace & QdiscOptions): Promise<void> {
    const { device, parent, handle, ...options } = given
    const { kind } = options
    deviceFields(`${call}: device`, device)
    const body = writeKind(kinds, `${call}: options`, options)
    const atIngress = kind === 'ingress' || kind === 'clsact'
    const value = {
      // Where it says nothing else there is one place for these, with this handle.
      parent: parentNumber(call, parent ?? (atIngress ? 'ingress' : 'root')),
      handle:
        handle === undefined
          ? atIngress
            ? 0xffff0000
            : 0
          : parseHandle(`${call}: handle`, handle),
      kind,
      options: body,
    }
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, `${call}: device`, device)
    const request = message('RTM_NEWQDISC', RTM_NEWQDISC, flags, tcFormat, { ...value, index })
    await socket.request(request)
  }
}

function parentNumber(call: string, parent: Handle): number {
  return parent === 'ingress' ? INGRESS : parseHandle(`${call}: parent`, parent)
}
