import { constants } from 'node:os'
import { CofferdamError, native, nativeError } from '../base/index.js'
import { MAX_LOG_NAME, requests, STREAMS } from '../plan/index.js'

// struct cf_request and struct cf_given of src-native/core/wire.h.
const REQUEST_SIZE = 24 + MAX_LOG_NAME
const ANSWER_TIMEOUT = 1000

/** A file that takes what a stream says, and is exchanged for a new one when it is full. */
export interface LogFile {
  folder: string
  name: string
  /** In bytes, of each file. */
  maxSize: number
  /** With those that have been full. */
  maxFiles: number
}

/** The number under which a keeper holds a terminal; 0 to 2 are the standard streams. */
export const TERMINAL = 3

/**
 * A connection to the keeper of a detached container. Who holds or has asked for
 * its streams has them to itself until the connection is closed.
 */
export class Keeper {
  #connection: number

  /** @throws CofferdamError `ECONNREFUSED` when the keeper has ended. */
  constructor(folder: number) {
    try {
      this.#connection = native().dial(folder, 'keeper')
    } catch (error) {
      throw nativeError('keeper', error)
    }
  }

  /** Has it hold the host's end of a stream, so that it stays open when this program ends. */
  hold(stream: number, descriptor: number): void {
    this.#ask(requests.HOLD, { stream, descriptors: [descriptor] })
  }

  /** Has it close what it holds. */
  letGo(stream: number): void {
    try {
      this.#ask(requests.LET_GO, { stream })
    } catch {
      // It has ended, and so holds nothing.
    }
  }

  /** Has it copy a pipe to a log file. */
  log(pipe: number, folder: number, { name, maxSize, maxFiles }: LogFile): void {
    this.#ask(requests.LOG, { descriptors: [pipe, folder], name, maxSize, maxFiles })
  }

  /**
   * The host's ends of the streams that it holds, by number.
   *
   * @throws CofferdamError `EBUSY` while another program has them.
   */
  give(): Map<number, number> {
    this.#ask(requests.GIVE, {})
    const answer = native().receive(this.#connection, ANSWER_TIMEOUT)
    const error = answer === null ? constants.errno.EAGAIN : answer.bytes.readInt32LE(4)
    if (answer === null || error !== 0)
      throw new CofferdamError('attach: another program has the streams of the container', {
        code: answer === null ? 'ETIMEDOUT' : 'EBUSY',
        hint: 'it lets go of them by main.detach(), or when it ends',
      })
    const set = answer.bytes.readUInt32LE(0)
    const numbers = Array.from({ length: STREAMS }, (_, i) => i).filter(i => (set >> i) & 1)
    return new Map(numbers.map((number, i) => [number, answer.descriptors[i] as number]))
  }

  get open(): boolean {
    return this.#connection >= 0
  }

  close(): void {
    if (this.#connection >= 0) native().close(this.#connection)
    this.#connection = -1
  }

  #ask(type: number, request: Request): void {
    if (this.#connection < 0) return // it has been closed: the keeper knows
    const { stream = 0, name = '', maxSize = 0, maxFiles = 0, descriptors = [] } = request
    const bytes = Buffer.alloc(REQUEST_SIZE)
    bytes.writeUInt32LE(type, 0)
    bytes.writeUInt32LE(stream, 4)
    bytes.writeBigUInt64LE(BigInt(maxSize), 8)
    bytes.writeUInt32LE(maxFiles, 16)
    bytes.write(name, 20)
    try {
      native().send(this.#connection, bytes, descriptors)
    } catch (error) {
      throw nativeError('keeper', error)
    }
  }
}

interface Request {
  stream?: number
  name?: string
  maxSize?: number
  maxFiles?: number
  descriptors?: readonly number[]
}
