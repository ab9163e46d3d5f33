import type { Readable } from 'node:stream'
import {
  CofferdamError,
  conflict,
  type Duration,
  flagOption,
  native,
  onlyKeys,
  parseDuration,
} from '../base/index.js'
import { type NamespaceKind, pathOf } from '../namespaces/index.js'
import type { EncodedPlan, HostContext, Operation, WaitingStep } from '../plan/index.js'
import { findUser, isNamed, type ProcessOptions, processKey } from '../process/index.js'
import { isolates } from './compose.js'
import type { Configuration } from './configuration.js'
import { readInside, signalOthers } from './errand.js'
import { archive, extract, type FileOptions, type FileOwner } from './files.js'
import { HookRunner } from './hook-runner.js'
import { hookPointOf } from './hooks.js'
import { Init } from './init.js'
import { Journal } from './journal.js'
import {
  explain,
  hostnameOf,
  type Prepared,
  prepareExec,
  prepareProcess,
  specify,
} from './prepare.js'
import type { ContainerProcess, Exit, PipedProcess } from './process.js'
import { descendants, type ProcessInfo, processesOfNamespace } from './processes.js'
import { type SignalName, signalNumber } from './signals.js'
import { stateFolder } from './state.js'
import { type ParsedStdio, parseStdio, type Stdio } from './stdio.js'
import { removeLeftTargets, targetEntries, targetsAreLeft } from './targets.js'

/** What {@link Box.start} and {@link Box.exec} take besides the program and its arguments. */
export interface StartOptions extends ProcessOptions {
  /** Where the standard streams go. Default: `'pipe'`. */
  stdio?: Stdio
}

/** A step that failed and was left out, as the caller had allowed. */
export interface Omission {
  step: string
  error: CofferdamError
}

/**
 * Where a container stands: `creating` until it is parked, `created` until its
 * first process is sent, `starting` until that has been executed, `running`
 * until it ends, `stopped` until `delete()`.
 */
export type Status = 'creating' | 'created' | 'starting' | 'running' | 'stopped' | 'deleted'

/** A container that has been made. Comes from the builder's `create()`. */
export class Box implements AsyncDisposable {
  readonly id: string
  /** Steps marked as optional that this machine could not carry out. */
  readonly omitted: Omission[] = []
  /** What went wrong and did not matter to the caller's own: `poststop` hooks that failed. */
  readonly warnings: CofferdamError[] = []
  readonly #configuration: Configuration
  readonly #prepared: Prepared
  readonly #journal: Journal
  readonly #init: Init
  /** Undefined when it has none. */
  readonly #hooks: HookRunner | undefined
  /** Hooks run before the first process is sent. */
  #starting = false
  #main: ContainerProcess | undefined
  /** The inits of {@link exec} that have not ended. */
  readonly #others = new Set<Init>()
  /** Its processes, as long as they may hold descriptors. */
  readonly #processes = new Set<ContainerProcess>()
  /** The host function that is under way, if any. */
  #hostStep: Promise<void> | undefined
  #deleting: Promise<void> | undefined
  #deleted = false

  private constructor(id: string, configuration: Configuration, prepared: Prepared) {
    this.id = id
    this.#configuration = configuration
    this.#prepared = prepared
    this.#journal = new Journal(id)
    this.#init = new Init(`container ${id}`, {
      texts: plan => this.#texts(plan),
      waiting: (step, pid, descriptor) => {
        this.#hostStep = this.#runHostStep(step, pid, descriptor)
        return this.#hostStep
      },
      making: operation => this.#beforeMaking(operation),
      omitted: error => void this.omitted.push({ step: error.step ?? '', error }),
    })
    if (configuration.hooks !== undefined)
      this.#hooks = new HookRunner({
        id,
        configuration,
        prepared,
        init: this.#init,
        stateFolder: `${stateFolder()}/${id}`,
      })
  }

  /** @internal What the builder's `create()` does. */
  static async create(
    id: string,
    configuration: Configuration,
    prepared: Prepared,
    signal: AbortSignal | undefined,
  ): Promise<Box> {
    if (!native().claim(id))
      throw new CofferdamError(`there is already a container named ${id}`, {
        code: 'EEXIST',
        option: 'id',
      })
    const box = new Box(id, configuration, prepared)
    const abort = () => box.#init.fail(asError(signal?.reason))
    try {
      const parked = box.#init.launch(prepared)
      signal?.addEventListener('abort', abort)
      await parked
      box.#hooks?.made()
      return box
    } catch (error) {
      // Nobody gets this container, so nobody could delete it.
      await box.#takeBack().catch(undoError => {
        throw withUndo(error as Error, undoError)
      })
      if (box.warnings.length > 0) throw withUndo(error as Error, box.warnings[0])
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /**
   * Pid of its first process as the host sees it; init's, until that is
   * started. None once it has ended, since the number may be another's then.
   */
  get pid(): number | undefined {
    return this.#init.pid
  }

  /** Its first process, once started. */
  get main(): ContainerProcess | undefined {
    return this.#main
  }

  get status(): Status {
    if (this.#deleted) return 'deleted'
    const { status } = this.#init
    if (status === 'parked' && this.#starting) return 'starting'
    return status === 'parked' ? 'created' : status === 'ended' ? 'stopped' : status
  }

  /** The plan, printed: every step and system call in order, on both sides. */
  explain(): string {
    return explain(this.#configuration, this.#prepared)
  }

  /**
   * Runs a program as the container's first process. Without `argv` it is the
   * one that the builder's `process()` named. Settles when the program has
   * been executed. execve(2)
   *
   * @throws CofferdamError `ENOENT` when the program is missing, `EACCES` when
   * it may not be executed; `ERR_STATE` when the container is not parked. After
   * a failure that is not about the options the container is stopped.
   */
  start(
    argv?: readonly string[],
    options?: StartOptions & { stdio?: 'pipe' },
  ): Promise<PipedProcess>
  start(argv?: readonly string[], options?: StartOptions): Promise<ContainerProcess>
  async start(argv?: readonly string[], options: StartOptions = {}): Promise<ContainerProcess> {
    onlyKeys('start', options, startOptions)
    this.#mustBe('created', 'start')
    let [plan, wanted] = this.#prepareStart(argv, options)
    const resolved = await this.#lookUp(options)
    this.#mustBe('created', 'start') // still
    if (resolved !== options) [plan, wanted] = this.#prepareStart(argv, resolved)
    if (this.#hooks?.has('startContainer')) {
      await this.#runStartHooks('startContainer', this.pid)
      this.#starting = false
      this.#mustBe('created', 'start') // still
    }
    this.#main = await this.#init.start(plan, wanted)
    if (this.#hooks?.has('poststart')) await this.#runStartHooks('poststart', this.#main.pid)
    return this.#main
  }

  /**
   * Runs one more program in the running container: in all its namespaces,
   * with defaults and limits as the first has them, and a user, environment,
   * directory and streams of its own. Settles when the program has been
   * executed. setns(2). Equivalent to: `docker exec`
   *
   * It ends with the container: when the container has a PID namespace the
   * kernel sees to it that it does not outlive the first process, otherwise
   * `delete()` does.
   *
   * @throws CofferdamError as {@link start}; `ERR_STATE` when the container is
   * not running, `ESRCH` when it has ended meanwhile.
   */
  exec(argv: readonly string[], options?: StartOptions & { stdio?: 'pipe' }): Promise<PipedProcess>
  exec(argv: readonly string[], options?: StartOptions): Promise<ContainerProcess>
  async exec(argv: readonly string[], options: StartOptions = {}): Promise<ContainerProcess> {
    onlyKeys('exec', options, execOptions)
    this.#mustBe('running', 'exec')
    const alone = { ...options, init: false }
    let [plan, wanted] = this.#prepareStart(argv, alone)
    const resolved = await this.#lookUp(alone)
    this.#mustBe('running', 'exec') // still
    if (resolved !== alone) [plan, wanted] = this.#prepareStart(argv, resolved)
    const init = new Init(`a process of container ${this.id}`, {
      texts: encoded => this.#texts(encoded),
      waiting: (step, pid, descriptor) => this.#runHostStep(step, pid, descriptor),
      making: () => undefined,
      omitted: error => void this.omitted.push({ step: error.step ?? '', error }),
    })
    this.#others.add(init)
    void init.end().then(() => this.#others.delete(init))
    await init.launch(prepareExec(this.#configuration, this.#prepared), this.#init)
    let process: ContainerProcess
    try {
      process = await init.start(plan, wanted)
    } catch (error) {
      init.kill() // parked still, if the fault was on this side
      await init.end()
      throw error
    }
    for (const other of this.#processes) if (!other.holds) this.#processes.delete(other)
    if (process.holds) this.#processes.add(process)
    return process
  }

  /**
   * Sends a signal to the first process; see {@link ContainerProcess.kill}. One
   * that is parked gets none but SIGKILL. With `all`, to every process of the
   * container, the first one last.
   *
   * @throws CofferdamError `ESRCH` when it has ended, `ERR_INVALID_OPTION` for
   * a signal that there is not, `ERR_UNSUPPORTED` for all of a container that
   * has no PID namespace, and so nothing to know its processes by.
   */
  async kill(
    signal: SignalName | number = 'SIGTERM',
    options: { all?: boolean } = {},
  ): Promise<void> {
    onlyKeys('kill', options, ['all'])
    const number = signalNumber(signal)
    if (flagOption('kill.all', options.all, false)) {
      if (!isolates(this.#configuration, 'pid'))
        throw new CofferdamError('kill.all: the container has no PID namespace of its own', {
          code: 'ERR_UNSUPPORTED',
          option: 'kill.all',
          hint: "isolate('pid'), or signal each process that exec() gave",
        })
      if (this.status === 'running') await signalOthers(this.#init, number)
    }
    this.#init.signal(number)
  }

  /**
   * Asks the first process to end, and after a time ends it, with SIGKILL. Gives
   * how it has ended. Equivalent to: `docker stop`
   *
   * @param options `signal` to ask with, default: `'SIGTERM'`; `timeout` until
   * the end, default: 10 s.
   */
  async stop(options: { signal?: SignalName | number; timeout?: Duration } = {}): Promise<Exit> {
    onlyKeys('stop', options, ['signal', 'timeout'])
    const number = signalNumber(options.signal ?? 'SIGTERM')
    const timeout = parseDuration('stop.timeout', options.timeout ?? '10s')
    if (this.status === 'running') {
      const timer = setTimeout(() => this.#init.kill(), timeout)
      try {
        this.#init.signal(number)
        await this.#init.end()
      } finally {
        clearTimeout(timer)
      }
    } else if (this.#init.status !== 'ended') {
      this.#init.kill()
      await this.#init.end()
    }
    return (await this.#main?.exited) ?? { exitCode: null, signal: 'SIGKILL' }
  }

  /**
   * The processes of the container, with their pids inside and outside. Reads
   * `/proc`. Without a PID namespace: those that `start()` and `exec()` gave,
   * and their descendants. Equivalent to: `docker top`
   */
  async processes(): Promise<ProcessInfo[]> {
    const inits = [this.#init, ...this.#others]
    const pids = inits.flatMap(init => init.pid ?? [])
    if (!isolates(this.#configuration, 'pid')) return descendants(pids)
    return this.pid === undefined ? [] : processesOfNamespace(this.pid)
  }

  /**
   * The file or directory tree at `path` as a tar archive, a stream that reads
   * no faster than it is read. Its names begin with the last part of the path;
   * of `/x/.` with `.`, and then it is what `/x` holds. A symbolic link at the
   * end is archived as one, unless the path goes on with `/`. Equivalent to:
   * `docker cp CONTAINER:PATH -`
   *
   * Owners are as the container has them. Sockets, extended attributes, names
   * in no UTF-8 (`EILSEQ`) and what proc, sysfs and their like hold have no
   * place in it. Files may change meanwhile: each is as long as it was when its
   * turn came.
   *
   * Also of a stopped container, as long as its files are not in memory; what
   * `mount()` brought is not there then. Nothing in the container can make it
   * read what is outside: links are followed within the container's root.
   *
   * @param path Absolute, without `..`.
   * @throws CofferdamError for wrong options. The stream's errors are such too:
   * `ENOENT` and the like; `ERR_STATE` when there are no files any more.
   */
  archive(path: string, options: FileOptions = {}): Readable {
    return archive(this.#files(), path, options)
  }

  /**
   * Unpacks a tar archive, gzipped or not, into the directory at `path`, which must
   * exist. Resolves when all is there. Equivalent to: `docker cp - CONTAINER:PATH`
   *
   * Files and links that are there already are replaced, directories stay.
   * Owners and modes, set-user-ID among them, are as the archive has them, by
   * number and as the container knows them. Names with `..`, devices, FIFOs and
   * what else is neither file, directory nor link are refused; what came before
   * stays.
   *
   * Nothing outside the container's root can be reached, whatever the archive
   * says and whatever programs in the container do meanwhile. When it is
   * stopped: as for {@link archive}.
   *
   * @throws CofferdamError `ENOENT`, `ENOTDIR`, `EROFS`, `ENOSPC` and the like;
   * `ERR_ARCHIVE` for what is no archive, or one with such names;
   * `ERR_UNSUPPORTED` for kinds of files; `EINVAL` for an owner that there is
   * not in the container's user namespace; `ERR_STATE`.
   */
  async extract(
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: FileOptions = {},
  ): Promise<void> {
    await extract(this.#files(), path, tar, options)
  }

  #files(): FileOwner {
    return {
      id: this.id,
      configuration: this.#configuration,
      init: this.#init,
      deleted: () => this.#deleting !== undefined,
    }
  }

  /**
   * Ends the container if it still runs, with SIGKILL, and takes back all that
   * it left on the host. Does nothing the second time.
   */
  delete(): Promise<void> {
    this.#deleting ??= this.#delete().catch(error => {
      this.#deleting = undefined // what failed can be tried again
      throw error
    })
    return this.#deleting
  }

  async #delete(): Promise<void> {
    this.#hooks?.abort()
    const inits = [this.#init, ...this.#others].filter(init => init.status !== 'ended')
    for (const init of inits) init.kill()
    for (const init of inits) await init.end()
    this.#main?.abandon()
    for (const process of this.#processes) process.abandon()
    this.#processes.clear()
    await this.#takeBack()
    this.#deleted = true
  }

  /** Undoes what was done on the host, and gives the name free. */
  async #takeBack(): Promise<void> {
    try {
      await this.#hostStep // which would go on to do what is being undone
    } catch {
      // It has been reported as what made create() fail.
    }
    try {
      if (!this.#journal.empty) await this.#journal.rollBack()
      if (targetsAreLeft()) removeLeftTargets()
    } finally {
      if (this.#hooks !== undefined) this.warnings.push(...(await this.#hooks.stopped()))
      native().unclaim(this.id)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete()
  }

  /** What goes to a plan's placeholders; the host name is the only one there is. */
  #texts(plan: EncodedPlan): string[] {
    return plan.placeholders.length === 0 ? [] : [hostnameOf(this.#configuration, this.id)]
  }

  #prepareStart(
    argv: readonly string[] | undefined,
    { stdio, ...options }: StartOptions,
  ): [EncodedPlan, ParsedStdio] {
    const onTerminal = options.terminal ?? this.#configuration.process?.terminal
    if (onTerminal && stdio !== undefined)
      throw conflict('stdio', 'the standard streams are the terminal')
    const wanted = parseStdio(onTerminal ? 'ignore' : stdio)
    const { pipes } = wanted
    const key = processKey(argv, options)
    const plan = prepareProcess(
      this.#configuration,
      this.#prepared,
      key && `${pipes.join()}\0${key}`,
      () => ({ specification: specify(this.#configuration, argv, options), pipes }),
    )
    return [plan, wanted]
  }

  /** The options with a user by name exchanged for the numbers that it has in the container. */
  async #lookUp(options: StartOptions): Promise<StartOptions> {
    const defaults = this.#configuration.process
    const user = options.user ?? defaults?.user
    if (!isNamed(user)) return options
    const kinds = this.#isApart('mount') ? (['mount'] as const) : []
    const files = await readInside(this.#init, kinds, ['/etc/passwd', '/etc/group'])
    const { home, ...found } = findUser(user as string, ...(files as [string, string]))
    const hasHome = [options.env, defaults?.env].some(env => env && Object.hasOwn(env, 'HOME'))
    const env = home === undefined || hasHome ? {} : { env: { HOME: home, ...options.env } }
    return { ...options, ...env, user: found }
  }

  /** Whether it has a namespace of this kind that may not be this program's. */
  #isApart(kind: NamespaceKind): boolean {
    return isolates(this.#configuration, kind) || !!this.#configuration.isolation?.[kind]
  }

  #mustBe(status: Status, what: string): void {
    if (this.status === status) return
    // An init that failed while it was parked says more.
    if (this.status === 'stopped' && this.#main === undefined && this.#init.error)
      throw this.#init.error
    throw new CofferdamError(`${what}: container ${this.id} is ${this.status}`, {
      code: 'ERR_STATE',
      cause: this.#init.error,
    })
  }

  /** Runs hooks of `start()`; when one fails the container is deleted. */
  async #runStartHooks(point: 'startContainer' | 'poststart', pid?: number): Promise<void> {
    this.#starting = true
    this.#hostStep = this.#hooks?.run(point, pid as number)
    try {
      await this.#hostStep
    } catch (error) {
      await this.delete().catch(undoError => {
        throw withUndo(error as Error, undoError)
      })
      throw error
    }
  }

  /** Runs the host's function of a waiting point. */
  async #runHostStep(step: WaitingStep, pid: number, descriptor: number): Promise<void> {
    const point = hookPointOf(step)
    if (point !== undefined) return this.#hooks?.run(point, pid)
    const context: HostContext = {
      id: this.id,
      pid,
      descriptor,
      namespace: (kind: NamespaceKind) => pathOf(kind, pid),
    }
    const { undo } = step
    if (undo !== undefined)
      this.#journal.add({ step: step.name, undo: () => undo.call(step, context) })
    await step.run(context)
  }

  /** Notes which parts of a mount target init is about to make. */
  #beforeMaking({ args, onHost }: Operation): void {
    const [, path, how] = args
    const { rootfs } = this.#configuration
    const root = rootfs?.type === 'directory' ? rootfs.path : rootfs?.upper
    const place = onHost ?? (typeof path === 'string' && root ? { root, path } : undefined)
    if (place === undefined) throw new Error('nothing is to be made there')
    const file = typeof how === 'object' && 'text' in how && how.text.includes('FILE')
    for (const entry of targetEntries(place.root, place.path, file)) this.#journal.add(entry)
  }
}

const execOptions = ['stdio', 'env', 'cwd', 'user', 'umask', 'terminal'] as const
const startOptions = [...execOptions, 'init'] as const

/** What an AbortSignal says, which may be anything. */
function asError(reason: unknown): Error {
  if (reason instanceof Error) return reason
  return new CofferdamError('create: aborted', { code: 'ABORT_ERR', cause: reason })
}

/** The error of a create() that could not take back all that it had done. */
function withUndo(error: Error, undoError: unknown): CofferdamError {
  const { code = 'ERR_HOST_STEP', step } = error as CofferdamError
  return new CofferdamError(`${error.message}; and then ${(undoError as Error).message}`, {
    code,
    step,
    cause: new AggregateError([error, undoError]),
  })
}
