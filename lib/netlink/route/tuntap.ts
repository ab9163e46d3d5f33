import { CofferdamError, flagOption, idOption, invalidOption, show } from '../../base/index.js'
import { call, flags, named, O_CLOEXEC, type Operation, slot } from '../../plan/index.js'
import type { Errand } from '../../run/index.js'
import { runInNetns } from '../protocols.js'
import { NAME_SIZE } from './link-format.js'
import type { CreateTun } from './link-options.js'

// linux/if_tun.h
const TUNSETIFF = named('TUNSETIFF', 0x400454ca)
const TUNSETPERSIST = named('TUNSETPERSIST', 0x400454cb)
const TUNSETOWNER = named('TUNSETOWNER', 0x400454cc)
const TUNSETGROUP = named('TUNSETGROUP', 0x400454ce)
const types = { tun: 0x1, tap: 0x2 } as const
const IFF_MULTI_QUEUE = 0x100
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
/** Fails with `EBUSY` when there is one, instead of opening it. */
const IFF_TUN_EXCL = 0x8000
const AT_FDCWD = named('AT_FDCWD', -100)
const O_RDWR = named('O_RDWR', 2)
/** sizeof(struct ifreq) */
const REQUEST_SIZE = 40

/** Names of the options that only tun and tap have. */
export const tunKeys = [
  'type',
  'owner',
  'group',
  'packetInformation',
  'virtioHeader',
  'multiQueue',
] as const

/** Checks the options of {@link tunKeys}, and the name; gives what makes the device. */
export function tunErrand(option: string, options: CreateTun): Errand<unknown> {
  const { name, type, owner, group } = options
  const size = typeof name === 'string' ? Buffer.byteLength(name) : 0
  if (size === 0 || size >= NAME_SIZE || name.includes('\0'))
    throw invalidOption(`${option}.name`, `${show(name)} is no name of a device`)
  if (!Object.hasOwn(types, type))
    throw invalidOption(`${option}.type`, `${show(type)} is none; tun and tap are`)
  const flag = (key: 'packetInformation' | 'virtioHeader' | 'multiQueue', bit: number) =>
    flagOption(`${option}.${key}`, options[key], false) ? bit : 0
  const bits =
    types[type] |
    (IFF_NO_PI ^ flag('packetInformation', IFF_NO_PI)) |
    flag('virtioHeader', IFF_VNET_HDR) |
    flag('multiQueue', IFF_MULTI_QUEUE) |
    IFF_TUN_EXCL
  const bytes = Buffer.alloc(REQUEST_SIZE)
  bytes.write(name, 0)
  bytes.writeUInt16LE(bits, NAME_SIZE)
  const device = slot('tun')
  const operations: Operation[] = [
    call('openat', [AT_FDCWD, '/dev/net/tun', flags(O_RDWR, named('O_CLOEXEC', O_CLOEXEC.value))], {
      result: device,
    }),
    call('ioctl', [device, TUNSETIFF, { bytes, text: `{"${name}", 0x${bits.toString(16)}}` }]),
  ]
  if (owner !== undefined)
    operations.push(call('ioctl', [device, TUNSETOWNER, idOption(`${option}.owner`, owner)]))
  if (group !== undefined)
    operations.push(call('ioctl', [device, TUNSETGROUP, idOption(`${option}.group`, group)]))
  operations.push(call('ioctl', [device, TUNSETPERSIST, 1]))
  // What comes back is closed: the device stays by itself from now on.
  return { name: 'tun', operations, result: device, take: descriptor => descriptor.close() }
}

/**
 * Makes a device of tun or tap, which is not done by rtnetlink: ioctl(2) of `/dev/net/tun`, in the
 * network namespace, by a short-lived process.
 */
export async function createTun(
  netns: { fd: number } | undefined,
  errand: Errand<unknown>,
  name: string,
): Promise<void> {
  try {
    await runInNetns(netns, errand)
  } catch (cause) {
    if ((cause as CofferdamError).code !== 'EBUSY') throw cause
    throw new CofferdamError(`ioctl TUNSETIFF: EEXIST: there is a device ${name}`, {
      code: 'EEXIST',
      syscall: 'ioctl',
      operation: 'TUNSETIFF',
      cause,
    })
  }
}
