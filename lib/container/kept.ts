import { type FSWatcher, watch } from 'node:fs'
import { constants } from 'node:os'
import {
  conflict,
  identify,
  isAlive,
  native,
  nativeError,
  type ProcessIdentity,
} from '../base/index.js'
import { type Exit, Keeper, listen, signalName, unlisten } from '../run/index.js'
import type { Configuration, Lifetime } from './configuration.js'
import { type HookLists, hasFunctionHooks } from './hooks.js'
import type { StateFolder } from './state.js'

/** Which processes a container consists of, as far as the host is concerned. */
interface ProcessFacts {
  init: ProcessIdentity
  /** None of a released container. */
  keeper: ProcessIdentity | undefined
}

/** What is known of a container's first process from just before it is sent. */
export interface StartFacts {
  /** Milliseconds since 1970. */
  startedAt: number
  argv: readonly string[] | undefined
}

/** How long a keeper mostly takes to end after its container, and some more; in ms. */
const SOON = 20

/**
 * A container that may outlive the program that made it, as its state folder and
 * the kernel have it. Several programs can have one each of the same container.
 */
export class Kept {
  readonly folder: StateFolder
  readonly #lifetime: Lifetime
  #processes: ProcessFacts | undefined
  /** Of one that this program has made. */
  #keeper: ProcessIdentity | undefined

  constructor(folder: StateFolder, { lifetime }: Configuration) {
    this.folder = folder
    this.#lifetime = lifetime
  }

  /** The program that made it. */
  get maker(): ProcessIdentity {
    return this.folder.facts().maker
  }

  /** Whether its streams are held, and its end written down. */
  get hasKeeper(): boolean {
    return this.#lifetime === 'detached'
  }

  /** Which process it is or was, if it came so far. */
  get init(): ProcessIdentity | undefined {
    return this.#consists()?.init
  }

  /** Its first process, if it has been sent one. */
  get started(): StartFacts | undefined {
    return this.folder.read<StartFacts>('started.json')
  }

  /** Pid of init, as long as it is that. */
  get pid(): number | undefined {
    const { init } = this
    return init !== undefined && isAlive(init) ? init.pid : undefined
  }

  /** Where it stands, by what the kernel says. */
  get status(): 'creating' | 'created' | 'running' | 'stopped' | 'deleted' {
    if (!this.folder.exists) return 'deleted'
    const facts = this.#consists()
    if (this.#lifetime === 'attached') return isAlive(this.maker) ? 'running' : 'stopped'
    if (facts === undefined) return isAlive(this.maker) ? 'creating' : 'stopped'
    if (!isAlive(facts.init)) return 'stopped'
    if (this.#isParked()) return 'created'
    if (this.started !== undefined) return 'running'
    return 'creating'
  }

  /** The keeper has been made; init is its child, or has gone on in another one. */
  keptBy(keeper: number, pid: number): void {
    // By what it is, now that it is there: its pid alone may be another's later.
    this.#keeper ??= identify(keeper)
    this.record(pid)
  }

  /** Writes down which process init is, which waits for that in the end. */
  record(pid: number): void {
    if (this.#processes?.init.pid === pid || !this.folder.isNamed) return
    const init = identify(pid)
    if (init === undefined) return // it has ended, which is told in another way
    this.#processes = { init, keeper: this.#keeper }
    this.folder.writeOnce('processes.json', this.#processes)
  }

  /** Its first process is about to be sent. */
  recordStart(argv: readonly string[] | undefined): void {
    const facts: StartFacts = { startedAt: Date.now(), argv }
    this.folder.writeOnce('started.json', facts)
  }

  /** It could not be executed. */
  forgetStart(): void {
    this.folder.forget('started.json')
  }

  /**
   * How it ended, and when in milliseconds since 1970, as its keeper wrote it
   * down; undefined before that, and when the keeper was killed.
   */
  get end(): { exit: Exit; finishedAt: number } | undefined {
    const [how, number, seconds, milliseconds] =
      this.folder.bytes('exit')?.toString().trim().split(' ') ?? []
    if (!how) return undefined // it is being written
    const exit: Exit =
      how === 'exited'
        ? { exitCode: Number(number), signal: null }
        : { exitCode: null, signal: signalName(Number(number)) }
    return { exit, finishedAt: Number(seconds) * 1000 + Number(milliseconds) }
  }

  /** How it ended, once the keeper has written it down; `exit` if there is none who does. */
  async ending(exit: Exit): Promise<Exit> {
    if (!this.hasKeeper) return exit
    // Mostly it ends at once, of which the kernel tells without further ado.
    if (this.end === undefined) {
      const keeperEnded = this.keeperEnd(false)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, SOON)
        void keeperEnded.then(() => {
          clearTimeout(timer)
          resolve()
        })
      })
      if (this.end === undefined) await this.#written(keeperEnded)
    }
    return this.end?.exit ?? exit
  }

  /** Resolves when the keeper has written down the end, or can't any more. */
  async #written(keeperEnded: Promise<void>): Promise<void> {
    let watcher: FSWatcher
    try {
      watcher = watch(this.folder.path)
    } catch {
      return // it has been deleted
    }
    await new Promise<void>(resolve => {
      const done = () => {
        watcher.close()
        resolve()
      }
      watcher.on('change', () => this.end !== undefined && done()).on('error', done)
      void keeperEnded.then(done)
      if (this.end !== undefined) done() // before there was anybody to watch
    })
  }

  /**
   * Resolves when the keeper has ended. It does so after its container, as soon as
   * nobody is left to read what that has written; with `kill` at once.
   */
  async keeperEnd(kill: boolean): Promise<void> {
    const keeper = this.#keeper ?? this.#consists()?.keeper
    if (keeper === undefined) return
    await new Promise<void>(resolve => {
      try {
        const handle = native().adopt(keeper.pid, keeper.startTime, keeper.number)
        listen(handle, () => {
          unlisten(handle)
          resolve()
        })
        if (!kill) return
        native().hold(handle, true)
        native().signal(handle, constants.signals.SIGKILL)
      } catch {
        resolve() // it has ended
      }
    })
  }

  /** A connection to its keeper. */
  connect(): Keeper {
    return this.folder.use(descriptor => new Keeper(descriptor))
  }

  /** What is left of a stream that nobody had read when the container ended. */
  rest(stream: number): Uint8Array {
    return this.folder.bytes(`${stream}`) ?? new Uint8Array()
  }

  #consists(): ProcessFacts | undefined {
    this.#processes ??= this.folder.read<ProcessFacts>('processes.json')
    return this.#processes
  }

  /** An init that is parked listens for whoever comes. */
  #isParked(): boolean {
    try {
      this.folder.use(descriptor => native().close(native().dial(descriptor, 'start')))
      return true
    } catch (error) {
      const { code } = nativeError('start', error) as { code?: string }
      if (code === 'EAGAIN') return true // so many have come already
      if (code === 'ECONNREFUSED' || code === 'ENOENT') return false
      throw error
    }
  }
}

/** The hooks that are for programs to come. */
const laterHooks = ['startContainer', 'poststart', 'poststop'] as const

/** Refuses what only this program could do later on. */
export function checkKept(configuration: Configuration): void {
  const { lifetime, steps } = configuration
  if (lifetime === 'attached') return
  const later = steps.find(
    ({ step, placement }) =>
      placement.half === 'process' || (step.side === 'waiting' && step.undo !== undefined),
  )
  const what =
    later !== undefined
      ? `step ${later.step.name}`
      : hasFunctionHooks(configuration, laterHooks)
        ? 'a function among the hooks'
        : undefined
  if (what !== undefined)
    throw conflict('create.lifetime', `${what} would be wanted when this program may have ended`)
}

/** What of a configuration is for programs to come: plain data. */
export function storable(configuration: Configuration): Configuration {
  const { hooks } = configuration
  if (hooks === undefined) return { ...configuration, steps: [] }
  const later: HookLists = {}
  for (const point of laterHooks)
    later[point] = (hooks[point] ?? []).filter(hook => typeof hook !== 'function')
  return { ...configuration, steps: [], hooks: later }
}
