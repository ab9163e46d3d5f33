import { connect, type Socket } from 'node:net'
import { CofferdamError } from '../../base/index.js'
import { socketPaths } from './address.js'
import {
  decodeMessage,
  encodeMessage,
  LARGEST,
  type Message,
  MessageType,
  messageLength,
} from './message.js'
import { ProtocolError } from './signature.js'

/** An error that the other side has answered. */
export class BusError extends Error {
  constructor(
    /** As `org.freedesktop.systemd1.UnitExists`. */
    readonly errorName: string,
    message: string,
  ) {
    super(message)
  }
}

/** What is called. */
export interface Call {
  destination: string
  path: string
  interface: string
  member: string
  signature?: string
  body?: readonly unknown[]
}

const DBUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
}

/** What is waited for: an answer. */
interface Waiting {
  resolve(body: readonly unknown[]): void
  reject(error: Error): void
}

/**
 * A connection to a message bus, for calls and signals; nothing can be called here. It keeps this
 * program alive until it is closed.
 */
export class Bus {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<(message: Message) => void>()
  #serial = 0
  #received = Buffer.alloc(0)
  /** What of authentication is still to come; afterwards there are messages. */
  #lines: ((line: string) => void) | undefined
  #error: Error | undefined
  #failed: ((error: Error) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', bytes => this.#onData(bytes))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#fail(new ProtocolError('the bus has closed the connection')))
  }

  /**
   * Connects to the first of some addresses that can be reached, and says who this is: the socket
   * tells the user. D-Bus specification, "EXTERNAL"
   *
   * @throws CofferdamError of connect(2); `EACCES` when the bus does not take this user; `EPROTO`.
   */
  static async open(addresses: string): Promise<Bus> {
    let failure: unknown
    for (const path of socketPaths(addresses)) {
      try {
        const bus = new Bus(await connected(path))
        try {
          await bus.#authenticate()
          await bus.call({ ...DBUS, member: 'Hello' })
          return bus
        } catch (error) {
          bus.close()
          throw error
        }
      } catch (error) {
        failure ??= error
      }
    }
    const { code = 'EPROTO', syscall } = (failure ?? { code: 'EINVAL' }) as NodeJS.ErrnoException
    throw new CofferdamError(`no message bus at ${JSON.stringify(addresses)}: ${code}`, {
      code,
      syscall,
      cause: failure,
    })
  }

  /**
   * Calls a method, and gives what it answers.
   *
   * @throws BusError
   */
  call({ signature, body = [], ...call }: Call): Promise<readonly unknown[]> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    const serial = ++this.#serial
    const types = signature === undefined ? {} : { signature }
    const bytes = encodeMessage({ type: MessageType.call, serial, ...call, ...types, body })
    return new Promise((resolve, reject) => {
      this.#waiting.set(serial, { resolve, reject })
      this.#socket.write(bytes)
    })
  }

  /** Has the bus send the signals that a rule is about, as `type='signal',member='JobRemoved'`. */
  async match(rule: string): Promise<void> {
    await this.call({ ...DBUS, member: 'AddMatch', signature: 's', body: [rule] })
  }

  /** Calls `listener` with every signal from now on, until the function that it gives is called. */
  onSignal(listener: (message: Message) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Rejects when the connection fails; for who waits for a signal. */
  failed(): Promise<never> {
    return new Promise((_, reject) => {
      if (this.#error !== undefined) reject(this.#error)
      else this.#failed = reject
    })
  }

  close(): void {
    this.#fail(new ProtocolError('the connection has been closed'))
    this.#socket.destroy()
  }

  async #authenticate(): Promise<void> {
    const answered = new Promise<string>((resolve, reject) => {
      this.#lines = resolve
      this.#waiting.set(0, { resolve: () => undefined, reject })
    })
    const user = Buffer.from(`${process.geteuid?.() ?? 0}`).toString('hex')
    this.#socket.write(`\0AUTH EXTERNAL ${user}\r\n`)
    const answer = await answered
    this.#waiting.delete(0)
    if (!answer.startsWith('OK'))
      throw new CofferdamError(`the bus answers ${JSON.stringify(answer)}`, { code: 'EACCES' })
    this.#lines = undefined
    this.#socket.write('BEGIN\r\n')
  }

  #onData(bytes: Buffer): void {
    if (this.#error !== undefined) return
    this.#received = Buffer.concat([this.#received, bytes])
    try {
      if (this.#lines !== undefined) this.#readLine(this.#lines)
      else this.#readMessages()
    } catch (error) {
      this.#fail(error as Error)
      this.#socket.destroy()
    }
  }

  /** The server says one line, and nothing more until it is told to begin. */
  #readLine(told: (line: string) => void): void {
    const end = this.#received.indexOf('\r\n')
    if (end < 0 && this.#received.length > 4096) throw new ProtocolError('a line has no end')
    if (end < 0) return
    const line = this.#received.toString('latin1', 0, end)
    this.#received = this.#received.subarray(end + 2)
    told(line)
  }

  #readMessages(): void {
    for (;;) {
      const length = messageLength(this.#received)
      if (length === undefined || length > this.#received.length) break
      const message = decodeMessage(this.#received.subarray(0, length))
      this.#received = this.#received.subarray(length)
      this.#onMessage(message)
    }
    // Not so that what has been read holds what has been decoded.
    if (this.#received.length > LARGEST) throw new ProtocolError('too much has come')
  }

  #onMessage(message: Message): void {
    if (message.type === MessageType.signal) {
      for (const listener of this.#listeners) listener(message)
      return
    }
    const serial = message.replySerial ?? 0
    const waiting = this.#waiting.get(serial)
    if (waiting === undefined) return
    this.#waiting.delete(serial)
    if (message.type === MessageType.reply) return waiting.resolve(message.body)
    const { errorName = 'an error without a name', body } = message
    waiting.reject(new BusError(errorName, typeof body[0] === 'string' ? body[0] : errorName))
  }

  #fail(error: Error): void {
    this.#error ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#error)
    this.#waiting.clear()
    this.#failed?.(this.#error)
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}
