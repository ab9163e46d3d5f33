import { Duplex } from 'node:stream'
import { invalidOption, native, nativeError } from '../base/index.js'
import { listen, unlisten } from './registry.js'
import { lines, text } from './streams.js'
import { checkTerminalSize, type TerminalSize } from './terminal-size.js'

const EOT = '\x04'
const MOST_A_TURN = 256 * 1024

/**
 * The host's side of a pseudo-terminal, pty(7): what is written is typed in,
 * what is read is what the screen shows. It ends when no process has the
 * terminal open any more. Ending it types an end of file, which programs that
 * read by lines take for one; destroying it hangs up, SIGHUP.
 */
export class Terminal extends Duplex {
  readonly #terminal: number
  /** Somebody wants to read, and there was nothing. */
  #wanted = false
  #unwritten: { bytes: Buffer; done(error?: Error | null): void } | undefined

  /** @internal */
  constructor(fd: number) {
    super({ allowHalfOpen: false })
    this.#terminal = native().openTerminal(fd)
    listen(this.#terminal, () => {
      if (this.#wanted) this._read()
      if (this.#unwritten !== undefined) this.#writeOn()
      this.#hold()
    })
  }

  /** Changes the size of the window; programs hear of it by SIGWINCH. ioctl_tty(2) */
  resize(size: TerminalSize): void {
    const { rows, columns } = checkTerminalSize('resize', size)
    if (this.destroyed) throw invalidOption('resize', 'the terminal is closed')
    try {
      native().resizeTerminal(this.#terminal, rows, columns)
    } catch (error) {
      throw nativeError('resize', error)
    }
  }

  /** The lines, as text in UTF-8, without their ends. */
  lines(): AsyncGenerator<string, void, undefined> {
    return lines(this, /\r?\n/)
  }

  /** All of it, as text in UTF-8. */
  text(): Promise<string> {
    return text(this)
  }

  /** Who waits to read or to write keeps this program alive. */
  #hold(): void {
    if (!this.destroyed)
      native().hold(this.#terminal, this.#wanted || this.#unwritten !== undefined)
  }

  override _read(): void {
    this.#readOn()
    this.#hold()
  }

  #readOn(): void {
    this.#wanted = false
    for (let taken = 0; !this.destroyed; ) {
      // Whoever writes without end must not keep everything else from its turn.
      if (taken > MOST_A_TURN) {
        setImmediate(() => this._read())
        return
      }
      const bytes = native().readTerminal(this.#terminal)
      if (bytes === undefined) {
        this.push(null)
        return
      }
      if (bytes === null) {
        this.#wanted = true
        return
      }
      taken += bytes.length
      if (!this.push(bytes)) return
    }
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#unwritten = { bytes: chunk, done }
    this.#writeOn()
    this.#hold()
  }

  override _final(done: (error?: Error | null) => void): void {
    this._write(Buffer.from(EOT), 'utf8', done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    unlisten(this.#terminal)
    native().closeTerminal(this.#terminal)
    this.#unwritten?.done(error)
    this.#unwritten = undefined
    done(error)
  }

  #writeOn(): void {
    const { bytes, done } = this.#unwritten as { bytes: Buffer; done(): void }
    const count = native().writeTerminal(this.#terminal, bytes)
    if (count >= 0 && count < bytes.length) {
      this.#unwritten = { bytes: bytes.subarray(count), done }
      // What was taken in part may have room again by now, and no news of it come.
      if (count > 0) setImmediate(() => this.#unwritten !== undefined && this.#writeOn())
      return
    }
    this.#unwritten = undefined
    done() // nobody reads: as with a program that has closed its input, it does not matter
  }
}
