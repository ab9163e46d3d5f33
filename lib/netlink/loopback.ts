import { call, flags, named, O_CLOEXEC, type Operation, slot } from '../plan/index.js'

const AF_INET = named('AF_INET', 2)
const SOCK_DGRAM = named('SOCK_DGRAM', 2)
const SIOCSIFFLAGS = named('SIOCSIFFLAGS', 0x8914)
const IFF_UP = 0x1

/** struct ifreq, netdevice(7). */
function interfaceRequest(name: string, interfaceFlags: number): Uint8Array {
  const bytes = Buffer.alloc(40)
  bytes.write(name, 0, 15)
  bytes.writeInt16LE(interfaceFlags, 16)
  return bytes
}

/**
 * Brings up `lo`, the one device that a new network namespace has, and with it
 * 127.0.0.1 and ::1. An ioctl and not netlink: it is one call instead of a
 * dialogue. netdevice(7). Equivalent to: `ip link set lo up`
 */
export function loopbackUp(): Operation[] {
  const socket = slot('socket')
  return [
    call('socket', [AF_INET, flags(SOCK_DGRAM, named('SOCK_CLOEXEC', O_CLOEXEC.value)), 0], {
      result: socket,
    }),
    call('ioctl', [
      socket,
      SIOCSIFFLAGS,
      { bytes: interfaceRequest('lo', IFF_UP), text: '{"lo", IFF_UP}' },
    ]),
  ]
}
