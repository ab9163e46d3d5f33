import { finished, type Readable } from 'node:stream'
import { CofferdamError, native } from '../base/index.js'
import type { Keeper } from './keeper.js'
import { type SignalName, signalNumber } from './signals.js'
import { InputStream, OutputStream } from './streams.js'
import type { Terminal } from './terminal.js'

/** How a process ended: one of the two is null. */
export interface Exit {
  /** 0 to 255, or null when a signal ended it. */
  exitCode: number | null
  /** As `'SIGKILL'`, or null when it exited by itself. */
  signal: SignalName | null
}

/**
 * A process in a container: its first one, or one that `exec()` has added. A
 * stream is null where it is no pipe.
 *
 * Stream objects are made when they are first asked for, since they are what a
 * start would mostly cost. A pipe that nobody has asked for fills up as any
 * pipe does; what it holds when the process ends is kept.
 */
export class ContainerProcess implements AsyncDisposable {
  /** Its pid as the host sees it. Another's, perhaps, once it has ended. */
  readonly pid: number
  /** Ends of the pipes that have no stream yet, or what was left in them. */
  #pipes: (number | Uint8Array)[]
  readonly #signal: (number: number) => void
  #terminal: Terminal | undefined
  #stdin: InputStream | undefined
  #stdout: OutputStream | undefined
  #stderr: OutputStream | undefined
  /** By which the keeper knows that its streams are this program's for now. */
  #keeper: Keeper | undefined
  #exited: Promise<Exit> | (() => Promise<Exit>)

  /** @internal */
  constructor(
    pid: number,
    exited: Promise<Exit> | (() => Promise<Exit>),
    pipes: [number, number, number],
    signal: (number: number) => void,
    keeper?: Keeper,
  ) {
    this.pid = pid
    this.#exited = exited
    this.#keeper = keeper
    this.#pipes = pipes
    this.#signal = signal
  }

  /**
   * Settles when it has ended, and what is being read of its output has been
   * read; for the latter it waits no longer than a second, since another
   * process may keep a pipe open. Never rejects. Where nobody can know how it
   * ended, both parts of the result are null.
   *
   * A process of an attached container keeps this program alive, as a child
   * process does; one that may outlive it does so only once this has been asked
   * for.
   */
  get exited(): Promise<Exit> {
    if (typeof this.#exited === 'function') this.#exited = this.#exited()
    return this.#exited
  }

  /** Its terminal, if it was started on one. */
  get terminal(): Terminal | null {
    return this.#terminal ?? null
  }

  /**
   * What it reads: a pipe, or its terminal. End it, or the process may wait for
   * more for ever.
   */
  get stdin(): InputStream | Terminal | null {
    if (this.#terminal !== undefined) return this.#terminal
    const pipe = this.#take(0)
    if (pipe !== NONE) {
      this.#stdin = new InputStream(typeof pipe === 'number' ? pipe : null)
      // The keeper's own end would keep the process waiting for more.
      this.#stdin.once('finish', () => this.#keeper?.letGo(0))
    }
    return this.#stdin ?? null
  }

  /** What it writes: a pipe, or its terminal. */
  get stdout(): OutputStream | Terminal | null {
    if (this.#terminal !== undefined) return this.#terminal
    const pipe = this.#take(1)
    if (pipe !== NONE) this.#stdout = new OutputStream(pipe)
    return this.#stdout ?? null
  }

  /** What it writes as errors; null on a terminal, where `stdout` has all. */
  get stderr(): OutputStream | null {
    const pipe = this.#take(2)
    if (pipe !== NONE) this.#stderr = new OutputStream(pipe)
    return this.#stderr ?? null
  }

  /**
   * Sends it a signal. pidfd_send_signal(2)
   *
   * The first process of a PID namespace gets only signals that it has a
   * handler for, and SIGKILL and SIGSTOP (pid_namespaces(7)).
   *
   * @throws CofferdamError `ESRCH` when it has ended, `ERR_INVALID_OPTION` for
   * a signal that there is not.
   */
  async kill(signal: SignalName | number = 'SIGTERM'): Promise<void> {
    this.#signal(signalNumber(signal))
  }

  /**
   * Ends it, if it has not ended, with SIGKILL, and waits for that; what nobody reads of
   * its streams is closed. By hand: `kill()` and `exited`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#signal(signalNumber('SIGKILL'))
    } catch (error) {
      if ((error as CofferdamError).code !== 'ESRCH') throw error
    }
    await this.exited
    this.abandon()
  }

  /**
   * Lets go of the streams of a detached container's process: it goes on, and
   * another program may have them by `box.attach()`, from where they are.
   *
   * @throws CofferdamError `ERR_UNSUPPORTED` when nobody else holds them, so
   * that this would end them.
   */
  detach(): void {
    if (this.#keeper === undefined)
      throw new CofferdamError('detach: nobody else holds the streams of this process', {
        code: 'ERR_UNSUPPORTED',
        hint: "only those of the first process of a container with lifetime 'detached' are held",
      })
    for (let number = 0; number < 3; number++) this.#closePipe(number)
    for (const stream of [this.#stdin, this.#stdout, this.#stderr, this.#terminal])
      stream?.destroy()
    this.#pipes = [NONE, NONE, NONE]
    this.#stdin = this.#stdout = this.#stderr = this.#terminal = undefined
    this.#keeper.close()
  }

  /** @internal */
  giveTerminal(terminal: Terminal): void {
    this.#terminal = terminal
  }

  /** @internal Gives it streams that the keeper has held, or what was left in them. */
  give(pipes: (number | Uint8Array)[], terminal: Terminal | undefined, keeper?: Keeper): void {
    this.#pipes = pipes
    this.#stdin = this.#stdout = this.#stderr = undefined
    this.#terminal = terminal
    this.#keeper = keeper
  }

  /** @internal What it was to read has been read: the keeper need not wait. */
  letGo(): void {
    if (!this.#pipes.some(pipe => typeof pipe === 'number' && pipe >= 0)) this.#keeper?.close()
  }

  /** @internal Whether this program has its streams. */
  get attached(): boolean {
    return this.#keeper?.open === true
  }

  /**
   * @internal After its end: no descriptor is kept for what nobody may ever
   * ask for. A pipe that another process still has open stays. What is being
   * read is to be read to its end before `exited` resolves: the promise of
   * that, if there is any to wait for.
   */
  ended(): Promise<void> | undefined {
    for (let number = 0; number < 3; number++) {
      const pipe = this.#pipes[number]
      if (typeof pipe !== 'number' || pipe < 0) continue
      // Where there is a keeper it may yet be another program that asks for it.
      const most = this.#keeper === undefined ? Number.MAX_SAFE_INTEGER : 0
      if (number > 0) this.#pipes[number] = native().drain(pipe, most) ?? pipe
      if (number === 0) this.#closePipe(0)
    }
    const read = [this.#stdout, this.#stderr, this.#terminal].filter(
      stream =>
        stream !== undefined && !stream.readableEnded && !stream.destroyed && isRead(stream),
    ) as Readable[]
    return read.length === 0 ? undefined : untilEnd(read)
  }

  /**
   * @internal Closes the pipes that nobody has asked for, and the streams that
   * nobody reads; one that is being read ends by itself.
   */
  abandon(): void {
    for (let number = 0; number < 3; number++) this.#closePipe(number)
    this.#keeper?.close()
    this.#stdin?.destroy()
    for (const stream of [this.#stdout, this.#stderr, this.#terminal])
      if (stream !== undefined && !isRead(stream)) stream.destroy()
  }

  /** @internal Whether {@link abandon} would have anything to do. */
  get holds(): boolean {
    if (this.#pipes.some(pipe => typeof pipe === 'number' && pipe >= 0)) return true
    return [this.#stdin, this.#stdout, this.#stderr, this.#terminal].some(
      stream => stream?.closed === false,
    )
  }

  #closePipe(number: number): void {
    const pipe = this.#pipes[number]
    if (typeof pipe !== 'number' || pipe < 0) return
    native().close(pipe)
    this.#pipes[number] = new Uint8Array()
  }

  /** The pipe, the first time. */
  #take(number: 0 | 1 | 2): number | Uint8Array {
    const pipe = this.#pipes[number] as number | Uint8Array
    this.#pipes[number] = NONE
    if (typeof pipe === 'number' && pipe >= 0) native().take(pipe)
    return pipe
  }
}

/** Whether somebody has begun to read it. */
function isRead(stream: Readable): boolean {
  return stream.readableFlowing !== null || stream.listenerCount('readable') > 0
}

const PATIENCE = 1000

/** Until all have ended or been closed, or for a second. */
function untilEnd(streams: readonly Readable[]): Promise<void> {
  return new Promise(resolve => {
    let open = streams.length
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(done, PATIENCE)
    for (const stream of streams)
      finished(stream, { writable: false }, () => {
        if (--open === 0) done()
      })
  })
}

/** No pipe, or one that a stream object has. */
const NONE = -1

/** A process all of whose standard streams are pipes, as they are by default. */
export type PipedProcess = ContainerProcess & {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
}
