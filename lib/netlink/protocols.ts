import { Descriptor, nativeError } from '../base/index.js'
import { type NamespaceReference, ownerOf, run, same } from '../namespaces/index.js'
import { call, hostStep, named, O_CLOEXEC, type Operation, slot } from '../plan/index.js'
import { type Errand, runHost } from '../run/index.js'

/** The subsystem of the kernel that a socket speaks to. netlink(7) */
export type Protocol = 'route' | 'sockDiag' | 'connector' | 'netfilter' | 'uevent' | 'generic'

/** linux/netlink.h */
const protocols: Record<Protocol, number> = {
  route: 0,
  sockDiag: 4,
  connector: 11,
  netfilter: 12,
  uevent: 15,
  generic: 16,
}

const AF_NETLINK = named('AF_NETLINK', 16)
const SOCK_RAW = named('SOCK_RAW|SOCK_CLOEXEC|SOCK_NONBLOCK', 3 | Number(O_CLOEXEC.value) | 0x800)
const SOL_NETLINK = named('SOL_NETLINK', 270)
const ADD_MEMBERSHIP = named('NETLINK_ADD_MEMBERSHIP', 1)
const CAP_ACK = named('NETLINK_CAP_ACK', 10)
const EXT_ACK = named('NETLINK_EXT_ACK', 11)
const STRICT = named('NETLINK_GET_STRICT_CHK', 12)
const SOL_SOCKET = named('SOL_SOCKET', 1)
const SO_RCVBUF = named('SO_RCVBUF', 8)
const SO_RCVBUFFORCE = named('SO_RCVBUFFORCE', 33)

function int(value: number) {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return { bytes, text: `[${value}]` }
}

/**
 * Makes a socket and tells the kernel how it is to speak: with extended errors, which do not
 * repeat the request; and to refuse what it does not know in a request for a list. Older
 * kernels know not all of it, which does no harm.
 *
 * @param groups Of whose messages it gets a copy of each, by their numbers.
 * @param room Bytes of such messages that it keeps until they are taken.
 */
function socketErrand(
  protocol: Protocol,
  groups: readonly number[],
  room: number,
): Errand<Descriptor> {
  const result = slot('netlink')
  const set = (option: typeof CAP_ACK, value: number) =>
    call('setsockopt', [result, SOL_NETLINK, option, int(value), 4], { tolerate: ['ENOPROTOOPT'] })
  const operations: Operation[] = [
    call('socket', [AF_NETLINK, SOCK_RAW, protocols[protocol]], { result }),
    set(EXT_ACK, 1),
    set(CAP_ACK, 1),
    ...(protocol === 'route' ? [set(STRICT, 1)] : []),
    ...(groups.length > 0 ? listening(result, groups, room) : []),
  ]
  return { name: 'netlink socket', operations, result, take: descriptor => descriptor }
}

/** struct sockaddr_nl: an address that the kernel chooses, which is what a socket needs to hear anything. */
const anyAddress = {
  bytes: Buffer.from([16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  text: '{AF_NETLINK}',
}

/** As much as who may not ask for more gets: of a socket that others write to at their own pace. */
const ROOM = 4 << 20

function listening(
  result: ReturnType<typeof slot>,
  groups: readonly number[],
  room: number,
): Operation[] {
  return [
    call('bind', [result, anyAddress, anyAddress.bytes.length]),
    call('setsockopt', [result, SOL_SOCKET, SO_RCVBUF, int(room), 4]),
    call('setsockopt', [result, SOL_SOCKET, SO_RCVBUFFORCE, int(room), 4], { tolerate: ['EPERM'] }),
    ...groups.map(group =>
      call('setsockopt', [result, SOL_NETLINK, ADD_MEMBERSHIP, int(group), 4]),
    ),
  ]
}

/**
 * A socket in a network namespace, which it goes on to belong to: made by a short-lived process,
 * so that no thread of this program goes there. Of a namespace whose user namespace is another
 * than this program's that process enters both.
 */
export async function openSocketIn(
  netns: NamespaceReference | undefined,
  protocol: Protocol,
  groups: readonly number[] = [],
  room = ROOM,
): Promise<Descriptor> {
  const errand = socketErrand(protocol, groups, room)
  if (netns === undefined || same('network', netns)) {
    try {
      return new Descriptor(runHost(hostStep(errand.name, ...errand.operations)), 'addon')
    } catch (error) {
      throw nativeError('netlink socket', error)
    }
  }
  return runInNetns(netns, errand)
}

/** Has something done in a network namespace, and in the user namespace that it belongs to. */
export async function runInNetns<T>(
  netns: NamespaceReference | undefined,
  errand: Errand<T>,
): Promise<T> {
  if (netns === undefined || same('network', netns)) return run({}, errand)
  using owner = ownerOf('network', netns)
  const user = owner === undefined || same('user', owner) ? {} : { user: owner }
  return run({ network: netns, ...user }, errand)
}
