import { native } from '../base/index.js'
import type { SignalName } from './signals.js'
import { InputStream, OutputStream } from './streams.js'

/** How a process ended: one of the two is null. */
export interface Exit {
  /** 0 to 255, or null when a signal ended it. */
  exitCode: number | null
  /** As `'SIGKILL'`, or null when it exited by itself. */
  signal: SignalName | null
}

/**
 * The first process of a container. A stream is null where it is no pipe.
 *
 * Stream objects are made when they are first asked for, since they are what a
 * start would mostly cost. A pipe that nobody asks for fills up as any pipe
 * does, and goes with the container's `delete()`.
 */
export class MainProcess {
  /** Its pid as the host sees it. */
  readonly pid: number
  /** Settles when it has ended. Never rejects. */
  readonly exited: Promise<Exit>
  readonly #pipes: [number, number, number]
  #stdin: InputStream | undefined
  #stdout: OutputStream | undefined
  #stderr: OutputStream | undefined

  /** @internal */
  constructor(pid: number, exited: Promise<Exit>, pipes: [number, number, number]) {
    this.pid = pid
    this.exited = exited
    this.#pipes = pipes
  }

  /** What it reads. End it, or the process may wait for more for ever. */
  get stdin(): InputStream | null {
    const fd = this.#take(0)
    if (fd !== undefined) this.#stdin = new InputStream(fd)
    return this.#stdin ?? null
  }

  get stdout(): OutputStream | null {
    const fd = this.#take(1)
    if (fd !== undefined) this.#stdout = new OutputStream(fd)
    return this.#stdout ?? null
  }

  get stderr(): OutputStream | null {
    const fd = this.#take(2)
    if (fd !== undefined) this.#stderr = new OutputStream(fd)
    return this.#stderr ?? null
  }

  /**
   * @internal Closes the pipes that nobody has asked for, and the streams that
   * nobody reads; one that is being read ends by itself.
   */
  abandon(): void {
    this.#pipes.forEach((fd, number) => {
      if (fd < 0) return
      native().close(fd)
      this.#pipes[number] = CLOSED
    })
    this.#stdin?.destroy()
    for (const stream of [this.#stdout, this.#stderr])
      if (stream?.readableFlowing === null && stream.listenerCount('readable') === 0)
        stream.destroy()
  }

  /** The pipe's descriptor, the first time. */
  #take(number: 0 | 1 | 2): number | undefined {
    const fd = this.#pipes[number]
    if (fd === NONE) return undefined
    this.#pipes[number] = NONE
    if (fd >= 0) native().take(fd)
    return fd
  }
}

/** No pipe, or one that a stream object has. */
const NONE = -1
/** A pipe that was closed before anybody asked for it. */
const CLOSED = -2

/** A process all of whose standard streams are pipes, as they are by default. */
export type PipedProcess = MainProcess & {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
}
