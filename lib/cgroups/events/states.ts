import { closeSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openFile, readNow } from '../open-file.js'
import { counts, type EventSource, type Watcher, watchFile } from './source.js'
import type { GroupEvent, StateEvent } from './types.js'

const names = { populated: ['empty', 'populated'], frozen: ['thawed', 'frozen'] } as const

/** `cgroup.events` of version 2, which the kernel tells of. */
export class UnifiedStates implements EventSource {
  readonly polled = false
  readonly #fd: number
  #before: Map<string, number>

  private constructor(fd: number) {
    this.#fd = fd
    this.#before = counts(readNow(fd) ?? '')
  }

  static watched(watcher: Watcher, folder: string): UnifiedStates | undefined {
    const fd = watchFile(watcher, join(folder, 'cgroup.events'))
    return fd === undefined ? undefined : new UnifiedStates(fd)
  }

  look(): readonly GroupEvent[] | undefined {
    const text = readNow(this.#fd)
    if (text === undefined) return undefined
    const now = counts(text)
    const events: GroupEvent[] = []
    for (const key of ['populated', 'frozen'] as const) {
      const [before, after] = [this.#before.get(key), now.get(key)]
      if (before !== after && after !== undefined)
        events.push({ type: names[key][after === 0 ? 0 : 1] })
    }
    this.#before = now
    return events
  }

  // Only an empty group can be removed.
  atEnd(): readonly GroupEvent[] {
    return this.#before.get('populated') === 1 ? [{ type: 'empty' }] : []
  }
}

/** A state that version 1 tells nobody of. */
abstract class LegacyState implements EventSource {
  readonly polled = true
  #before: StateEvent | undefined

  /** Undefined when the group has gone; null when it is between the two. */
  protected abstract now(): StateEvent | null | undefined

  look(): readonly GroupEvent[] | undefined {
    const now = this.now()
    if (now === undefined) return undefined
    const before = this.#before
    if (now === null || now === before) return []
    this.#before = now
    return before === undefined ? [] : [{ type: now }]
  }

  atEnd(): readonly GroupEvent[] {
    return this.#before === 'populated' ? [{ type: 'empty' }] : []
  }
}

/** Whether there are processes in a group of version 1, or below. */
export class LegacyPopulated extends LegacyState {
  readonly #folder: string

  constructor(folder: string) {
    super()
    this.#folder = folder
    this.look()
  }

  protected now(): StateEvent | undefined {
    const populated = hasProcesses(this.#folder)
    return populated === undefined ? undefined : populated ? 'populated' : 'empty'
  }
}

function hasProcesses(folder: string): boolean | undefined {
  const fd = openFile(join(folder, 'cgroup.procs'))
  if (fd === undefined) return undefined
  try {
    const pids = readNow(fd)
    if (pids === undefined) return undefined
    if (pids !== '') return true
  } finally {
    closeSync(fd)
  }
  return entriesOf(folder).some(name => hasProcesses(join(folder, name)) === true)
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap(entry =>
      entry.isDirectory() ? [entry.name] : [],
    )
  } catch {
    return [] // it has just gone
  }
}

/** `freezer.state` of version 1. */
export class LegacyFrozen extends LegacyState {
  readonly #fd: number

  private constructor(fd: number) {
    super()
    this.#fd = fd
    this.look()
  }

  static of(folder: string): LegacyFrozen | undefined {
    const fd = openFile(join(folder, 'freezer.state'))
    return fd === undefined ? undefined : new LegacyFrozen(fd)
  }

  protected now(): StateEvent | null | undefined {
    const state = readNow(this.#fd)?.trim()
    if (state === undefined) return undefined
    return state === 'FROZEN' ? 'frozen' : state === 'THAWED' ? 'thawed' : null
  }

  close(): void {
    closeSync(this.#fd)
  }
}
