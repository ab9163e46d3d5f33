import { CofferdamError, integerOption, invalidOption, show } from '../../base/index.js'
import { type Message, message } from '../codec/index.js'
import type { NetlinkSocket } from '../socket.js'
import { type LinkMessage, linkFormat, NAME_SIZE } from './link-format.js'
import type { Device } from './link-options.js'

/** Types of messages. rtnetlink(7), linux/rtnetlink.h */
export const RTM_NEWLINK = 16
const RTM_DELLINK = 17
export const RTM_GETLINK = 18
/** Counters of IPv6, of which nothing is read here, are left out. */
export const extensions = ['skipStatistics'] as const
const MOST_INDEX = 0x7fffffff
/** ALTIFNAMSIZ, with its NUL. */
const MOST_NAME = 128

/**
 * What tells the kernel which device is meant.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what is neither a name nor a number.
 */
export function deviceFields(
  option: string,
  device: Device,
): Pick<LinkMessage, 'index' | 'name' | 'alternativeName'> {
  if (typeof device === 'number') return { index: integerOption(option, device, 1, MOST_INDEX) }
  const size = typeof device === 'string' ? Buffer.byteLength(device) : 0
  if (size === 0 || size >= MOST_NAME || device.includes('\0'))
    throw invalidOption(option, `${show(device)} is neither the name of a device nor its number`)
  return size < NAME_SIZE ? { name: device } : { alternativeName: device }
}

/**
 * The number of a device; one that is given as a number is that number.
 *
 * @throws CofferdamError `ENODEV` when there is none of this name.
 */
export async function deviceIndex(
  socket: NetlinkSocket,
  option: string,
  device: Device,
): Promise<number> {
  const fields = deviceFields(option, device)
  if (fields.index !== undefined) return fields.index
  const { index = 0 } = await getDevice(socket, option, device, { ...fields, extensions })
  return index
}

/** As {@link deviceIndex}; undefined for what is left out. */
export async function optionalIndex(
  socket: NetlinkSocket,
  option: string,
  device: Device | undefined,
): Promise<number | undefined> {
  return device === undefined ? undefined : deviceIndex(socket, option, device)
}

/** What the kernel says of one device. */
export async function getDevice(
  socket: NetlinkSocket,
  option: string,
  device: Device,
  asked: LinkMessage,
): Promise<LinkMessage> {
  const request = message('RTM_GETLINK', RTM_GETLINK, 0, linkFormat, asked)
  try {
    const [found] = await socket.request(request, linkFormat)
    return found ?? {}
  } catch (cause) {
    const { code, errno, syscall, operation } = cause as CofferdamError
    if (code !== 'ENODEV') throw cause
    throw new CofferdamError(`${option}: ${code}: there is no device ${show(device)}`, {
      code,
      errno,
      syscall,
      operation,
      option,
      cause,
    })
  }
}

/** What deletes a device. */
export function deletion(device: Device): Message {
  return message('RTM_DELLINK', RTM_DELLINK, 0, linkFormat, deviceFields('device', device))
}
