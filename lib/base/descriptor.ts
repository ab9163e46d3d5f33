import { closeSync } from 'node:fs'
import { native } from './native.js'

/**
 * An open file that belongs to whoever has this object: `fd` is for node:fs and
 * for other programs' `stdio`, until it is closed. Close-on-exec.
 */
export class Descriptor implements Disposable {
  #fd: number
  readonly #opener: 'node' | 'addon'

  /**
   * @param fd Is this object's from now on.
   * @param opener Who has opened it, and so closes it: in a worker Node closes at
   * the end whatever node:fs has opened and has not closed itself, whoever may have
   * been given that number since. What the addon has opened it does the same for.
   */
  constructor(fd: number, opener: 'node' | 'addon' = 'node') {
    this.#fd = fd
    this.#opener = opener
    if (opener === 'addon') native().keep(fd)
  }

  /** Its number; -1 once it has been closed. */
  get fd(): number {
    return this.#fd
  }

  /** Closes it, if that has not been done. close(2) */
  close(): void {
    const fd = this.#fd
    this.#fd = -1
    if (fd < 0) return
    if (this.#opener === 'addon') native().close(fd)
    else closeSync(fd)
  }

  /** Gives the number away: nobody but the caller closes it then. */
  release(): number {
    const fd = this.#fd
    this.#fd = -1
    if (fd >= 0 && this.#opener === 'addon') native().take(fd)
    return fd
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
