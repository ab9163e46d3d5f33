import { closeSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CofferdamError, Descriptor, nativeError } from '../../base/index.js'
import { call, flags, hostStep, named, slot } from '../../plan/index.js'
import { runHost } from '../../run/index.js'
import { groupError } from '../files.js'
import { openFile, readNow } from '../open-file.js'
import { counts, type EventSource, type Watcher } from './source.js'
import type { GroupEvent } from './types.js'

const EFD_NONBLOCK = named('EFD_NONBLOCK', 0o4000)
const EFD_CLOEXEC = named('EFD_CLOEXEC', 0o2000000)

/** eventfd(2) */
function eventfd(): Descriptor {
  const result = slot('eventfd')
  const make = hostStep(
    'eventfd',
    call('eventfd2', [0, flags(EFD_NONBLOCK, EFD_CLOEXEC)], { result }),
  )
  try {
    return new Descriptor(runHost(make), 'addon')
  } catch (error) {
    throw nativeError('eventfd', error)
  }
}

/**
 * Version 1 of the memory controller writes to an eventfd what it has to tell, until that is
 * closed; and once more when the group is removed. `cgroup.event_control`,
 * cgroup-v1/memcg_test.rst and memory.rst of the kernel. Undefined where it can't.
 */
function register(folder: string, file: string, how = ''): [Descriptor, number] | undefined {
  const control = join(folder, 'cgroup.event_control')
  const about = openFile(join(folder, file))
  if (about === undefined) return undefined
  let fd: Descriptor | undefined
  try {
    fd = eventfd()
    writeFileSync(control, `${fd.fd} ${about}${how}`)
    return [fd, about]
  } catch (error) {
    fd?.close()
    closeSync(about)
    if (error instanceof CofferdamError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw groupError('write', control, error)
  }
}

const eight = Buffer.alloc(8)

/** How often it was written to since the last time. */
function takeCount(eventfd: number): number {
  try {
    readSync(eventfd, eight, 0, 8, null)
    return Number(eight.readBigUInt64LE())
  } catch {
    return 0 // EAGAIN
  }
}

/** So long after it has said that memory ran out a process may yet be killed for it. */
const UNTIL_KILLED = 1000

/**
 * `memory.oom_control`. The kernel tells of it before it kills, and then of nothing, so for a
 * second it is looked at again and again.
 */
export class LegacyOom implements EventSource {
  readonly #watcher: Watcher
  readonly #watch: number
  readonly #eventfd: number
  readonly #control: number
  #ooms = 0
  #kills: number
  #until = 0

  private constructor(watcher: Watcher, [own, control]: [Descriptor, number]) {
    this.#watcher = watcher
    this.#control = control
    try {
      ;[this.#watch, this.#eventfd] = watcher.watch(own.fd)
    } catch (error) {
      closeSync(control)
      throw error
    } finally {
      own.close()
    }
    this.#kills = this.#count() ?? 0
  }

  static watched(watcher: Watcher, folder: string): LegacyOom | undefined {
    const registered = register(folder, 'memory.oom_control')
    return registered === undefined ? undefined : new LegacyOom(watcher, registered)
  }

  get polled(): boolean {
    return performance.now() < this.#until
  }

  look(): readonly GroupEvent[] | undefined {
    const kills = this.#count()
    if (kills === undefined) return undefined
    const events: GroupEvent[] = []
    const ooms = takeCount(this.#eventfd)
    if (ooms > 0) {
      this.#ooms += ooms
      this.#until = performance.now() + UNTIL_KILLED
      events.push({ type: 'oom', count: ooms, total: this.#ooms })
    }
    if (kills > this.#kills)
      events.push({ type: 'oomKill', count: kills - this.#kills, total: kills })
    this.#kills = kills
    return events
  }

  /** Undefined when the group has been removed. */
  #count(): number | undefined {
    const text = readNow(this.#control)
    return text === undefined ? undefined : (counts(text).get('oom_kill') ?? 0)
  }

  close(): void {
    this.#watcher.unwatch(this.#watch)
    closeSync(this.#control)
  }
}

/** At the limit the kernel may tell thousands of times a second; then it is not asked so long. */
const REST = 100

/**
 * `memory.failcnt`, which the kernel does not tell of, but that it takes something back in this
 * group, as it does at the limit. `memory.pressure_level`
 */
export class LegacyReclaim implements EventSource {
  readonly #watcher: Watcher
  readonly #eventfd: Descriptor
  readonly #level: number
  readonly #failures: number
  #watch: number | undefined
  #restsUntil = 0
  #before: number

  private constructor(watcher: Watcher, registered: [Descriptor, number], failures: number) {
    this.#watcher = watcher
    ;[this.#eventfd, this.#level] = registered
    this.#failures = failures
    try {
      this.#listen()
    } catch (error) {
      this.close()
      throw error
    }
    this.#before = this.#count() ?? 0
  }

  static watched(watcher: Watcher, folder: string): LegacyReclaim | undefined {
    const failures = openFile(join(folder, 'memory.failcnt'))
    if (failures === undefined) return undefined
    let registered: [Descriptor, number] | undefined
    try {
      registered = register(folder, 'memory.pressure_level', ' low,local')
    } finally {
      if (registered === undefined) closeSync(failures)
    }
    return registered && new LegacyReclaim(watcher, registered, failures)
  }

  get polled(): boolean {
    return this.#watch === undefined
  }

  look(): readonly GroupEvent[] | undefined {
    if (this.#watch === undefined && performance.now() >= this.#restsUntil) this.#listen()
    const total = this.#count()
    if (total === undefined) return undefined
    const count = total - this.#before
    this.#before = total
    return count > 0 ? [{ type: 'memoryMax', count, total }] : []
  }

  #count(): number | undefined {
    const text = readNow(this.#failures)
    return text === undefined ? undefined : Number(text)
  }

  #listen(): void {
    let told = 0
    const [watch] = this.#watcher.watch(this.#eventfd.fd, () => {
      // The first time comes from the registration.
      if (told++ === 0) return
      this.#watcher.unwatch(watch)
      this.#watch = undefined
      this.#restsUntil = performance.now() + REST
    })
    this.#watch = watch
  }

  close(): void {
    if (this.#watch !== undefined) this.#watcher.unwatch(this.#watch)
    this.#eventfd.close()
    closeSync(this.#level)
    closeSync(this.#failures)
  }
}
