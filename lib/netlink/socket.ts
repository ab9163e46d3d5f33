import { CofferdamError, type Descriptor, exchangeKinds, native } from '../base/index.js'
import type { NamespaceReference } from '../namespaces/index.js'
import {
  eachMessage,
  type Format,
  type Message,
  malformed,
  messageFlags,
  type Received,
} from './codec/index.js'
import { failed, failureIn } from './failure.js'
import { openSocketIn, type Protocol } from './protocols.js'

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLMSG_OVERRUN = 4
/** A list comes in parts of so many bytes, and other work is done between them. */
const PART = 1 << 20
/** So often a list is asked for again that has changed while it was given. */
const TRIES = 10
/** So many bytes of requests go to the other thread at once. */
const MOST_TOGETHER = 1 << 20

/** What is asked, and what is done with each message of the answer. */
interface Asked {
  readonly kind: (typeof exchangeKinds)[number]
  readonly messages: readonly Message[]
  /** Number of the first message; they are given when it is sent. */
  first: number
  /** What was listed has changed meanwhile. */
  interrupted: boolean
  take(bytes: Buffer, received: Received): void
  resolve(): void
  reject(error: unknown): void
}

/** Reads a message of an answer; undefined leaves it out. */
type Read<R> = (bytes: Buffer, received: Received) => R | undefined

/**
 * A socket to one subsystem of the kernel, in one network namespace. Any number of requests may
 * be under way: those that are made in the same moment go out together, and each is answered by
 * itself. The kernel carries them out on a thread of the pool, in their order. netlink(7)
 *
 * This is the lower half, for messages that nobody has described here:
 *
 * ```ts
 * await using socket = await netlink.NetlinkSocket.open('route')
 * const links = await socket.dump(netlink.message('RTM_GETLINK', 18, 0, linkFormat, {}), linkFormat)
 * ```
 */
export class NetlinkSocket implements AsyncDisposable {
  readonly #descriptor: Descriptor
  readonly protocol: Protocol
  readonly #queue: Asked[] = []
  #sequence = 1
  /** While something is under way, or about to be. */
  #busy: Promise<void> | undefined
  #closed = false

  /** @param descriptor Is this object's from now on. */
  constructor(descriptor: Descriptor, protocol: Protocol) {
    this.#descriptor = descriptor
    this.protocol = protocol
  }

  /**
   * Opens a socket. socket(2) `AF_NETLINK`
   *
   * @param netns Default: this program's own network namespace. In another one the socket is made
   * by a short-lived process.
   * @throws CofferdamError `EPROTONOSUPPORT` when the kernel does not have the subsystem; as
   * namespaces.open() for a namespace that can't be found, `EPERM` where it may not be entered.
   */
  static async open(protocol: Protocol, netns?: NamespaceReference): Promise<NetlinkSocket> {
    return new NetlinkSocket(await openSocketIn(netns, protocol), protocol)
  }

  /**
   * Has one request carried out, and gives what comes back besides the word that it has been:
   * nothing, or what was asked for.
   *
   * @param answer How to read it; without it what comes is left unread.
   * @throws CofferdamError of the kernel's: `code`, `operation`, and `attribute` if it names one.
   */
  async request<T = never>(message: Message, answer?: Format<T>): Promise<T[]> {
    setFlags(message, messageFlags.ACK)
    const read: Read<T> = (bytes, { start, end }) => answer?.read(bytes, start, end)
    return (await this.#ask('requests', [message], read)).found
  }

  /**
   * Asks for a list. If it changes while the kernel gives it, it is asked for again.
   *
   * @param pick Makes of each entry what is wanted; undefined leaves it out.
   * @throws CofferdamError of the kernel's; `ERR_INTERRUPTED` when it went on to change.
   */
  async dump<T, R = T>(
    message: Message,
    answer: Format<T>,
    pick?: (entry: T, type: number) => R | undefined,
  ): Promise<R[]> {
    setFlags(message, messageFlags.DUMP)
    for (let left = TRIES; left > 0; left--) {
      const { found, interrupted } = await this.#ask<R>('dump', [message], (bytes, received) => {
        const entry = answer.read(bytes, received.start, received.end)
        return pick === undefined ? (entry as unknown as R) : pick(entry, received.type)
      })
      if (!interrupted) return found
    }
    throw new CofferdamError(
      `${message.name}: the list changed while it was read, ${TRIES} times`,
      {
        code: 'ERR_INTERRUPTED',
        operation: message.name,
      },
    )
  }

  /**
   * Sends messages as one that takes effect as a whole or not at all: of nf_tables. The first and
   * the last of them say so. The kernel looks at all of them, and answers those that it refuses.
   *
   * @throws CofferdamError of the first one that the kernel refused: `operation` is its name, the
   * message says which one it was; `EMSGSIZE` when they are more than the socket takes at once.
   */
  async batch(messages: readonly Message[]): Promise<void> {
    await this.#ask('batch', messages, () => undefined)
  }

  /** Closes it when what is under way has been answered. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#busy
    this.#descriptor.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #ask<R>(
    kind: Asked['kind'],
    messages: readonly Message[],
    read: Read<R>,
  ): Promise<{ found: R[]; interrupted: boolean }> {
    return new Promise((resolve, reject) => {
      if (this.#closed)
        throw new CofferdamError('the netlink socket is closed', { code: 'ERR_STATE' })
      const found: R[] = []
      const asked: Asked = {
        kind,
        messages,
        first: 0,
        interrupted: false,
        take(bytes, received) {
          const entry = read(bytes, received)
          if (entry !== undefined) found.push(entry)
        },
        resolve: () => resolve({ found, interrupted: asked.interrupted }),
        reject,
      }
      this.#queue.push(asked)
      this.#busy ??= Promise.resolve().then(() => this.#work())
    })
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const asked = this.#together()
      try {
        await this.#exchange(asked)
      } catch (error) {
        for (const one of asked) one.reject(error)
      }
    }
    this.#busy = undefined
  }

  /** Requests at the head of the queue, as many as there are; or a list, or a batch, alone. */
  #together(): Asked[] {
    const [first] = this.#queue
    if (first?.kind !== 'requests') return this.#queue.splice(0, 1)
    let count = 0
    let size = 0
    for (const { kind, messages } of this.#queue) {
      if (kind !== 'requests' || size > MOST_TOGETHER) break
      for (const { bytes } of messages) size += bytes.length
      count++
    }
    return this.#queue.splice(0, count)
  }

  /** Sends what was asked, and hands out the answers. Each of `asked` is settled when it returns. */
  async #exchange(asked: readonly Asked[]): Promise<void> {
    const first = this.#sequence
    const parts: Buffer[] = []
    for (const one of asked) {
      one.first = this.#sequence
      for (const { bytes } of one.messages) {
        bytes.writeUInt32LE(this.#sequence, 8)
        this.#sequence = (this.#sequence + 1) >>> 0
        parts.push(padded(bytes))
      }
    }
    const count = parts.length
    const open = new Set(asked)
    const [{ kind } = { kind: 'requests' as const }] = asked
    let bytes: Uint8Array = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
    for (;;) {
      const [answers, missing, errno] = await native().netlinkExchange(
        this.#descriptor.fd,
        bytes,
        exchangeKinds.indexOf(kind),
        first,
        (first + count - 1) >>> 0,
        PART,
      )
      eachMessage(answers, received => {
        const place = (received.sequence - first) >>> 0
        const one = place < count ? holder(asked, first, place) : undefined
        if (one !== undefined && open.has(one)) this.#settle(open, one, answers, received)
      })
      if (errno !== 0) {
        for (const one of open) one.reject(failed(one.messages[0]?.name ?? kind, errno))
        return
      }
      if (missing === 0 || kind !== 'dump') break
      bytes = new Uint8Array()
    }
    for (const one of open) one.resolve()
  }

  #settle(open: Set<Asked>, one: Asked, answers: Buffer, received: Received): void {
    const { type, sequence } = received
    try {
      if (type === NLMSG_OVERRUN) throw malformed('data was lost')
      if ((received.flags & messageFlags.DUMP_INTERRUPTED) !== 0 && type !== NLMSG_ERROR)
        one.interrupted = true
      if (type > NLMSG_OVERRUN) one.take(answers, received)
      if (type !== NLMSG_ERROR && type !== NLMSG_DONE) return
      const index = (sequence - one.first) >>> 0
      const message = one.messages[index] as Message
      const place = one.kind === 'batch' ? placeIn(one.messages, index) : undefined
      const failure = failureIn(answers, received, message, place)
      if (failure !== undefined) throw failure
      if (one.kind === 'batch') return
      one.resolve()
    } catch (error) {
      one.reject(error)
    }
    open.delete(one)
  }
}

/** Whose message has the number `first + place`. */
function holder(asked: readonly Asked[], first: number, place: number): Asked | undefined {
  if (asked.length === 1) return asked[0]
  // Of those that go together each has one message.
  const one = asked[place]
  return one !== undefined && one.first === (first + place) >>> 0 ? one : undefined
}

/** Which change it was that was refused; what begins and ends the batch is none. */
function placeIn(messages: readonly Message[], index: number): string | undefined {
  const count = messages.length - 2
  return index > 0 && index <= count ? ` (${index} of ${count})` : undefined
}

function setFlags({ bytes }: Message, flags: number): void {
  bytes.writeUInt16LE(bytes.readUInt16LE(6) | flags, 6)
}

/** Messages stand at multiples of four, and so does what follows the last one. */
function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)])
}
