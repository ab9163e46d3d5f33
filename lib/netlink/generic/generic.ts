import { CofferdamError, onlyKeys, signalOption, textOption } from '../../base/index.js'
import { type Format, message, type Received } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { Monitor } from '../monitor.js'
import { familyFormat } from './genl-format.js'

/** GENL_ID_CTRL: the family that knows of the others. linux/genetlink.h */
const CONTROL = 16
const GET_FAMILY = 3
const CONTROL_VERSION = 2

/** What an operation of a family takes. */
export type GenericOperationFlag = 'admin' | 'do' | 'dump' | 'policy' | 'namespaceAdmin' | number

/** A family of generic netlink: a subsystem that has no protocol of its own. */
export interface GenericFamily {
  /** The type of its messages; given when the kernel loads it. */
  readonly id: number
  readonly name: string
  readonly version: number
  /** Bytes of the family's own header, behind that of generic netlink. */
  readonly headerSize: number
  readonly mostAttributes: number
  readonly operations: readonly {
    /** The command. */
    readonly id: number
    readonly flags: readonly GenericOperationFlag[]
  }[]
  /** Where it tells of things by itself. */
  readonly groups: readonly { readonly name: string; readonly id: number }[]
}

/** Families of generic netlink. */
export class Generic {
  readonly #connection: Connection
  readonly #known = new Map<string, Promise<GenericFamily>>()

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** All that the kernel has now. Equivalent to: `genl ctrl list` */
  async list(): Promise<GenericFamily[]> {
    const socket = await this.#connection.socket('generic')
    return socket.dump(question(), familyFormat, familyOf)
  }

  /**
   * One of them; the kernel loads its module if need be. Equivalent to: `genl ctrl get name wireguard`
   *
   * @throws CofferdamError `ENOENT` when there is none of this name.
   */
  async family(name: string): Promise<GenericFamily> {
    textOption('generic.family: name', name)
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const asked = this.#ask(name)
    this.#known.set(name, asked)
    asked.catch(() => this.#known.delete(name))
    return asked
  }

  /**
   * Has one request carried out, for messages that nobody has described here.
   *
   * @param family By its name.
   * @param command Number of the operation.
   * @param format Of the request, and of the answer. {@link genericFormat} makes one.
   */
  async request<T extends object>(
    family: string,
    command: number,
    format: Format<T>,
    value: T,
  ): Promise<T[]> {
    const [request, socket] = await this.#message(family, command, format, value)
    return socket.request(request, format)
  }

  /** Asks for a list. */
  async dump<T extends object>(
    family: string,
    command: number,
    format: Format<T>,
    value: T,
  ): Promise<T[]> {
    const [request, socket] = await this.#message(family, command, format, value)
    return socket.dump(request, format)
  }

  /**
   * What a family tells of by itself. Equivalent to: `genl ctrl monitor`, for `nlctrl` and `notify`
   *
   * @throws CofferdamError `ENOENT` when the family has no such group.
   */
  async monitor<T extends object>(
    family: string,
    group: string,
    format: Format<T>,
    options: { signal?: AbortSignal } = {},
  ): Promise<Monitor<T>> {
    onlyKeys('generic.monitor', options, ['signal'])
    const signal = signalOption('generic.monitor: signal', options.signal)
    const { id, groups } = await this.family(family)
    const found = groups.find(({ name }) => name === group)
    if (found === undefined)
      throw new CofferdamError(`${family} has no group ${group}`, { code: 'ENOENT' })
    const read = (bytes: Buffer, { type, start, end }: Received) =>
      type === id ? format.read(bytes, start, end) : undefined
    return new Monitor(await this.#connection.listen('generic', [found.id]), read, signal)
  }

  async #message<T extends object>(name: string, command: number, format: Format<T>, value: T) {
    const { id, version } = await this.family(name)
    const full = { command, version, ...value }
    const request = message(`${name} command ${command}`, id, 0, format, full)
    return [request, await this.#connection.socket('generic')] as const
  }

  async #ask(name: string): Promise<GenericFamily> {
    const socket = await this.#connection.socket('generic')
    const [found] = await socket.request(question(name), familyFormat)
    return familyOf(found ?? {})
  }
}

function question(name?: string) {
  return message('CTRL_CMD_GETFAMILY', CONTROL, 0, familyFormat, {
    command: GET_FAMILY,
    version: CONTROL_VERSION,
    name,
  })
}

function familyOf(found: ReturnType<typeof familyFormat.read>): GenericFamily {
  return {
    id: found.id ?? 0,
    name: found.name ?? '',
    version: found.familyVersion ?? 0,
    headerSize: found.headerSize ?? 0,
    mostAttributes: found.mostAttributes ?? 0,
    operations: (found.operations ?? []).map(({ id = 0, flags = [] }) => ({ id, flags })),
    groups: (found.groups ?? []).map(({ id = 0, name = '' }) => ({ id, name })),
  }
}
