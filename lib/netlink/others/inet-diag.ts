import { isIPv4, isIPv6 } from 'node:net'
import { show } from '../../base/index.js'
import {
  attributes,
  be16,
  type FixedCodec,
  format,
  ipBytes,
  ipText,
  struct,
  u8,
  u32,
  u64,
} from '../codec/index.js'

/** States of a connection, by their numbers. net/tcp_states.h */
export const socketStates = {
  established: 1,
  synSent: 2,
  synReceived: 3,
  finWait1: 4,
  finWait2: 5,
  timeWait: 6,
  closed: 7,
  closeWait: 8,
  lastAck: 9,
  listen: 10,
  closing: 11,
  newSynReceived: 12,
} as const

const SIZE = 16

/**
 * 16 bytes with an address; of IPv4 it takes the first four. Which it is stands elsewhere, so that it
 * is read as one of IPv6: {@link shortened}.
 */
const address: FixedCodec<string> = {
  size: SIZE,
  zero: '::',
  at: (bytes, place) => ipText(bytes, place, SIZE),
  put(to, place, value) {
    if (typeof value !== 'string' || !(isIPv4(value) || isIPv6(value)) || value.includes('%'))
      throw to.refuse(`${show(value)} is no address of IPv4 or IPv6`)
    to.bytes.set(ipBytes(value), place)
  },
  read: (bytes, start) => ipText(bytes, start, SIZE),
  write(to, value) {
    this.put(to, to.reserve(SIZE), value)
  },
}

/** Of 16 bytes the address that is meant. */
export function shortened(text: string, four: boolean): string {
  return four ? ipText(ipBytes(text), 0, 4) : text
}

/** struct inet_diag_sockid. linux/inet_diag.h */
const id = {
  localPort: be16,
  remotePort: be16,
  localAddress: address,
  remoteAddress: address,
  device: u32,
  cookie: u64,
} as const

const answer = struct({
  family: u8,
  state: u8,
  timer: u8,
  retransmits: u8,
  ...id,
  expires: u32,
  receiveQueue: u32,
  sendQueue: u32,
  uid: u32,
  inode: u32,
})
export type InetSocketEntry = ReturnType<typeof answer.read>

export const inetFormat = {
  request: format(
    struct({ family: u8, protocol: u8, extensions: u8, pad: 1, states: u32, ...id }),
    attributes({}),
  ),
  answer: format(answer, attributes({})),
}
