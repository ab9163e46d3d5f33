import { isIPv4, isIPv6 } from 'node:net'
import { show } from '../../base/index.js'
import {
  attribute,
  attributes,
  type Codec,
  flagSet,
  ip,
  ipBytes,
  ipText,
  list,
  malformed,
  octets,
  s64,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/index.js'
import { genericFormat } from './genl-format.js'

const KEY_SIZE = 32
const rawKey = octets(KEY_SIZE)

/** A key of 32 bytes, as text in base64: what wg(8) shows. */
const key: Codec<string> = {
  read: (bytes, start, end) => Buffer.from(rawKey.read(bytes, start, end)).toString('base64'),
  write(to, value) {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0)
    // The key itself is not repeated in an error.
    if (bytes.length !== KEY_SIZE || bytes.toString('base64') !== value)
      throw to.refuse('is no key: 32 bytes in base64')
    rawKey.write(to, bytes)
  },
}

const AF_INET = 2
const AF_INET6 = 10
/** Length of struct sockaddr_in, and of struct sockaddr_in6. */
const SIZE_4 = 16
const SIZE_6 = 28

/** `'192.0.2.1:51820'`, `'[2001:db8::1]:51820'`, `'[fe80::1%3]:51820'` with the number of a device. */
const endpoint: Codec<string> = {
  read(bytes, start, end) {
    const size = end - start
    const family = size < 2 ? 0 : bytes.readUInt16LE(start)
    if (family === AF_INET && size >= SIZE_4)
      return `${ipText(bytes, start + 4, 4)}:${bytes.readUInt16BE(start + 2)}`
    if (family !== AF_INET6 || size < SIZE_6) throw malformed(`an endpoint of family ${family}`)
    const scope = bytes.readUInt32LE(start + 24)
    const address = `${ipText(bytes, start + 8, 16)}${scope === 0 ? '' : `%${scope}`}`
    return `[${address}]:${bytes.readUInt16BE(start + 2)}`
  },
  write(to, value) {
    const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(`${value}`)
    const [, six, four, portText] = match ?? []
    const [address = '', scope, rest] = (six ?? four ?? '').split('%')
    const port = Number(portText)
    const sound =
      port > 0 &&
      port < 65536 &&
      rest === undefined &&
      (six === undefined
        ? isIPv4(address) && scope === undefined
        : isIPv6(address) && (scope === undefined || /^\d{1,9}$/.test(scope)))
    if (!sound) throw to.refuse(`${show(value)} is no endpoint, as 192.0.2.1:51820`)
    const raw = ipBytes(address)
    const at = to.reserve(raw.length === 4 ? SIZE_4 : SIZE_6)
    to.bytes.writeUInt16LE(raw.length === 4 ? AF_INET : AF_INET6, at)
    to.bytes.writeUInt16BE(port, at + 2)
    to.bytes.set(raw, at + (raw.length === 4 ? 4 : 8))
    if (scope !== undefined) to.bytes.writeUInt32LE(Number(scope), at + 24)
  },
}

const allowedParts = attributes({
  family: attribute('WGALLOWEDIP_A_FAMILY', 1, u16),
  address: attribute('WGALLOWEDIP_A_IPADDR', 2, ip),
  length: attribute('WGALLOWEDIP_A_CIDR_MASK', 3, u8),
})

/** `'10.0.0.0/24'`; without a length all of the address counts. */
const allowedIp: Codec<string> = {
  inside: allowedParts.inside,
  read(bytes, start, end) {
    const { address = '', length = 0 } = allowedParts.read(bytes, start, end)
    return `${address}/${length}`
  },
  write(to, value) {
    const [address = '', length, rest] = `${value}`.split('/')
    const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
    const bits = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : -1
    if (bits < 0 || bits > most || rest !== undefined || address.includes('%'))
      throw to.refuse(`${show(value)} is no prefix, as 10.0.0.0/24`)
    allowedParts.write(to, { family: most === 32 ? AF_INET : AF_INET6, address, length: bits })
  },
}

const peer = attributes({
  publicKey: attribute('WGPEER_A_PUBLIC_KEY', 1, key),
  presharedKey: attribute('WGPEER_A_PRESHARED_KEY', 2, key),
  flags: attribute(
    'WGPEER_A_FLAGS',
    3,
    flagSet({ remove: 1, replaceAllowedIps: 2, updateOnly: 4 }, u32),
  ),
  endpoint: attribute('WGPEER_A_ENDPOINT', 4, endpoint),
  keepalive: attribute('WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL', 5, u16),
  handshake: attribute(
    'WGPEER_A_LAST_HANDSHAKE_TIME',
    6,
    struct({ seconds: s64, nanoseconds: s64 }),
  ),
  rxBytes: attribute('WGPEER_A_RX_BYTES', 7, u64),
  txBytes: attribute('WGPEER_A_TX_BYTES', 8, u64),
  allowedIps: attribute('WGPEER_A_ALLOWEDIPS', 9, list(allowedIp)),
})

/** linux/wireguard.h */
export const wireguardFormat = genericFormat(
  attributes({
    index: attribute('WGDEVICE_A_IFINDEX', 1, u32),
    name: attribute('WGDEVICE_A_IFNAME', 2, text(16)),
    privateKey: attribute('WGDEVICE_A_PRIVATE_KEY', 3, key),
    publicKey: attribute('WGDEVICE_A_PUBLIC_KEY', 4, key),
    flags: attribute('WGDEVICE_A_FLAGS', 5, flagSet({ replacePeers: 1 }, u32)),
    listenPort: attribute('WGDEVICE_A_LISTEN_PORT', 6, u16),
    mark: attribute('WGDEVICE_A_FWMARK', 7, u32),
    peers: attribute('WGDEVICE_A_PEERS', 8, list(peer)),
  }),
)

/** A peer as it stands in a message. */
export type WirePeer = ReturnType<typeof peer.read>
/** A device as it stands in a message. */
export type WireDevice = ReturnType<typeof wireguardFormat.read>
