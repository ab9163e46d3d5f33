import { native, nativeError } from '../base/index.js'
import { listen, unlisten } from './registry.js'

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void
  reject(error: unknown): void
}

const LONG = 2 ** 31 - 1

/**
 * Tells of changes one by one, to who waits for them; it ends without an error when it is
 * closed. Who extends this says what is watched, and in `look()` what has changed since that
 * was last asked: it is asked when somebody wants to know, and not before. Who waits keeps
 * this program alive, and nothing else of it.
 */
export abstract class Changes<T> implements AsyncIterableIterator<T>, Disposable {
  readonly #signal: AbortSignal | undefined
  readonly #watches = new Set<number>()
  readonly #found: T[] = []
  readonly #waiters: Waiter<T>[] = []
  readonly #abort = () => this.close()
  /** The kernel has said something since the last look. */
  #stale = false
  #waits = false
  #alive: NodeJS.Timeout | undefined
  #ended = false
  #closed = false

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
  }

  /** What has changed since the last look, in its order. */
  protected abstract look(): readonly T[]

  protected get waits(): boolean {
    return this.#waits
  }

  /** Whether somebody waits has changed. */
  protected waiting(_waits: boolean): void {}

  /** Takes back what `watch()` did not do. Called once. */
  protected closing(): void {}

  /** From now on the signal can end it: the last of what a constructor does. */
  protected begin(): void {
    if (this.#signal?.aborted) this.close()
    else this.#signal?.addEventListener('abort', this.#abort)
  }

  /**
   * Looks whenever the kernel says that this file has changed; `told` is called before that.
   * The first time is soon, whether or not it has changed.
   *
   * @param fd Stays the caller's.
   * @returns The watch, and a descriptor to read the file by while it is watched.
   */
  protected watch(fd: number, told?: () => void): [watch: number, fd: number] {
    let watched: [number, number]
    try {
      watched = native().watch(fd)
    } catch (error) {
      throw nativeError('watch', error)
    }
    const [watch] = watched
    this.#watches.add(watch)
    if (this.#waits) native().hold(watch, true)
    listen(watch, () => {
      told?.()
      this.stale()
    })
    return watched
  }

  protected unwatch(watch: number): void {
    if (!this.#watches.delete(watch)) return
    unlisten(watch)
    native().unwatch(watch)
  }

  /** Something may have changed. */
  protected stale(): void {
    this.#stale = true
    this.#settle()
  }

  /** After what this look has found no more will come. */
  protected end(): void {
    this.#ended = true
  }

  /** Looks at once, so that what would be overlooked later is told of. */
  protected lookNow(): void {
    if (this.#closed || this.#ended) return
    this.#look()
    this.#settle()
  }

  /** The next change; waits for one if need be. */
  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#settle()
    })
  }

  /** Ends it: who waits is told that there is no more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const watch of this.#watches) this.unwatch(watch)
    clearInterval(this.#alive)
    this.closing()
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#found.length = 0
    this.#settle()
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.close()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Gives to those who wait what there is. */
  #settle(): void {
    while (this.#waiters.length > 0) {
      if (this.#found.length === 0 && this.#stale && !this.#closed && !this.#ended) this.#look()
      const found = this.#found.shift()
      if (found !== undefined) this.#waiters.shift()?.resolve({ done: false, value: found })
      else if (this.#closed || this.#ended)
        this.#waiters.shift()?.resolve({ done: true, value: undefined })
      else break
    }
    if (this.#ended && this.#found.length === 0) this.close()
    const waits = this.#waiters.length > 0
    if (this.#closed || waits === this.#waits) return
    this.#waits = waits
    for (const watch of this.#watches) native().hold(watch, waits)
    clearInterval(this.#alive)
    // What is told of otherwise, as by node:fs, keeps no program alive by itself.
    if (waits && this.#watches.size === 0) this.#alive = setInterval(() => {}, LONG)
    this.waiting(waits)
  }

  #look(): void {
    this.#stale = false
    try {
      this.#found.push(...this.look())
    } catch (error) {
      this.#waiters.shift()?.reject(error)
      this.close()
    }
  }
}
