import { onlyKeys } from '../../base/index.js'
import { message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceFields, deviceIndex } from '../route/devices.js'
import type { Device } from '../route/link-options.js'
import { type Handle, handleText, parseHandle } from './handles.js'
import { type HtbClassOptions, htbClass } from './htb.js'
import { readKind, writeKind } from './kind.js'
import { statisticsOf, type TrafficStatistics, tcFormat } from './tc-format.js'

const RTM_NEWTCLASS = 40
const RTM_DELTCLASS = 41
const RTM_GETTCLASS = 42

/** A kind of class, and how it is set. */
export type ClassOptions = HtbClassOptions

const kinds = { htb: htbClass }

/** Which class. */
export interface ClassPlace {
  /** Name or number of the device. */
  device: Device
  /** `'1:10'` */
  handle: Handle
}

/** A class of a qdisc. */
export interface TrafficClass {
  readonly index: number
  readonly kind: string
  readonly handle: Handle
  /** The class above it, or `root` for one right below its qdisc. */
  readonly parent: Handle
  /** Handle of the qdisc that hangs from it; undefined for none of its own. */
  readonly leaf: Handle | undefined
  /** How it is set; undefined for kinds that are not described here. */
  readonly options: ClassOptions | undefined
  readonly statistics: TrafficStatistics
}

/** Classes of qdiscs that have such. tc(8) */
export class Classes {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** All classes of a device. Equivalent to: `tc -s class show dev eth0` */
  async list(filter: { device: Device }): Promise<TrafficClass[]> {
    onlyKeys('classes.list', filter, ['device'])
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'classes.list: device', filter.device)
    const request = message('RTM_GETTCLASS', RTM_GETTCLASS, 0, tcFormat, { index })
    return socket.dump(request, tcFormat, found => ({
      index: found.index ?? 0,
      kind: found.kind ?? '',
      handle: handleText(found.handle ?? 0),
      parent: handleText(found.parent ?? 0),
      leaf: found.info === undefined || found.info === 0 ? undefined : handleText(found.info),
      options: readKind<ClassOptions>(kinds, found.kind ?? '', found.options),
      statistics: statisticsOf(found.statistics),
    }))
  }

  /**
   * Makes one. Equivalent to: `tc class add dev eth0 parent 1: classid 1:10 htb rate 10mbit ceil 20mbit`
   *
   * ```ts
   * await nl.classes.create({ device: 'eth0', parent: '1:', handle: '1:10', kind: 'htb', rate: '10mbit', ceil: '20mbit' })
   * ```
   *
   * @throws CofferdamError `EEXIST`; `ENOENT` without such a qdisc.
   */
  create(options: ClassPlace & { parent: Handle } & ClassOptions): Promise<void> {
    const { CREATE, EXCLUSIVE } = messageFlags
    return this.#send('classes.create', CREATE | EXCLUSIVE, options)
  }

  /** Makes one, or sets the one that there is. Equivalent to: `tc class replace …` */
  replace(options: ClassPlace & { parent: Handle } & ClassOptions): Promise<void> {
    return this.#send('classes.replace', messageFlags.CREATE | messageFlags.REPLACE, options)
  }

  /** Sets one that there is. Equivalent to: `tc class change …` */
  set(options: ClassPlace & { parent?: Handle } & ClassOptions): Promise<void> {
    return this.#send('classes.set', 0, options)
  }

  /**
   * Deletes one. Equivalent to: `tc class del dev eth0 classid 1:10`
   *
   * @throws CofferdamError `ENOENT`; `EBUSY` while filters or classes need it.
   */
  async delete(place: ClassPlace): Promise<void> {
    onlyKeys('classes.delete', place, ['device', 'handle'])
    const handle = parseHandle('classes.delete: handle', place.handle)
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, 'classes.delete: device', place.device)
    const value = { index, handle }
    await socket.request(message('RTM_DELTCLASS', RTM_DELTCLASS, 0, tcFormat, value))
  }

  async #send(
    call: string,
    flags: number,
    given: ClassPlace & { parent?: Handle } & ClassOptions,
  ): Promise<void> {
    const { device, parent, handle, ...options } = given
    deviceFields(`${call}: device`, device)
    const value = {
      kind: options.kind,
      options: writeKind(kinds, `${call}: options`, options),
      handle: parseHandle(`${call}: handle`, handle),
      parent: parent === undefined ? 0 : parseHandle(`${call}: parent`, parent),
    }
    const socket = await this.#connection.socket('route')
    const index = await deviceIndex(socket, `${call}: device`, device)
    const request = message('RTM_NEWTCLASS', RTM_NEWTCLASS, flags, tcFormat, { ...value, index })
    await socket.request(request)
  }
}
