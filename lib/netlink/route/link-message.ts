import { conflict, type Descriptor, flagOption, keyOption, onlyKeys } from '../../base/index.js'
import { checkReference, openReference } from '../../namespaces/index.js'
import type { NetlinkSocket } from '../socket.js'
import { deviceIndex } from './devices.js'
import { linkKinds, portKinds } from './kinds/index.js'
import type { Kind } from './kinds/kind.js'
import type { LinkMessage, linkFlags } from './link-format.js'
import type { DeviceSettings, LinkSettings } from './link-options.js'

type Options = Readonly<Record<string, unknown>>

/** Settings that stand in a message as they are given. */
const plain = [
  'name',
  'mtu',
  'address',
  'broadcast',
  'txQueueLength',
  'deviceGroup',
  'gsoMaxSize',
  'gsoMaxSegments',
  'groMaxSize',
  'state',
  'alias',
  'carrier',
  'txQueues',
  'rxQueues',
] as const

const switches: Readonly<Record<string, [flag: keyof typeof linkFlags, inverted: boolean]>> = {
  up: ['up', false],
  arp: ['noarp', true],
  multicast: ['multicast', false],
  allMulticast: ['allMulticast', false],
  promiscuous: ['promiscuous', false],
}

export const deviceKeys: readonly (keyof DeviceSettings)[] = [
  'name',
  'netns',
  'mtu',
  'address',
  'broadcast',
  'txQueueLength',
  'deviceGroup',
  'gsoMaxSize',
  'gsoMaxSegments',
  'groMaxSize',
  'up',
  'arp',
  'multicast',
  'allMulticast',
  'promiscuous',
]
export const linkKeys: readonly (keyof LinkSettings)[] = [
  ...deviceKeys,
  'master',
  'alias',
  'carrier',
  'state',
  'addressGeneration',
  'bridgePort',
  'bondPort',
]

/**
 * Settings as they stand in a message; devices that are named by others are left out.
 *
 * @param opened Where descriptors are put that have to stay open until it has been answered.
 */
export function settingsMessage(
  option: string,
  settings: LinkSettings,
  opened: Descriptor[],
): LinkMessage {
  const source = settings as Options
  const out: Record<string, unknown> = {}
  for (const key of plain) if (source[key] !== undefined) out[key] = source[key]
  const flags: (keyof typeof linkFlags)[] = []
  const change: (keyof typeof linkFlags)[] = []
  for (const [key, [flag, inverted]] of Object.entries(switches)) {
    if (source[key] === undefined) continue
    change.push(flag)
    if (flagOption(`${option}.${key}`, source[key], false) !== inverted) flags.push(flag)
  }
  if (change.length > 0) Object.assign(out, { flags, change })
  const { addressGeneration } = settings
  if (addressGeneration !== undefined) out.families = { ipv6: { addressGeneration } }
  if (source.netns !== undefined) {
    const name = `${option}.netns`
    const descriptor = openReference(name, 'network', checkReference(name, source.netns))
    opened.push(descriptor)
    out.netnsFd = descriptor.fd
  }
  return out as LinkMessage
}

/** The kind of this name, or an error that says which there are. */
export function kindOption(option: string, name: unknown): Kind {
  return linkKinds[keyOption(option, name, linkKinds)] as Kind
}

const writable = new Map<Kind, readonly string[]>()

/** Names of the options that a kind has, besides those that all have. */
function keysOf(kind: Kind): readonly string[] {
  let keys = writable.get(kind)
  if (keys === undefined) {
    keys = kind.data.names.filter(name => !kind.readOnly.includes(name))
    writable.set(kind, keys)
  }
  return keys
}

/**
 * What a kind has of these options as it is written, or undefined when there is nothing. Devices
 * are looked up. Options that neither `common` nor the kind has are refused.
 */
export async function kindData(
  socket: NetlinkSocket,
  option: string,
  kind: Kind,
  options: Options,
  common: readonly string[],
): Promise<Record<string, unknown> | undefined> {
  const keys = keysOf(kind)
  onlyKeys(option, options, [...common, ...keys])
  const own: Record<string, unknown> = {}
  let count = 0
  for (const key of keys) {
    if (options[key] === undefined || common.includes(key)) continue
    own[key] = options[key]
    count++
  }
  if (count === 0) return undefined
  for (const key of kind.devices)
    if (own[key] !== undefined)
      own[key] = await deviceIndex(socket, `${option}.${key}`, own[key] as string)
  return kind.toData(own)
}

/** What a device is to be as a port of its master. */
export async function portInfo(
  socket: NetlinkSocket,
  option: string,
  { bridgePort, bondPort }: LinkSettings,
): Promise<LinkMessage['info']> {
  if (bridgePort !== undefined && bondPort !== undefined)
    throw conflict(`${option}.bondPort`, 'it is either a port of a bridge or of a bond')
  const [portKind, given] = bridgePort === undefined ? ['bond', bondPort] : ['bridge', bridgePort]
  if (given === undefined) return undefined
  const kind = portKinds[portKind] as Kind
  const portData = await kindData(socket, `${option}.${portKind}Port`, kind, given as Options, [])
  return { portKind, portData: portData ?? {} }
}
