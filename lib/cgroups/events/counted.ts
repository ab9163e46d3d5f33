import { closeSync } from 'node:fs'
import { openFile, readNow } from '../open-file.js'
import { counts, type EventSource, type Watcher, watchFile } from './source.js'
import type { CountedEvent, GroupEvent } from './types.js'

/** Makes the event of a key of the file. */
type Told = (count: number, total: number) => GroupEvent

/** Files by their names, without `.local`, and the keys in them. */
export const memoryKeys: Record<string, CountedEvent> = {
  low: 'memoryLow',
  high: 'memoryHigh',
  max: 'memoryMax',
  oom: 'oom',
  oom_kill: 'oomKill',
  oom_group_kill: 'oomGroupKill',
}
export const swapKeys: Record<string, CountedEvent> = {
  high: 'swapHigh',
  max: 'swapMax',
  fail: 'swapFail',
}
export const pidsKeys: Record<string, CountedEvent> = { max: 'pidsMax' }

/** A file as `memory.events`: events that are counted. */
export class CountedEvents implements EventSource {
  readonly #fd: number
  readonly #keys: ReadonlyMap<string, Told>
  readonly #polls: boolean
  #before: Map<string, number>

  private constructor(fd: number, keys: ReadonlyMap<string, Told>, polls: boolean) {
    this.#fd = fd
    this.#keys = keys
    this.#polls = polls
    // Of what happens after this there will be news: it is watched already.
    this.#before = counts(readNow(fd) ?? '')
  }

  /** One that the kernel tells of; undefined when there is no such file. */
  static watched(watcher: Watcher, path: string, keys: ReadonlyMap<string, Told>) {
    const fd = watchFile(watcher, path)
    return fd === undefined ? undefined : new CountedEvents(fd, keys, false)
  }

  /** One that it counts and says nothing. */
  static polled(path: string, keys: ReadonlyMap<string, Told>) {
    const fd = openFile(path)
    return fd === undefined ? undefined : new CountedEvents(fd, keys, true)
  }

  get polled(): boolean {
    return this.#polls
  }

  look(): readonly GroupEvent[] | undefined {
    const text = readNow(this.#fd)
    if (text === undefined) return undefined
    const now = counts(text)
    const events: GroupEvent[] = []
    for (const [key, total] of now) {
      const count = total - (this.#before.get(key) ?? 0)
      const told = this.#keys.get(key)
      if (count > 0 && told !== undefined) events.push(told(count, total))
    }
    this.#before = now
    return events
  }

  close(): void {
    if (this.#polls) closeSync(this.#fd)
  }
}
