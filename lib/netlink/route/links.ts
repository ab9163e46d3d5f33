import { conflict, type Descriptor, flagOption, invalidOption, onlyKeys } from '../../base/index.js'
import { type Message, message, messageFlags } from '../codec/index.js'
import type { Connection } from '../connection.js'
import type { NetlinkSocket } from '../socket.js'
import {
  deletion,
  deviceFields,
  deviceIndex,
  extensions,
  getDevice,
  RTM_GETLINK,
  RTM_NEWLINK,
} from './devices.js'
import { type Link, toLink } from './link.js'
import { bareFormat, type LinkMessage, linkFormat } from './link-format.js'
import { kindData, kindOption, linkKeys, portInfo, settingsMessage } from './link-message.js'
import type {
  CreateLink,
  CreateSettings,
  CreateTun,
  Device,
  LinkFilter,
  SetLink,
} from './link-options.js'
import { createTun, tunErrand, tunKeys } from './tuntap.js'
import { peerOf, peerUp } from './veth-peer.js'

// rtnetlink(7), linux/rtnetlink.h
const RTM_NEWLINKPROP = 108
const RTM_DELLINKPROP = 109

const createKeys = [...linkKeys, 'kind', 'link', 'txQueues', 'rxQueues', 'alternativeNames']
const vethKeys = [...createKeys, 'peer']
/** What the kernel does not take with the message that makes a device. */
const later = ['alias', 'carrier', 'addressGeneration', 'bridgePort', 'bondPort'] as const

function isLater(key: string): boolean {
  return (later as readonly string[]).includes(key)
}

/** The network devices of a namespace. rtnetlink(7), ip-link(8) */
export class Links {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Those that there are, by their numbers. Equivalent to: `ip -d -s link show`
   *
   * @throws CofferdamError `ENODEV` when there is no such master.
   */
  async list(filter: LinkFilter = {}): Promise<Link[]> {
    onlyKeys('filter', filter, ['kind', 'master', 'up', 'statistics'])
    const socket = await this.#connection.socket('route')
    const { kind, up } = filter
    const master =
      filter.master === undefined
        ? undefined
        : await deviceIndex(socket, 'filter.master', filter.master)
    const asked: LinkMessage = {
      master,
      info: kind === undefined ? undefined : { kind },
      extensions,
    }
    const request = message('RTM_GETLINK', RTM_GETLINK, 0, linkFormat, asked, 'filter')
    const format = flagOption('filter.statistics', filter.statistics, true)
      ? linkFormat
      : bareFormat
    return socket.dump(request, format, entry => {
      // A kernel that has not loaded the kind's module gives all.
      if (kind !== undefined && entry.info?.kind !== kind) return undefined
      if (master !== undefined && entry.master !== master) return undefined
      const link = toLink(entry)
      return up === undefined || link.up === up ? link : undefined
    })
  }

  /**
   * One of them. Equivalent to: `ip -d -s link show dev NAME`
   *
   * @throws CofferdamError `ENODEV` when there is none of this name.
   */
  async get(device: Device): Promise<Link> {
    const fields = deviceFields('device', device)
    const socket = await this.#connection.socket('route')
    return toLink(await getDevice(socket, 'device', device, { ...fields, extensions }))
  }

  /**
   * Makes a device, with all that is said of it or not at all. Equivalent to: `ip link add …`,
   * and of tun: `ip tuntap add …`
   *
   * ```ts
   * await nl.links.create({ kind: 'bridge', name: 'br0', up: true, vlanFiltering: true })
   * await nl.links.create({ kind: 'veth', name: 'v0', master: 'br0', peer: { name: 'eth0', netns: { pid } } })
   * await nl.links.create({ kind: 'vlan', name: 'br0.5', link: 'br0', id: 5 })
   * ```
   *
   * @throws CofferdamError `EEXIST` when there is one of this name, `EOPNOTSUPP` when the kernel does
   * not have the kind, `ENODEV` when there is none that an option names; `ERR_CONFLICT` when it is
   * to be in another network namespace and has an option that can be set only in this one.
   */
  async create(options: CreateLink): Promise<void> {
    const opened: Descriptor[] = []
    try {
      if (options?.kind === 'tun') await this.#createTun(options)
      else await this.#create(options, opened)
    } finally {
      for (const descriptor of opened) descriptor.close()
    }
  }

  /**
   * Changes a device; what is not said stays as it is. Equivalent to: `ip link set dev …`
   *
   * With the `kind` it takes what is the kind's own: `set('br0', { kind: 'bridge', stp: true })`.
   * What comes first stays when something else fails, as with `ip`.
   *
   * @throws CofferdamError `ENODEV`; `EBUSY` when it has to be down for that.
   */
  async set(device: Device, options: SetLink): Promise<void> {
    const opened: Descriptor[] = []
    try {
      onlyKeysOf(options)
      const settings = settingsMessage('options', options, opened)
      const socket = await this.#connection.socket('route')
      const messages = await this.#setMessages(socket, device, options, settings)
      await Promise.all(messages.map(one => socket.request(one)))
    } finally {
      for (const descriptor of opened) descriptor.close()
    }
  }

  /**
   * Deletes a device, and with one end of a veth the other. Equivalent to: `ip link delete dev NAME`
   *
   * @throws CofferdamError `ENODEV`; `EOPNOTSUPP` for one that can't be, as `lo`.
   */
  async delete(device: Device): Promise<void> {
    const request = deletion(device)
    const socket = await this.#connection.socket('route')
    await socket.request(request)
  }

  /**
   * Gives a device more names, of up to 127 bytes each, by which it can be called as by its first.
   * Equivalent to: `ip link property add dev NAME altname …`
   *
   * @throws CofferdamError `EEXIST` when one is another device's.
   */
  addAlternativeNames(device: Device, names: readonly string[]): Promise<void> {
    return this.#names('RTM_NEWLINKPROP', RTM_NEWLINKPROP, device, names)
  }

  /** Takes such names away. Equivalent to: `ip link property del dev NAME altname …` */
  deleteAlternativeNames(device: Device, names: readonly string[]): Promise<void> {
    return this.#names('RTM_DELLINKPROP', RTM_DELLINKPROP, device, names)
  }

  async #names(name: string, type: number, device: Device, names: readonly string[]) {
    const request = namesMessage(name, type, device, names)
    const socket = await this.#connection.socket('route')
    await socket.request(request)
  }

  async #create(
    options: Exclude<CreateLink, { kind: 'tun' }>,
    opened: Descriptor[],
  ): Promise<void> {
    onlyKeysOf(options)
    const kind = kindOption('options.kind', options.kind)
    const socket = await this.#connection.socket('route')
    const own = await kindData(
      socket,
      'options',
      kind,
      options as never,
      options.kind === 'veth' ? vethKeys : createKeys,
    )
    const settings: CreateSettings = { ...options }
    for (const key of later) delete settings[key]
    const body = settingsMessage('options', settings, opened) as Writable
    const veth = options.kind === 'veth' ? peerOf(options, opened) : undefined
    body.info = { kind: options.kind, data: veth === undefined ? own : { peer: veth.body } }
    if (options.master != null)
      body.master = await deviceIndex(socket, 'options.master', options.master)
    if (options.link !== undefined)
      body.link = await deviceIndex(socket, 'options.link', options.link)
    const flags = messageFlags.CREATE | messageFlags.EXCLUSIVE
    const request = message('RTM_NEWLINK', RTM_NEWLINK, flags, linkFormat, body, 'options')
    const rest = await this.#restMessages(socket, options)
    await socket.request(request)
    await this.#finish(socket, options.name, rest)
    if (veth?.up !== undefined) await peerUp(socket, veth.up, veth.body)
  }

  async #createTun(options: CreateTun): Promise<void> {
    onlyKeys('options', options, [
      ...linkKeys.filter(key => key !== 'netns'),
      ...tunKeys,
      'kind',
      'alternativeNames',
    ])
    const errand = tunErrand('options', options)
    const socket = await this.#connection.socket('route')
    const rest = await this.#restMessages(socket, options)
    const now = linkKeys.filter(key => key !== 'name' && !isLater(key))
    const settings = Object.fromEntries(now.map(key => [key, options[key as keyof CreateTun]]))
    const others = settingsMessage('options', settings, [])
    const messages = await this.#setMessages(socket, options.name, settings, others)
    await createTun(this.#connection.netns, errand, options.name)
    await this.#finish(socket, options.name, [...messages, ...rest])
  }

  /** What is said to a device after it has been made; made before that, so that bad input makes none. */
  async #restMessages(socket: NetlinkSocket, options: CreateSettings): Promise<Message[]> {
    const { name, netns, alternativeNames } = options
    const said = later.filter(key => options[key] !== undefined)
    const first = said[0] ?? (alternativeNames === undefined ? undefined : 'alternativeNames')
    if (first === undefined) return []
    if (netns !== undefined)
      throw conflict(`options.${first}`, 'can be set only in the network namespace it is then in')
    if (name === undefined) throw conflict(`options.${first}`, 'takes a name as well')
    const settings = Object.fromEntries(said.map(key => [key, options[key]]))
    const body = settingsMessage('options', settings, [])
    const messages = await this.#setMessages(socket, name, settings, body)
    if (alternativeNames !== undefined && alternativeNames.length > 0)
      messages.push(namesMessage('RTM_NEWLINKPROP', RTM_NEWLINKPROP, name, alternativeNames))
    return messages
  }

  /** Says the rest; if that fails the device goes again. */
  async #finish(socket: NetlinkSocket, name: string | undefined, rest: readonly Message[]) {
    if (name === undefined) return
    try {
      for (const one of rest) await socket.request(one)
    } catch (error) {
      await this.delete(name).catch(() => {}) // the first error tells more
      throw error
    }
  }

  async #setMessages(
    socket: NetlinkSocket,
    device: Device,
    options: SetLink,
    settings: LinkMessage,
  ): Promise<Message[]> {
    let which = deviceFields('device', device)
    // A message that has a name besides a number renames the device of this number.
    if (options.name !== undefined) which = { index: await deviceIndex(socket, 'device', device) }
    const body = settings as Writable
    if (options.kind !== undefined) {
      const kind = kindOption('options.kind', options.kind)
      const data = await kindData(socket, 'options', kind, options as never, [...linkKeys, 'kind'])
      body.info = { kind: options.kind, data }
    } else onlyKeys('options', options, [...linkKeys, 'kind'])
    if (options.master === null) body.master = 0
    else if (options.master !== undefined)
      body.master = await deviceIndex(socket, 'options.master', options.master)
    const info = await portInfo(socket, 'options', options)
    const bodies: LinkMessage[] = []
    if (Object.keys(body).length > 0) bodies.push(body)
    if (info !== undefined) bodies.push({ info })
    return bodies.map(one =>
      message('RTM_NEWLINK', RTM_NEWLINK, 0, linkFormat, { ...one, ...which }, 'options'),
    )
  }
}

type Writable = { -readonly [K in keyof LinkMessage]: LinkMessage[K] }

/** Nothing else is looked at before it is known to be an object. */
function onlyKeysOf(options: object): void {
  onlyKeys('options', options, Object.keys(options ?? {}))
}

function namesMessage(
  name: string,
  type: number,
  device: Device,
  alternativeNames: readonly string[],
): Message {
  const fields = deviceFields('device', device)
  if (!Array.isArray(alternativeNames) || alternativeNames.length === 0)
    throw invalidOption('names', 'must be a list of names')
  return message(name, type, 0, linkFormat, { ...fields, alternativeNames })
}
