import { constants } from 'node:os'
import {
  CofferdamError,
  Descriptor,
  NativeEvent,
  native,
  nativeError,
  type ProcessIdentity,
} from '../base/index.js'
import type { EncodedPlan } from '../plan/index.js'
import { died, hostStepError, type InitStatus, isGone, noExit } from './endings.js'
import { failureError } from './failure.js'
import { recordStep, terminalHandover } from './handover.js'
import { Keeper, TERMINAL } from './keeper.js'
import type { Launch, Owner } from './owner.js'
import { ContainerProcess, type Exit } from './process.js'
import { listen, unlisten } from './registry.js'
import { signalName } from './signals.js'
import { type Ids, isLogged, openStdio, type ParsedStdio } from './stdio.js'
import { Terminal } from './terminal.js'

/**
 * One init, from its launch to the end of the program that it became. What goes
 * wrong on the way is reported when the process has ended.
 */
export class Init {
  status: InitStatus = 'creating'
  /** Pid as the host sees it; none before it is known, nor after the end. */
  pid: number | undefined
  /** When it ended, in milliseconds since 1970. */
  endedAt: number | undefined
  /** What went wrong first. */
  error: Error | undefined
  readonly #what: string
  readonly #owner: Owner
  #handle = 0
  #runs = false
  #setup: EncodedPlan | undefined
  /** The half that it has been sent last. */
  #plan: EncodedPlan | undefined
  #settle: { resolve(): void; reject(error: Error): void } | undefined
  #process: ContainerProcess | undefined
  #resolveExited: ((exit: Exit) => void) | undefined
  #ended: (() => void)[] = []
  /** Which process it is, of one that another program has made. */
  readonly #identity: ProcessIdentity | undefined
  /** It may outlive this program, and does not keep it alive. */
  #outlives = false
  /** How many operations wait for it, and so keep this program alive. */
  #waiting = 0
  #keeper: Keeper | undefined

  /**
   * @param what Is what messages call it, as `container x`.
   * @param identity Of one that is there already.
   */
  constructor(what: string, owner: Owner, identity?: ProcessIdentity) {
    this.#what = what
    this.#owner = owner
    this.#identity = identity
    this.#outlives = identity !== undefined
    if (identity !== undefined) this.status = 'running'
  }

  /** One that has not come so far. */
  static none(what: string, owner: Owner): Init {
    const init = new Init(what, owner)
    init.status = 'ended'
    return init
  }

  /**
   * Starts it, in the namespaces of this process or, through the plan, of
   * `target`, and has it carry out the setup half. Resolves when it is parked,
   * rejects when it has ended without.
   */
  launch(
    { cloneFlags, ahead, host, into, setup }: Launch,
    target?: Init,
    folder?: number,
  ): Promise<void> {
    target?.adopt()
    this.#outlives = folder !== undefined
    const create = (descriptor: number) =>
      native().create(
        cloneFlags,
        ahead?.bytes ?? null,
        host && [host.bytes, this.#owner.texts(host), host.patches, into],
        setup.bytes,
        this.#owner.texts(setup),
        setup.patches,
        target === undefined ? 0 : target.#handle,
        descriptor,
        setup.forks,
      )
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#setup = this.#plan = setup
      try {
        this.#handle = create(folder ?? -1)
      } catch (error) {
        this.status = 'ended'
        for (const ended of this.#ended.splice(0)) ended()
        throw nativeError(this.#what, error)
      }
      listen(this.#handle, (event, a, b, c, d) => this.#onEvent(event, a, b, c, d, host))
    })
  }

  /** The same for a plan that does not park: resolves when all of it is done. */
  run(launch: Launch, target?: Init): Promise<void> {
    this.#runs = true
    return this.launch(launch, target)
  }

  /**
   * Finds the process that it is to be, if that is another program's child.
   *
   * @returns whether it is still there.
   */
  adopt(): boolean {
    if (this.#handle !== 0 || this.#identity === undefined) return this.status !== 'ended'
    const { pid, startTime, number } = this.#identity
    try {
      this.#handle = native().adopt(pid, startTime, number)
    } catch (error) {
      if (!isGone(error)) throw nativeError(this.#what, error)
      this.#onExit(noExit)
      return false
    }
    this.pid = pid
    listen(this.#handle, (event, a, b, c, d) => this.#onEvent(event, a, b, c, d, null))
    return true
  }

  /**
   * Sends it what to run. Resolves when that has been executed.
   *
   * @param pipeOwner To whom its pipes are to belong, if not to this program's user.
   * @param folder Descriptor of that in which it listens for whoever comes.
   * @param kept Whether it has a keeper, which then holds its streams.
   */
  async start(
    plan: EncodedPlan,
    wanted: ParsedStdio,
    pipeOwner?: Ids,
    folder?: number,
    kept = false,
  ): Promise<ContainerProcess> {
    if (folder === undefined) return await this.#start(plan, wanted, pipeOwner)
    this.adopt()
    this.#wait(1)
    try {
      try {
        native().connect(this.#handle, folder)
      } catch (error) {
        throw nativeError('start', error)
      }
      // What is this program's own, or nothing, needs no keeping.
      const held = kept && (wanted.pipes.length > 0 || wanted.onTerminal || isLogged(wanted))
      const keeper = held ? new Keeper(folder) : undefined
      try {
        return await this.#start(plan, wanted, pipeOwner, keeper)
      } catch (error) {
        keeper?.close()
        throw error
      }
    } finally {
      this.#wait(-1)
    }
  }

  async #start(
    plan: EncodedPlan,
    wanted: ParsedStdio,
    pipeOwner: Ids | undefined,
    keeper?: Keeper,
  ): Promise<ContainerProcess> {
    const stdio = openStdio(wanted, keeper, pipeOwner)
    this.#keeper = keeper
    let process: ContainerProcess | undefined
    try {
      const made = native().start(
        this.#handle,
        plan.bytes,
        this.#owner.texts(plan),
        plan.patches,
        stdio.fds,
        pipeOwner,
      )
      const pipes = keeper === undefined ? made : stdio.ours
      this.#plan = plan
      this.status = 'starting'
      const exited = new Promise<Exit>(resolve => {
        this.#resolveExited = resolve
      })
      const signal = (number: number) => this.signal(number)
      const started = new ContainerProcess(
        this.pid as number,
        this.#outlives ? () => this.await(exited) : exited,
        pipes,
        signal,
        keeper,
      )
      this.#process = process = started
      return await new Promise<ContainerProcess>((resolve, reject) => {
        this.#settle = {
          resolve: () => resolve(started),
          reject: error => {
            started.abandon()
            reject(error)
          },
        }
      })
    } catch (error) {
      if (process === undefined) for (const fd of stdio.ours) if (fd >= 0) native().close(fd)
      if (isGone(error)) throw await this.#whyItEnded()
      throw nativeError('start', error)
    } finally {
      stdio.close()
    }
  }

  /** The process that another program has started. */
  found(): ContainerProcess {
    const exited = new Promise<Exit>(resolve => {
      // Its end may have been heard of before anybody asked for its process.
      if (this.status === 'ended') resolve(this.#owner.ending?.(noExit) ?? Promise.resolve(noExit))
      else this.#resolveExited = resolve
    })
    const wait = () => {
      this.adopt()
      return this.await(exited)
    }
    const pid = this.#identity?.pid ?? 0
    this.#process = new ContainerProcess(pid, wait, [-1, -1, -1], number => this.signal(number))
    return this.#process
  }

  /** @throws CofferdamError `ESRCH` when it has ended. */
  signal(number: number): void {
    if (!this.adopt())
      throw new CofferdamError(`kill: ${this.#what} has ended`, {
        code: 'ESRCH',
        errno: constants.errno.ESRCH,
        syscall: 'pidfd_send_signal',
      })
    try {
      native().signal(this.#handle, number)
    } catch (error) {
      throw nativeError('kill', error)
    }
  }

  /** Gives up what is under way: init ends, and then the operation fails with `error`. */
  fail(error: Error): void {
    this.error ??= error
    this.kill()
  }

  /** SIGKILL; a process that has not been made yet gets it as soon as it is. */
  kill(): void {
    if (!this.adopt()) return
    try {
      native().signal(this.#handle, constants.signals.SIGKILL)
    } catch (error) {
      if ((error as { errno?: number }).errno !== constants.errno.ESRCH) throw error
    }
  }

  /** Resolves when it has ended. */
  async end(): Promise<void> {
    if (this.adopt()) await this.await(new Promise<void>(resolve => this.#ended.push(resolve)))
  }

  /** It does not keep this program alive, and goes on after its end if nothing binds it. */
  outlive(): void {
    this.#outlives = true
    this.status = 'running'
    this.#hold()
  }

  /** Keeps this program alive until it is known. */
  async await<T>(promise: Promise<T>): Promise<T> {
    this.#wait(1)
    try {
      return await promise
    } finally {
      this.#wait(-1)
    }
  }

  #wait(change: number): void {
    this.#waiting += change
    this.#hold()
  }

  /** Whether this program is to go on for its sake; the addon begins with yes. */
  #hold(): void {
    const busy = this.status === 'creating' || this.#waiting > 0
    if (this.#outlives && this.#handle !== 0) native().hold(this.#handle, busy)
  }

  #onEvent(
    event: number,
    a: number,
    b: number,
    c: number,
    d: number,
    host: EncodedPlan | null,
  ): void {
    switch (event) {
      case NativeEvent.parked:
        return this.#onParked(a)
      case NativeEvent.started:
        this.status = 'running'
        return this.#succeed()
      case NativeEvent.failed:
        this.error ??= this.#failure(a, b, c, d)
        return
      case NativeEvent.omitted:
        return this.#owner.omitted(this.#failure(a, b, c, d))
      case NativeEvent.waiting:
        this.pid = c
        void this.#atWaitingPoint(a, b)
        return
      case NativeEvent.kept:
        return this.#owner.kept?.(a, b)
      case NativeEvent.making:
        return this.#beforeMaking(a)
      case NativeEvent.spawnFailed:
        this.error ??= failureError(
          { operation: b, syscall: c, errno: d },
          host,
          host === null ? [] : this.#owner.texts(host),
        )
        return this.#onExit(noExit)
      case NativeEvent.exited:
        return this.#onExit({ exitCode: a < 0 ? null : a, signal: b === 0 ? null : signalName(b) })
    }
  }

  #onParked(pid: number): void {
    this.pid = pid
    if (this.status !== 'creating') return // it is known
    if (this.error !== undefined) return this.kill()
    this.status = 'parked'
    this.#hold()
    this.#succeed()
  }

  /** init may still be at the end of the setup half when it has been sent the other. */
  #failure(half: number, operation: number, syscall: number, errno: number): CofferdamError {
    const plan = (half === 0 ? this.#setup : this.#plan) ?? null
    const texts = plan === null ? [] : this.#owner.texts(plan)
    return failureError({ operation, syscall, errno }, plan, texts)
  }

  #succeed(): void {
    this.#settle?.resolve()
    this.#settle = undefined
  }

  #onExit(exit: Exit): void {
    unlisten(this.#handle)
    const before = this.status
    this.status = 'ended'
    this.endedAt = Date.now()
    this.pid = undefined
    const settle = this.#settle
    this.#settle = undefined
    const read = this.#process?.ended()
    const known = this.#outlives ? this.#owner.ending?.(exit) : undefined
    if (read === undefined && known === undefined) this.#resolveExited?.(exit)
    else
      void Promise.all([known ?? exit, read]).then(([last]) => {
        this.#process?.letGo()
        this.#resolveExited?.(last)
      })
    if (this.#ended.length > 0) for (const ended of this.#ended.splice(0)) ended()
    if (this.#runs && this.error === undefined && exit.exitCode === 0) settle?.resolve()
    else settle?.reject(this.error ?? died(before, exit))
  }

  /** Lets init go on. If it has gone meanwhile, what it said last or its exit tells why. */
  #proceed(given?: Descriptor): void {
    try {
      native().proceed(this.#handle, given?.fd ?? -1)
    } catch (error) {
      if (!isGone(error)) throw error
    } finally {
      given?.close()
    }
  }

  /** The error of an init that has gone by itself, once its end is known. */
  async #whyItEnded(): Promise<Error> {
    const before = this.status
    await this.end()
    return this.error ?? died(before, noExit)
  }

  /** Runs the host's function for a waiting point, and lets init go on. */
  async #atWaitingPoint(point: number, descriptor: number): Promise<void> {
    if (descriptor >= 0) native().take(descriptor)
    const step = this.#plan?.points[point]
    if (step === undefined || this.error !== undefined) {
      // init does not tell the truth, or has been given up meanwhile
      if (descriptor >= 0) native().close(descriptor)
      return this.kill()
    }
    try {
      let given: Descriptor | undefined
      if (step === terminalHandover) {
        this.#keeper?.hold(TERMINAL, descriptor)
        this.#process?.giveTerminal(new Terminal(descriptor))
      } else {
        const came = await this.#owner.waiting(step, this.pid as number, descriptor)
        if (came instanceof Descriptor) given = came
      }
      this.#proceed(given)
      if (step !== recordStep) return
      // It listens already, and nothing is left to be done.
      native().outlive(this.#handle)
      this.#onParked(this.pid as number)
    } catch (cause) {
      this.fail(hostStepError(step.name, cause))
    }
  }

  #beforeMaking(number: number): void {
    const operation = this.#plan?.source(number)?.operation
    if (operation === undefined) return this.kill()
    try {
      this.#owner.making(operation)
      this.#proceed()
    } catch (cause) {
      const { code = 'EIO', message } = cause as NodeJS.ErrnoException
      this.fail(new CofferdamError(`journal: ${message}`, { code, step: 'journal', cause }))
    }
  }
}
