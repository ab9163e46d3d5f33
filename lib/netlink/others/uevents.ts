import { onlyKeys, signalOption } from '../../base/index.js'
import type { Received } from '../codec/index.js'
import type { Connection } from '../connection.js'
import { Monitor } from '../monitor.js'

/** A device of the machine has come, gone or changed. */
export interface Uevent {
  readonly kind: 'uevent'
  /** `add`, `remove`, `change`, `move`, `online`, `offline`, `bind`, `unbind`. */
  readonly action: string
  /** Of the device below /sys: `/devices/virtual/net/eth0`. */
  readonly path: string
  /** As `net` or `block`. */
  readonly subsystem: string | undefined
  /** The kernel counts its events. */
  readonly sequence: bigint | undefined
  /** All that is told, as `INTERFACE`, `DEVNAME`, `DEVTYPE`. */
  readonly properties: Readonly<Record<string, string>>
}

/** Of the kernel's own, and not what udev makes of them. */
const KERNEL_GROUP = 1

/** See Netlink.uevents(). */
export async function uevents(
  connection: Connection,
  options: { signal?: AbortSignal },
): Promise<Monitor<Uevent>> {
  onlyKeys('uevents', options, ['signal'])
  const signal = signalOption('uevents: signal', options.signal)
  const descriptor = await connection.listen('uevent', [KERNEL_GROUP])
  const read = (bytes: Buffer, { start, end }: Received) =>
    readUevent(bytes.toString('utf8', start, end))
  return new Monitor(descriptor, read, signal, eachUevent)
}

/** `add@/devices/…`: how an event begins. Its properties have names in capital letters. */
const BEGIN = /^([a-z]+)@(.*)$/s

/**
 * Calls `each` for the events that were received one after the other: they have no headers, and
 * consist of texts that end with NUL.
 */
export function eachUevent(bytes: Buffer, each: (received: Received) => void): void {
  let start = 0
  const tell = (end: number) => {
    if (end > start) each({ type: 0, flags: 0, sequence: 0, start, end })
    start = end
  }
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(0, at)
    const end = found < 0 ? bytes.length : found
    const sign = bytes.indexOf('@', at)
    if (sign > at && sign < end && BEGIN.test(bytes.toString('latin1', at, end))) tell(at)
    at = end + 1
  }
  tell(bytes.length)
}

/** Undefined for what is no event. */
export function readUevent(text: string): Uevent | undefined {
  const [first = '', ...lines] = text.split('\0')
  const [, action, path] = BEGIN.exec(first) ?? []
  if (action === undefined || path === undefined) return undefined
  const found = new Map<string, string>()
  for (const line of lines) {
    const at = line.indexOf('=')
    if (at > 0) found.set(line.slice(0, at), line.slice(at + 1))
  }
  const properties = Object.fromEntries(found)
  const subsystem = found.get('SUBSYSTEM')
  const number = found.get('SEQNUM')
  const sequence = number !== undefined && /^\d{1,20}$/.test(number) ? BigInt(number) : undefined
  return { kind: 'uevent', action, path, subsystem, sequence, properties }
}
