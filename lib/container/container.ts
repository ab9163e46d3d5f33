import { constants } from 'node:os'
import { CofferdamError, NativeEvent, native, nativeError, onlyKeys } from '../base/index.js'
import { type NamespaceKind, pathOf } from '../namespaces/index.js'
import type { EncodedPlan, HostContext } from '../plan/index.js'
import { type ProcessOptions, processKey } from '../process/index.js'
import type { Configuration } from './configuration.js'
import { failureError } from './failure.js'
import { Journal } from './journal.js'
import { type Exit, MainProcess, type PipedProcess } from './main-process.js'
import { explain, hostnameOf, type Prepared, prepareProcess, specify } from './prepare.js'
import { listen, unlisten } from './registry.js'
import { type SignalName, signalName, signalNumber } from './signals.js'
import { closeStdio, openStdio, parseStdio, type Stdio } from './stdio.js'
import { removeLeftTargets, targetEntries, targetsAreLeft } from './targets.js'

/** What {@link Box.start} takes besides the program and its arguments. */
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
  readonly #configuration: Configuration
  readonly #prepared: Prepared
  readonly #journal: Journal
  #handle = 0
  #status: Status = 'creating'
  #pid: number | undefined
  #main: MainProcess | undefined
  /** What init is working on, to understand its messages by. */
  #plan: EncodedPlan
  /** What went wrong first; the operation under way fails with it when init has ended. */
  #error: Error | undefined
  #settle: { resolve(): void; reject(error: Error): void } | undefined
  #exited: Promise<Exit> | undefined
  #resolveExited: ((exit: Exit) => void) | undefined
  #ended: (() => void)[] = []
  /** The host function that is under way, if any. */
  #hostStep: Promise<void> | undefined
  #deleting: Promise<void> | undefined

  private constructor(id: string, configuration: Configuration, prepared: Prepared) {
    this.id = id
    this.#configuration = configuration
    this.#prepared = prepared
    this.#plan = prepared.setup
    this.#journal = new Journal(id)
  }

  /** @internal What the builder's `create()` does. */
  static create(
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
    return new Promise((resolve, reject) => {
      box.#settle = { resolve: () => resolve(box), reject }
      box.#create()
      if (signal !== undefined) box.#heed(signal)
    })
  }

  /**
   * Pid of its first process as the host sees it; init's, until that is
   * started. None once it has ended, since the number may be another's then.
   */
  get pid(): number | undefined {
    return this.#pid
  }

  /** Its first process, once started. */
  get main(): MainProcess | undefined {
    return this.#main
  }

  get status(): Status {
    return this.#status
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
  start(argv?: readonly string[], options?: StartOptions): Promise<MainProcess>
  async start(argv?: readonly string[], options: StartOptions = {}): Promise<MainProcess> {
    onlyKeys('start', options, ['stdio', 'env', 'cwd', 'user', 'umask'])
    if (this.#status !== 'created') throw this.#diedParked() ?? this.#wrongState('start')

    const wanted = parseStdio(options.stdio)
    const plan = this.#prepareStart(argv, options, wanted.pipes)
    const stdio = openStdio(wanted)
    try {
      const [stdin, stdout, stderr] = native().start(
        this.#handle,
        plan.bytes,
        this.#texts(plan),
        plan.patches,
        ...(stdio.fds as [number, number, number]),
      )
      this.#plan = plan
      this.#status = 'starting'
      const exited = new Promise<Exit>(resolve => {
        this.#resolveExited = resolve
      })
      this.#exited = exited
      const main = new MainProcess(this.#pid as number, exited, [stdin, stdout, stderr])
      return await new Promise<MainProcess>((resolve, reject) => {
        this.#settle = {
          resolve: () => {
            this.#main = main
            resolve(main)
          },
          reject: error => {
            main.abandon()
            reject(error)
          },
        }
      })
    } catch (error) {
      if (isGone(error)) throw await this.#whyItEnded()
      throw nativeError('start', error)
    } finally {
      closeStdio(stdio)
    }
  }

  /**
   * Sends a signal to the first process. pidfd_send_signal(2)
   *
   * The first process of a PID namespace gets only signals that it has a
   * handler for, and SIGKILL and SIGSTOP (pid_namespaces(7)); one that is
   * parked gets none but SIGKILL.
   *
   * @throws CofferdamError `ESRCH` when it has ended, `ERR_INVALID_OPTION` for
   * a signal that there is not.
   */
  async kill(signal: SignalName | number = 'SIGTERM'): Promise<void> {
    const number = signalNumber(signal)
    if (this.#status === 'stopped' || this.#status === 'deleted')
      throw new CofferdamError(`kill: container ${this.id} is ${this.#status}`, {
        code: 'ESRCH',
        syscall: 'pidfd_send_signal',
      })
    try {
      native().signal(this.#handle, number)
    } catch (error) {
      throw nativeError('kill', error)
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
    if (this.#status !== 'stopped') {
      const ended = new Promise<void>(resolve => this.#ended.push(resolve))
      this.#kill()
      await ended
    }
    this.#main?.abandon()
    await this.#takeBack()
    this.#status = 'deleted'
  }

  /** Undoes what was done on the host, and gives the name free. */
  async #takeBack(): Promise<void> {
    await this.#hostStep // which would go on to do what is being undone
    try {
      if (!this.#journal.empty) await this.#journal.rollBack()
      if (targetsAreLeft()) removeLeftTargets()
    } finally {
      native().unclaim(this.id)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete()
  }

  /** Gives up when `signal` says so, until `create()` has settled. */
  #heed(signal: AbortSignal): void {
    const { resolve, reject } = this.#settle as { resolve(): void; reject(error: Error): void }
    const abort = () => this.#fail(asError(signal.reason))
    const settled = () => signal.removeEventListener('abort', abort)
    signal.addEventListener('abort', abort)
    this.#settle = {
      resolve: () => {
        settled()
        resolve()
      },
      reject: error => {
        settled()
        reject(error)
      },
    }
  }

  #create(): void {
    const { cloneFlags, ahead, host, setup } = this.#prepared
    try {
      this.#handle = native().create(
        cloneFlags,
        ahead?.bytes ?? null,
        host?.bytes ?? null,
        setup.bytes,
        this.#texts(setup),
        setup.patches,
      )
    } catch (error) {
      native().unclaim(this.id)
      throw nativeError('create', error)
    }
    listen(this.#handle, (event, a, b, c, d) => this.#onEvent(event, a, b, c, d))
  }

  /** What goes to a plan's placeholders; the host name is the only one there is. */
  #texts(plan: EncodedPlan): string[] {
    return plan.placeholders.length === 0 ? [] : [hostnameOf(this.#configuration, this.id)]
  }

  #prepareStart(
    argv: readonly string[] | undefined,
    { stdio: _, ...options }: StartOptions,
    pipes: readonly number[],
  ): EncodedPlan {
    const key = processKey(argv, options)
    return prepareProcess(
      this.#configuration,
      this.#prepared,
      key && `${pipes.join()}\0${key}`,
      () => ({
        specification: specify(this.#configuration, argv, options),
        pipes,
      }),
    )
  }

  /** The error of an init that failed while it was parked. */
  #diedParked(): Error | undefined {
    return this.#status === 'stopped' && this.#main === undefined ? this.#error : undefined
  }

  #wrongState(what: string): CofferdamError {
    return new CofferdamError(`${what}: container ${this.id} is ${this.#status}`, {
      code: 'ERR_STATE',
      cause: this.#error,
    })
  }

  #onEvent(event: number, a: number, b: number, c: number, d: number): void {
    switch (event) {
      case NativeEvent.parked:
        this.#pid = a
        if (this.#error !== undefined) return this.#kill()
        this.#status = 'created'
        return this.#succeed()
      case NativeEvent.started:
        this.#status = 'running'
        return this.#succeed()
      case NativeEvent.failed:
        this.#error ??= this.#failure(a, b, c, d)
        return
      case NativeEvent.omitted: {
        const error = this.#failure(a, b, c, d)
        this.omitted.push({ step: error.step ?? '', error })
        return
      }
      case NativeEvent.waiting:
        this.#pid = c
        this.#hostStep = this.#atWaitingPoint(a)
        return
      case NativeEvent.making:
        return this.#beforeMaking(a)
      case NativeEvent.spawnFailed: {
        this.#error ??= failureError({ operation: b, syscall: c, errno: d }, this.#prepared.host)
        return this.#onExit({ exitCode: null, signal: null })
      }
      case NativeEvent.exited:
        return this.#onExit({ exitCode: a < 0 ? null : a, signal: b === 0 ? null : signalName(b) })
    }
  }

  /** init may still be at the end of the setup half when it has been sent the other. */
  #failure(half: number, operation: number, syscall: number, errno: number): CofferdamError {
    const plan = half === 0 ? this.#prepared.setup : this.#plan
    return failureError({ operation, syscall, errno }, plan)
  }

  #succeed(): void {
    this.#settle?.resolve()
    this.#settle = undefined
  }

  /** Gives up what is under way: init ends, and then the operation fails with `error`. */
  #fail(error: Error): void {
    this.#error ??= error
    this.#kill()
  }

  /** SIGKILL, if there is a process to get it; otherwise it gets it when it is parked. */
  #kill(): void {
    try {
      native().signal(this.#handle, constants.signals.SIGKILL)
    } catch (error) {
      if ((error as { errno?: number }).errno !== constants.errno.ESRCH) throw error
      if (this.#status === 'creating') this.#error ??= this.#wrongState('delete')
    }
  }

  #onExit(exit: Exit): void {
    unlisten(this.#handle)
    const before = this.#status
    this.#status = 'stopped'
    this.#pid = undefined
    const settle = this.#settle
    this.#settle = undefined
    this.#resolveExited?.(exit)
    if (this.#ended.length > 0) for (const ended of this.#ended.splice(0)) ended()
    if (settle === undefined) return

    const error = this.#error ?? initDied(before, exit)
    if (before !== 'creating') return settle.reject(error)
    // Nobody gets this container, so nobody could delete it.
    void this.#takeBack().then(
      () => {
        this.#status = 'deleted'
        settle.reject(error)
      },
      undoError => settle.reject(withUndo(error, undoError)),
    )
  }

  /** Lets init go on. If it has gone meanwhile, what it said last or its exit tells why. */
  #proceed(): void {
    try {
      native().proceed(this.#handle, -1)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  /** The error of an init that has gone by itself, once its end is known. */
  async #whyItEnded(): Promise<Error> {
    const before = this.#status
    if (before !== 'stopped') await new Promise<void>(resolve => this.#ended.push(resolve))
    return this.#error ?? initDied(before, { exitCode: null, signal: null })
  }

  /** Runs the host's function for a waiting point, and lets init go on. */
  async #atWaitingPoint(point: number): Promise<void> {
    const step = this.#plan.points[point]
    if (step === undefined) return this.#kill() // init does not tell the truth
    const pid = this.#pid as number
    const context: HostContext = {
      id: this.id,
      pid,
      namespace: (kind: NamespaceKind) => pathOf(kind, pid),
    }
    const { undo } = step
    try {
      if (undo !== undefined)
        this.#journal.add({ step: step.name, undo: () => undo.call(step, context) })
      await step.run(context)
      this.#proceed()
    } catch (cause) {
      const { code = 'ERR_HOST_STEP', message = String(cause) } = (cause ??
        {}) as NodeJS.ErrnoException
      this.#fail(new CofferdamError(`${step.name}: ${message}`, { code, step: step.name, cause }))
    }
  }

  /** Notes which parts of a mount target init is about to make. */
  #beforeMaking(operation: number): void {
    const source = this.#plan.source(operation)?.operation
    const [, path, how] = source?.args ?? []
    const { rootfs } = this.#configuration
    const root = rootfs?.type === 'directory' ? rootfs.path : rootfs?.upper
    const onHost = source?.onHost ?? (root === undefined ? undefined : { root, path })
    if (typeof path !== 'string' || typeof onHost?.path !== 'string') return this.#kill()
    try {
      const file = typeof how === 'object' && 'text' in how && how.text.includes('FILE')
      for (const entry of targetEntries(onHost.root, onHost.path, file)) this.#journal.add(entry)
      this.#proceed()
    } catch (cause) {
      const { code = 'EIO' } = cause as NodeJS.ErrnoException
      this.#fail(
        new CofferdamError(`journal: ${path}: ${code}`, { code, step: 'journal', path, cause }),
      )
    }
  }
}

/** Whether the addon's error means that init is not there to be talked to. */
function isGone(error: unknown): boolean {
  const { nr, errno } = (error ?? {}) as { nr?: number; errno?: number }
  const { EPIPE, ESRCH, ECONNRESET } = constants.errno
  return nr !== undefined && [EPIPE, ESRCH, ECONNRESET].includes(errno as number)
}

function initDied(status: Status, exit: Exit): CofferdamError {
  const how = exit.signal ?? `exit code ${exit.exitCode}`
  return new CofferdamError(`init ended while the container was ${status}: ${how}`, {
    code: 'ERR_INIT_DIED',
  })
}

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
