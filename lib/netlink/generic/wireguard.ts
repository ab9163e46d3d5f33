import { conflict, integerOption, invalidOption, onlyKeys, show } from '../../base/index.js'
import { type Message, message } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { deviceFields } from '../route/devices.js'
import type { Device } from '../route/link-options.js'
import type { Generic } from './generic.js'
import { type WireDevice, type WirePeer, wireguardFormat } from './wireguard-format.js'

const FAMILY = 'wireguard'
const GET_DEVICE = 0
const SET_DEVICE = 1
/** What stands for none: for a private key or a preshared key that is taken away. */
const NO_KEY = Buffer.alloc(32).toString('base64')

/** A peer of a device. Keys are text in base64, as wg(8) shows them. */
export interface WireguardPeer {
  readonly publicKey: string
  /** Undefined for none. */
  readonly presharedKey: string | undefined
  /** `'192.0.2.1:51820'`, `'[2001:db8::1]:51820'`; where it was last heard of. */
  readonly endpoint: string | undefined
  /** Seconds after which something is sent, so that the way stays open; 0: never. */
  readonly keepalive: number
  /** `'10.0.0.0/24'`: what may come from it and goes to it. */
  readonly allowedIps: readonly string[]
  /** Of the last handshake; undefined before the first. */
  readonly lastHandshake: Date | undefined
  readonly rxBytes: bigint
  readonly txBytes: bigint
}

/** A device as it is set. */
export interface WireguardDevice {
  readonly index: number
  readonly name: string
  /** Undefined while there is none. */
  readonly privateKey: string | undefined
  readonly publicKey: string | undefined
  readonly listenPort: number
  /** Mark of what it sends; 0 for none. */
  readonly mark: number
  readonly peers: readonly WireguardPeer[]
}

/** What changes of a peer. What is left out stays. */
export interface WireguardPeerOptions {
  publicKey: string
  /** null: none any more. */
  presharedKey?: string | null
  endpoint?: string
  /** 0 to 65535 seconds. */
  keepalive?: number
  /** They are added, or take the place of those that there are: see `replaceAllowedIps`. */
  allowedIps?: readonly string[]
  /** Default: true if `allowedIps` are given, as wg(8) has it. */
  replaceAllowedIps?: boolean
  /** It is removed, and the rest of this does not count. */
  remove?: boolean
  /** Only when there is such a peer. */
  updateOnly?: boolean
}

/** What changes of a device. What is left out stays. */
export interface WireguardOptions {
  /** null: none any more. */
  privateKey?: string | null
  /** 0: one that is free. */
  listenPort?: number
  mark?: number
  peers?: readonly WireguardPeerOptions[]
  /** Those that are not given are removed. Default: false. */
  replacePeers?: boolean
}

const peerKeys = [
  'publicKey',
  'presharedKey',
  'endpoint',
  'keepalive',
  'allowedIps',
  'replaceAllowedIps',
  'remove',
  'updateOnly',
]

/** Devices of the kind `wireguard`. wg(8) */
export class Wireguard {
  readonly #connection: Connection
  readonly #generic: Generic

  /** @internal */
  constructor(connection: Connection, generic: Generic) {
    this.#connection = connection
    this.#generic = generic
  }

  /**
   * How a device is set, with its peers. Equivalent to: `wg show wg0 dump`
   *
   * @throws CofferdamError `ENODEV`; `EOPNOTSUPP` for one of another kind; `ENOENT` when the kernel has none.
   */
  async get(device: Device): Promise<WireguardDevice> {
    const named = which('wireguard.get', device)
    return together(await this.#generic.dump(FAMILY, GET_DEVICE, wireguardFormat, named))
  }

  /**
   * Changes a device, and peers of it. Equivalent to: `wg set wg0 private-key … peer … allowed-ips …`
   *
   * What does not fit into one message goes in several: then another program may see it half done,
   * and when one fails the first of them stay.
   *
   * ```ts
   * await nl.wireguard.set('wg0', {
   *   privateKey, listenPort: 51820,
   *   peers: [{ publicKey, endpoint: '192.0.2.1:51820', allowedIps: ['10.1.0.0/24'] }],
   * })
   * ```
   *
   * @throws CofferdamError `ERR_INVALID_OPTION` before anything is sent; as get().
   */
  async set(device: Device, options: WireguardOptions): Promise<void> {
    const named = which('wireguard.set', device)
    const values = wireDevices(options)
    // All are written, and so looked at, before the first is sent.
    for (const value of values) write(0, 0, { ...named, ...value })
    const { id, version } = await this.#generic.family(FAMILY)
    const socket = await this.#connection.socket('generic')
    for (const value of values) await socket.request(write(id, version, { ...named, ...value }))
  }
}

function write(id: number, version: number, value: WireDevice): Message {
  const full = { command: SET_DEVICE, version, ...value }
  return message('WG_CMD_SET_DEVICE', id, 0, wireguardFormat, full)
}

function which(call: string, device: Device): WireDevice {
  // The kernel looks for alternative names as well, where they are short enough.
  const { index, name, alternativeName } = deviceFields(`${call}: device`, device)
  return index === undefined ? { name: name ?? alternativeName } : { index }
}

/** So many bytes of peers go in one message: an attribute has 64 KiB, and the kernel's buffers are less. */
const MOST = 16_384
/** Bytes of a peer without what it allows, and of one thing that it allows, at most. */
const PEER_SIZE = 200
const ALLOWED_SIZE = 40

/** What goes into each message. Peers that are too long for one go on in the next. */
export function wireDevices(options: WireguardOptions): WireDevice[] {
  const call = 'wireguard.set'
  onlyKeys(call, options, ['privateKey', 'listenPort', 'mark', 'peers', 'replacePeers'])
  const { privateKey, listenPort, mark, peers = [], replacePeers = false } = options
  if (!Array.isArray(peers)) throw invalidOption(`${call}: peers`, `${show(peers)} is no list`)
  const first: WireDevice = {
    privateKey: privateKey === null ? NO_KEY : privateKey,
    listenPort:
      listenPort === undefined
        ? undefined
        : integerOption(`${call}: listenPort`, listenPort, 0, 65535),
    mark: mark === undefined ? undefined : integerOption(`${call}: mark`, mark, 0, 0xffffffff),
    flags: replacePeers ? ['replacePeers'] : undefined,
  }
  const messages: { peers: WirePeer[] }[] = [{ peers: [] }]
  let left = MOST
  const next = () => {
    messages.push({ peers: [] })
    left = MOST
  }
  for (const [i, peer] of (peers as readonly WireguardPeerOptions[]).entries()) {
    const { allowedIps = [], ...rest } = wirePeer(`${call}: peers.${i}`, peer)
    if (left < PEER_SIZE + ALLOWED_SIZE) next()
    let one: WirePeer = rest
    let from = 0
    do {
      if (from > 0) next()
      const count = Math.floor((left - PEER_SIZE) / ALLOWED_SIZE)
      const allowed = allowedIps.slice(from, from + count)
      from += allowed.length
      left -= PEER_SIZE + allowed.length * ALLOWED_SIZE
      messages.at(-1)?.peers.push(allowed.length === 0 ? one : { ...one, allowedIps: allowed })
      // What it goes on with is added to what there is by then.
      one = { publicKey: rest.publicKey, flags: ['updateOnly'] }
    } while (from < allowedIps.length)
  }
  return messages.map(({ peers }, i) => ({
    ...(i === 0 ? first : {}),
    ...(peers.length === 0 ? {} : { peers }),
  }))
}

function wirePeer(option: string, peer: WireguardPeerOptions): WirePeer {
  onlyKeys(option, peer, peerKeys)
  const { publicKey, presharedKey, endpoint, keepalive, allowedIps, remove, updateOnly } = peer
  if (allowedIps !== undefined && !Array.isArray(allowedIps))
    throw invalidOption(`${option}.allowedIps`, `${show(allowedIps)} is no list`)
  if (typeof publicKey !== 'string') throw invalidOption(`${option}.publicKey`, 'is to be given')
  if (remove === true && Object.keys(peer).some(name => name !== 'publicKey' && name !== 'remove'))
    throw conflict(`${option}.remove`, 'goes with publicKey alone')
  const { replaceAllowedIps = allowedIps !== undefined } = peer
  const flags = [
    ...(remove === true ? (['remove'] as const) : []),
    ...(replaceAllowedIps ? (['replaceAllowedIps'] as const) : []),
    ...(updateOnly === true ? (['updateOnly'] as const) : []),
  ]
  return {
    publicKey,
    presharedKey: presharedKey === null ? NO_KEY : presharedKey,
    flags: flags.length === 0 ? undefined : flags,
    endpoint,
    keepalive:
      keepalive === undefined
        ? undefined
        : integerOption(`${option}.keepalive`, keepalive, 0, 65535),
    allowedIps,
  }
}

/**
 * One device of the messages that tell of it. A peer that does not fit into one goes on in the
 * next, which begins with its key.
 */
export function together(parts: readonly WireDevice[]): WireguardDevice {
  const [head = {}] = parts
  const peers: (WireguardPeer & { allowedIps: string[] })[] = []
  for (const part of parts)
    for (const wire of part.peers ?? []) {
      const last = peers.at(-1)
      if (last !== undefined && last.publicKey === wire.publicKey)
        last.allowedIps.push(...(wire.allowedIps ?? []))
      else peers.push(peerOf(wire))
    }
  return {
    index: head.index ?? 0,
    name: head.name ?? '',
    privateKey: head.privateKey,
    publicKey: head.publicKey,
    listenPort: head.listenPort ?? 0,
    mark: head.mark ?? 0,
    peers,
  }
}

function peerOf(wire: WirePeer): WireguardPeer & { allowedIps: string[] } {
  const { seconds = 0n, nanoseconds = 0n } = wire.handshake ?? {}
  return {
    publicKey: wire.publicKey ?? '',
    presharedKey: wire.presharedKey === NO_KEY ? undefined : wire.presharedKey,
    endpoint: wire.endpoint,
    keepalive: wire.keepalive ?? 0,
    allowedIps: [...(wire.allowedIps ?? [])],
    lastHandshake:
      seconds === 0n ? undefined : new Date(Number(seconds) * 1000 + Number(nanoseconds) / 1e6),
    rxBytes: wire.rxBytes ?? 0n,
    txBytes: wire.txBytes ?? 0n,
  }
}
