import { readSync } from 'node:fs'
import { CofferdamError, errnoName, native } from '../base/index.js'
import { unshare } from '../namespaces/index.js'
import { loopbackUp } from '../netlink/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  named,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import type { Group, Trial } from './trial.js'

// netlink(7), rtnetlink(7). One message, whose answer the host reads: no
// dialogue, so nothing of a netlink library is needed.

const AF_NETLINK = named('AF_NETLINK', 16)
const SOCK_RAW = named('SOCK_RAW', 3)
const NETLINK_ROUTE = named('NETLINK_ROUTE', 0)
const NETLINK_NETFILTER = named('NETLINK_NETFILTER', 12)
const REQUEST_ACK_CREATE = 0x1 | 0x4 | 0x400
const RTM_NEWLINK = 16

/** Pads to four bytes. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}

function attribute(type: number, ...values: Buffer[]): Buffer {
  const value = Buffer.concat(values)
  const head = Buffer.alloc(4)
  head.writeUInt16LE(4 + value.length, 0)
  head.writeUInt16LE(type, 2)
  return padded(Buffer.concat([head, value]))
}

function message(type: number, messageFlags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(16)
  head.writeUInt32LE(16 + body.length, 0)
  head.writeUInt16LE(type, 4)
  head.writeUInt16LE(messageFlags, 6)
  return Buffer.concat([head, body])
}

const text = (value: string) => Buffer.from(`${value}\0`)
const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer)
const u16 = (value: number) => Buffer.from(Uint16Array.of(value).buffer)

/** Sends `bytes`, and throws the error that the answer carries. */
function request(protocol: typeof NETLINK_ROUTE, bytes: Buffer, what: string): Step[] {
  const socket = slot('netlink')
  const kind = flags(
    SOCK_RAW,
    named('SOCK_CLOEXEC', O_CLOEXEC.value),
    named('SOCK_NONBLOCK', O_NONBLOCK.value),
  )
  return [
    step(
      what,
      call('socket', [AF_NETLINK, kind, protocol], { result: socket }),
      call('write', [socket, { bytes, text: `{${what}}` }, bytes.length]),
    ),
    {
      side: 'waiting',
      name: what,
      send: socket,
      run: ({ descriptor }) => readAnswer(descriptor, what),
    },
  ]
}

/** The first message that comes back is a struct nlmsgerr. */
function readAnswer(descriptor: number, what: string): void {
  const answer = Buffer.alloc(4096)
  try {
    readSync(descriptor, answer)
  } finally {
    native().close(descriptor)
  }
  const errno = -answer.readInt32LE(16)
  const code = errnoName(errno)
  if (errno !== 0)
    throw new CofferdamError(`${what}: ${code}`, {
      code,
      errno,
      syscall: 'sendto',
      operation: what,
    })
}

const PARENT = 100 // index of the link that others are made on

/** Equivalent to: `ip link add x type KIND` */
function newLink(
  kind: string,
  options: { on?: number; index?: number; data?: Buffer } = {},
): Step[] {
  const { on, index = 0, data } = options
  const head = Buffer.alloc(16) // struct ifinfomsg
  head.writeInt32LE(index, 4)
  const bytes = message(
    RTM_NEWLINK,
    REQUEST_ACK_CREATE,
    head,
    attribute(3, text(index === 0 ? 'x' : 'parent')), // IFLA_IFNAME
    ...(on === undefined ? [] : [attribute(5, u32(on))]), // IFLA_LINK
    attribute(
      18, // IFLA_LINKINFO
      attribute(1, text(kind)), // IFLA_INFO_KIND
      ...(data === undefined ? [] : [attribute(2, data)]), // IFLA_INFO_DATA
    ),
  )
  return request(NETLINK_ROUTE, bytes, `RTM_NEWLINK ${kind}`)
}

/** Equivalent to: `nft add table ip x` */
function newTable(): Step[] {
  const NFNL_SUBSYS_NFTABLES = 10
  const general = (family: number, resource: number) =>
    Buffer.from([family, 0, resource >> 8, resource])
  const bytes = Buffer.concat([
    message(0x10, 0x1, general(0, NFNL_SUBSYS_NFTABLES)), // NFNL_MSG_BATCH_BEGIN
    message(
      NFNL_SUBSYS_NFTABLES << 8, // NFT_MSG_NEWTABLE
      REQUEST_ACK_CREATE,
      general(2, 0), // NFPROTO_IPV4
      attribute(1, text('x')), // NFTA_TABLE_NAME
    ),
    message(0x11, 0x1, general(0, NFNL_SUBSYS_NFTABLES)), // NFNL_MSG_BATCH_END
  ])
  return request(NETLINK_NETFILTER, bytes, 'NFT_MSG_NEWTABLE')
}

/** Equivalent to: `ip tuntap add mode tun` */
function newTun(): Step {
  const device = slot('tun')
  const bytes = Buffer.alloc(40) // struct ifreq
  bytes.write('x', 0)
  bytes.writeUInt16LE(0x1001, 16) // IFF_TUN|IFF_NO_PI
  return step(
    'tun',
    call('openat', [AT_FDCWD, '/dev/net/tun', flags(O_RDWR, O_CLOEXEC)], { result: device }),
    call('ioctl', [device, named('TUNSETIFF', 0x400454ca), { bytes, text: '{"x", IFF_TUN}' }]),
  )
}

/** What networks are made of, each in a new network namespace. */
export function network(): Group {
  const alone = unshare(['network'])
  const parent = newLink('veth', { index: PARENT })
  const link = (kind: string, ...steps: Step[]): Trial => ({
    name: kind,
    try: [alone, ...steps],
    // What failed may be the link that it was to be made on.
    remedy: ({ operation }) => {
      const missing = /^RTM_NEWLINK (.*)/.exec(operation ?? '')?.[1] ?? kind
      return `modprobe ${missing === 'vlan' ? '8021q' : missing}, if this kernel has it`
    },
  })
  return {
    group: 'network',
    trials: [
      { name: 'loopback', try: [alone, step('loopback', ...loopbackUp())] },
      link('veth', ...newLink('veth')),
      link('bridge', ...newLink('bridge')),
      link('macvlan', ...parent, ...newLink('macvlan', { on: PARENT })),
      link('ipvlan', ...parent, ...newLink('ipvlan', { on: PARENT })),
      link('vlan', ...parent, ...newLink('vlan', { on: PARENT, data: attribute(1, u16(7)) })),
      link('vxlan', ...newLink('vxlan', { data: attribute(1, u32(7)) })),
      link('dummy', ...newLink('dummy')),
      link('wireguard', ...newLink('wireguard')),
      {
        name: 'tun',
        try: [alone, newTun()],
        remedy: 'modprobe tun; and /dev/net/tun must be there, and permitted to this user',
      },
      {
        name: 'nf_tables',
        try: [alone, ...newTable()],
        remedy: 'modprobe nf_tables, if this kernel has it',
      },
    ],
  }
}
