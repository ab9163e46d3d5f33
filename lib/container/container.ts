import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CofferdamError,
  type Duration,
  flagOption,
  native,
  onlyKeys,
  parseDuration,
} from '../base/index.js'
import {
  type Cgroup,
  type Limits,
  parseLimits,
  type Stats,
  type StatsOptions,
} from '../cgroups/index.js'
import { type NamespaceKind, pathOf } from '../namespaces/index.js'
import type { EncodedPlan, HostContext, Made, Operation, WaitingStep } from '../plan/index.js'
import type { Attributes } from '../process/index.js'
import {
  type ContainerProcess,
  type Exit,
  Init,
  type Owner,
  type ParsedStdio,
  type PipedProcess,
  recordStep,
  type SignalName,
  signalNumber,
  TERMINAL,
  Terminal,
} from '../run/index.js'
import { type GroupMounts, groupMounts, joinGroupStep } from './compose-group.js'
import type { Configuration } from './configuration.js'
import { hasGroup, isolates } from './configuration.js'
import { signalOthers } from './errand.js'
import {
  type ContainerEvents,
  type ContainerEventsOptions,
  groupEvents,
  PlainEvents,
} from './events.js'
import { archive, extract, type FileOptions, type FileOwner } from './files.js'
import {
  findGroup,
  isGroupRecord,
  makeGroup,
  type OwnGroup,
  recordedGroup,
  withGroup,
} from './group.js'
import { HookRunner } from './hook-runner.js'
import { hookPointOf } from './hooks.js'
import { Journal, type JournalEntry } from './journal.js'
import { Kept, storable } from './kept.js'
import {
  explain,
  hostnameOf,
  type Prepared,
  type PreparedProcesses,
  prepareExec,
  prepareLaunch,
  prepareProcesses,
} from './prepare.js'
import {
  descendants,
  type ProcessInfo,
  processesOfGroup,
  processesOfNamespace,
} from './processes.js'
import { type Asked, execOptions, requested, type StartOptions, startOptions } from './request.js'
import { type Lock, nameTaken, StateFolder } from './state.js'
import { recordedTarget, removeLeftTargets, targetEntries, targetsAreLeft } from './targets.js'
import { hasUserNamespace, pipeOwner } from './user-namespace.js'

/** A step that failed and was left out, as the caller had allowed. */
export interface Omission {
  step: string
  error: CofferdamError
}

/**
 * Where a container stands: `creating` until it is parked, `created` until its
 * first process is sent, `starting` until that has been executed, `running`
 * until it ends, `paused` in between, `stopped` until `delete()`.
 */
export type Status =
  | 'creating'
  | 'created'
  | 'starting'
  | 'running'
  | 'paused'
  | 'stopped'
  | 'deleted'

const SIGKILL = constants.signals.SIGKILL

/** How often, and after how many milliseconds, it is tried again to remove what is in use. */
const TRIES = 50
const PAUSE = 10

/** The attached containers of this program, by state folder and name. */
const boxes = new Map<string, Box>()

/**
 * A container that has been made. Comes from the builder's `create()`, or from
 * `Container.load()`; several programs can have one of the same container.
 */
export class Box implements AsyncDisposable {
  readonly id: string
  /** Steps marked as optional that this machine could not carry out. */
  readonly omitted: Omission[] = []
  /** What went wrong and did not matter to the caller's own: `poststop` hooks that failed. */
  readonly warnings: CofferdamError[] = []
  readonly #configuration: Configuration
  readonly #prepared: PreparedProcesses
  readonly #root: string
  #journal: Journal
  /** Of one that may outlive this program. */
  #kept: Kept | undefined
  /** Where an attached one writes its journal, if it has any. */
  #folder: StateFolder | undefined
  #ownInit: Init | undefined
  #group: OwnGroup | undefined
  /** Undefined when it has none. */
  readonly #hooks: HookRunner | undefined
  /** Hooks run before the first process is sent. */
  #starting = false
  #main: ContainerProcess | undefined
  #createdAt = Date.now()
  #startedAt: number | undefined
  /** The inits of {@link exec} that have not ended. */
  readonly #others = new Set<Init>()
  /** Its processes, as long as they may hold descriptors. */
  readonly #processes = new Set<ContainerProcess>()
  /** To be told when it is deleted. */
  readonly #events = new Set<PlainEvents>()
  /** The host function that is under way, if any. */
  #hostStep: Promise<unknown> | undefined
  #deleting: Promise<void> | undefined
  #deleted = false

  private constructor(
    root: string,
    id: string,
    configuration: Configuration,
    prepared: PreparedProcesses,
  ) {
    this.#root = root
    this.id = id
    this.#configuration = configuration
    this.#prepared = prepared
    this.#journal = new Journal(() => this.#journalFolder())
    if (configuration.hooks !== undefined)
      this.#hooks = new HookRunner({
        id,
        configuration,
        prepared,
        init: () => this.#init,
        group: () => this.#group,
        stateFolder: `${root}/${id}`,
      })
  }

  /** @internal What the builder's `create()` does. */
  static async create(
    root: string,
    id: string,
    configuration: Configuration,
    prepared: Prepared,
    signal: AbortSignal | undefined,
  ): Promise<Box> {
    const box = new Box(root, id, configuration, prepared)
    const lock = box.#claim()
    const init = new Init(`container ${id}`, box.#owner())
    const abort = () => init.fail(asError(signal?.reason))
    try {
      const folder = box.#kept?.folder
      if (hasGroup(configuration)) {
        folder?.publish(storable(configuration))
        await box.#makeGroup()
        if (signal?.aborted) throw asError(signal.reason)
      }
      box.#ownInit = init
      const plan = prepareLaunch(configuration, prepared, box.#groupMounts())
      const launch = (descriptor?: number) => init.launch(plan, undefined, descriptor)
      const parked = folder === undefined ? launch() : folder.use(launch)
      if (folder?.isNamed === false) box.#publish(folder, init)
      signal?.addEventListener('abort', abort)
      await parked
      box.#hooks?.made()
      return box
    } catch (failure) {
      const error = await withGroup(failure, box.#group)
      // Nobody gets this container, so nobody could delete it.
      await box.#takeBack().catch(undoError => {
        throw withUndo(error as Error, undoError)
      })
      if (box.warnings.length > 0) throw withUndo(error as Error, box.warnings[0])
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      lock?.release()
    }
  }

  /** @internal What `Container.load()` does. */
  static async load(root: string, id: string): Promise<Box> {
    const own = boxes.get(`${root}/${id}`)
    if (own !== undefined) return own
    const folder = StateFolder.open(root, id)
    const { configuration, createdAt } = folder.facts()
    const kept = new Kept(folder, configuration)
    const box = new Box(root, id, configuration, prepareProcesses(configuration))
    box.#kept = kept
    box.#createdAt = createdAt
    if (kept.init !== undefined) box.#hooks?.made()
    if (hasGroup(configuration)) box.#group = await findGroup(Journal.load(folder, recorded))
    return box
  }

  /** @internal What `Container.list()` does. */
  static async list(root: string): Promise<Box[]> {
    const own = [...boxes.values()].filter(box => box.#root === root)
    const names = new Set(own.map(box => box.id))
    for (const name of StateFolder.names(root)) {
      if (names.has(name)) continue
      try {
        own.push(await Box.load(root, name))
      } catch (error) {
        if ((error as CofferdamError).code !== 'ENOENT') throw error // deleted meanwhile
      }
    }
    return own.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Makes its control group, or notes that there is none where that was said to be no harm. */
  async #makeGroup(): Promise<void> {
    const making = makeGroup(this.#configuration, this.id, this.#journal)
    this.#hostStep = making
    try {
      const { group, omitted } = await making
      this.#group = group
      this.omitted.push(...omitted)
    } finally {
      this.#hostStep = undefined
    }
    if (this.#deleting !== undefined)
      throw new CofferdamError('create: the container was deleted', { code: 'ABORT_ERR' })
  }

  /** Takes the name: of an attached container in this program, of others for all. */
  #claim(): Lock | undefined {
    const { id, lifetime } = this.#configuration
    const key = `${this.#root}/${this.id}`
    if (lifetime !== 'attached') {
      if (boxes.has(key) || StateFolder.has(this.#root, this.id)) throw nameTaken(this.id)
      const [folder, lock] = StateFolder.create(this.#root, this.id)
      this.#kept = new Kept(folder, this.#configuration)
      return lock
    }
    if (!native().claim(this.id)) throw nameTaken(this.id)
    if (id !== undefined && StateFolder.has(this.#root, id)) {
      native().unclaim(id)
      throw nameTaken(id)
    }
    boxes.set(key, this)
    return undefined
  }

  /** Gives its state folder the name, while init is under way already. */
  #publish(folder: StateFolder, init: Init): void {
    try {
      folder.publish(storable(this.#configuration))
    } catch (error) {
      init.fail(error as Error)
    }
  }

  /** What its first init asks for. */
  #owner(): Owner {
    return {
      texts: plan => this.#texts(plan),
      waiting: (step, pid, descriptor) => {
        this.#hostStep = this.#runHostStep(step, pid, descriptor)
        return this.#hostStep
      },
      making: operation => this.#beforeMaking(operation),
      omitted: error => void this.omitted.push({ step: error.step ?? '', error }),
      kept: (keeper, pid) => this.#kept?.keptBy(keeper, pid),
      ending: exit => this.#kept?.ending(exit) ?? Promise.resolve(exit),
    }
  }

  /** Its first init; of another program's container as it is by now. */
  get #init(): Init {
    if (this.#ownInit !== undefined) return this.#ownInit
    const identity = this.#kept?.init
    const what = `container ${this.id}`
    if (identity === undefined) return Init.none(what, this.#owner())
    this.#ownInit = new Init(what, this.#owner(), identity)
    return this.#ownInit
  }

  /** Where an attached container's journal goes, which exists only if it has one. */
  #journalFolder(): StateFolder {
    if (this.#kept !== undefined) return this.#kept.folder
    if (this.#folder === undefined) {
      const [folder, lock] = StateFolder.create(this.#root, this.id)
      this.#folder = folder
      folder.publish(storable(this.#configuration))
      lock.release() // the program that it belongs to is the lock
    }
    return this.#folder
  }

  /** When it was made. */
  get createdAt(): Date {
    return new Date(this.#createdAt)
  }

  /** When its first process was started. */
  get startedAt(): Date | undefined {
    const at = this.#startedAt ?? this.#kept?.started?.startedAt
    return at === undefined ? undefined : new Date(at)
  }

  /** When that ended, if it is known. */
  get finishedAt(): Date | undefined {
    const at = this.#kept?.end?.finishedAt ?? this.#ownInit?.endedAt
    return at === undefined ? undefined : new Date(at)
  }

  /**
   * Pid of its first process as the host sees it; init's, until that is
   * started. None once it has ended, since the number may be another's then.
   */
  get pid(): number | undefined {
    return this.#kept === undefined ? this.#init.pid : this.#kept.pid
  }

  /** Its first process, once started; {@link attach} gets it streams that this program lacks. */
  get main(): ContainerProcess | undefined {
    const kept = this.#kept
    if (this.#main === undefined && kept?.started !== undefined) {
      const { status } = this
      if (status === 'running' || status === 'paused' || status === 'stopped')
        this.#main = this.#init.found()
    }
    return this.#main
  }

  get status(): Status {
    if (this.#deleted) return 'deleted'
    const status = this.#kept === undefined ? this.#ownStatus() : this.#kept.status
    return status === 'running' && this.#group?.isFrozen() ? 'paused' : status
  }

  /** Of one that ends with this program. */
  #ownStatus(): Status {
    if (this.#ownInit === undefined) return 'creating' // its group is being made
    const { status } = this.#init
    if (status === 'parked') return this.#starting ? 'starting' : 'created'
    return status === 'ended' ? 'stopped' : status
  }

  /** The plan, printed: every step and system call in order, on both sides. */
  explain(): string {
    return explain(this.#configuration)
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
    const kept = this.#kept
    // Of one that this program has made it knows; and the lock tells the rest.
    if (kept === undefined || this.#ownInit?.status !== 'parked') this.#mustBe('created', 'start')
    const request = requested(this.#asked(true), argv, options)
    const lock = await kept?.folder.lock()
    let hooking = false
    try {
      const { plan, wanted } = typeof request === 'function' ? await request() : request
      if (this.#hooks?.has('startContainer')) {
        hooking = true
        await this.#runStartHooks('startContainer', this.pid)
        hooking = false
      }
      this.#main = await (kept === undefined
        ? this.#startAttached(plan, wanted)
        : this.#startKept(kept, lock as Lock, plan, wanted, argv))
      this.#startedAt = Date.now()
      if (this.#hooks?.has('poststart')) {
        hooking = true
        await this.#runStartHooks('poststart', this.#main.pid)
      }
    } catch (error) {
      lock?.release()
      // A hook that fails is the end of the container.
      if (hooking)
        await this.delete().catch(undoError => {
          throw withUndo(error as Error, undoError)
        })
      throw error
    } finally {
      lock?.release()
    }
    return this.#main
  }

  #startAttached(plan: EncodedPlan, wanted: ParsedStdio): Promise<ContainerProcess> {
    this.#mustBe('created', 'start') // still
    return this.#init.start(plan, wanted, this.#pipeOwner())
  }

  async #startKept(
    kept: Kept,
    { descriptor }: Lock,
    plan: EncodedPlan,
    wanted: ParsedStdio,
    argv: readonly string[] | undefined,
  ): Promise<ContainerProcess> {
    if (kept.started !== undefined) throw this.#notNow('start') // another program was first
    try {
      kept.recordStart(argv ?? this.#configuration.process?.argv)
      const owner = this.#pipeOwner()
      return await this.#init.start(plan, wanted, owner, descriptor, kept.hasKeeper)
    } catch (error) {
      if (kept.status !== 'running') kept.forgetStart()
      if ((error as CofferdamError).code === 'ECONNREFUSED') throw this.#notNow('start')
      throw error
    }
  }

  /**
   * Gets the streams of the first process of a detached container, which its
   * keeper has held since the program that had them let go of them or ended;
   * when it has ended, what nobody had read. What goes to a log is in the log.
   * Equivalent to: `docker attach`
   *
   * @throws CofferdamError `EBUSY` while another program has them;
   * `ERR_UNSUPPORTED` when the container has no keeper; `ERR_STATE` when nothing
   * has been started.
   */
  async attach(): Promise<ContainerProcess> {
    const kept = this.#kept
    if (!kept?.hasKeeper)
      throw new CofferdamError(`attach: container ${this.id} has no keeper`, {
        code: 'ERR_UNSUPPORTED',
        hint: "create({ lifetime: 'detached' }) gives it one",
      })
    const { main } = this
    if (main === undefined) throw this.#notNow('attach')
    if (main.attached) return main
    this.#init.adopt()
    try {
      const keeper = kept.connect()
      try {
        const held = keeper.give()
        const terminal = held.get(TERMINAL)
        const pipes = [0, 1, 2].map(number => held.get(number) ?? -1)
        main.give(pipes, terminal === undefined ? undefined : new Terminal(terminal), keeper)
      } catch (error) {
        keeper.close()
        throw error
      }
    } catch (error) {
      // It may just have ended; otherwise it has a reason.
      if (kept.end === undefined || (error as CofferdamError).code === 'EBUSY') throw error
      await kept.keeperEnd(false)
      const rest = kept.rest(TERMINAL)
      main.give([-1, rest.length > 0 ? rest : kept.rest(1), kept.rest(2)], undefined)
    }
    return main
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
    const request = requested(this.#asked(false), argv, alone)
    const { plan, wanted, specification } =
      typeof request === 'function' ? await request() : request
    this.#mustBe('running', 'exec') // still
    const init = await this.#join(specification.attributes)
    let process: ContainerProcess
    try {
      process = await init.start(plan, wanted, this.#pipeOwner())
    } catch (error) {
      init.kill() // parked still, if the fault was on this side
      await init.end()
      throw error
    }
    for (const other of this.#processes) if (!other.holds) this.#processes.delete(other)
    if (process.holds) this.#processes.add(process)
    return process
  }

  /** Makes a process that has joined it, and is parked. */
  async #join(attributes: Attributes | undefined, leaf?: string): Promise<Init> {
    const init = new Init(`a process of container ${this.id}`, {
      texts: encoded => this.#texts(encoded, leaf),
      waiting: (step, pid, descriptor) => this.#runHostStep(step, pid, descriptor),
      making: () => undefined,
      omitted: error => void this.omitted.push({ step: error.step ?? '', error }),
    })
    this.#others.add(init)
    void init.end().then(() => this.#others.delete(init))
    const mounts = this.#groupMounts()
    const launch = prepareExec(this.#configuration, this.#prepared, attributes, mounts)
    try {
      await init.launch(launch, this.#init)
      return init
    } catch (error) {
      const { code, syscall } = error as CofferdamError
      const { pid } = this
      const full = code === 'EBUSY' && syscall === 'clone3' && leaf === undefined
      if (!full || this.#group === undefined || pid === undefined) throw error
      return await this.#join(attributes, this.#group.leaf(pid))
    }
  }

  /**
   * Sends a signal to the first process; see {@link ContainerProcess.kill}. One
   * that is parked gets none but SIGKILL. With `all`, to every process of the
   * container, the first one last.
   *
   * To one that is paused signals come when it goes on, but for SIGKILL, which ends
   * it at once.
   *
   * @throws CofferdamError `ESRCH` when it has ended, `ERR_INVALID_OPTION` for
   * a signal that there is not, `ERR_UNSUPPORTED` for all of a container that
   * has neither a PID namespace nor a control group, and so nothing to know its
   * processes by.
   */
  async kill(
    signal: SignalName | number = 'SIGTERM',
    options: { all?: boolean } = {},
  ): Promise<void> {
    onlyKeys('kill', options, ['all'])
    const number = signalNumber(signal)
    const { status } = this
    if (flagOption('kill.all', options.all, false) && (await this.#killOthers(number))) return
    this.#init.signal(number)
    // The freezer of version 1 holds up SIGKILL too.
    if (status === 'paused' && number === SIGKILL) await this.#group?.outer.thaw()
  }

  /** Sends a signal to all but the first process; gives whether that has had it too. */
  async #killOthers(number: number): Promise<boolean> {
    const { status } = this
    if (!isolates(this.#configuration, 'pid')) {
      if (this.#group === undefined)
        throw new CofferdamError('kill.all: the container has no PID namespace of its own', {
          code: 'ERR_UNSUPPORTED',
          option: 'kill.all',
          hint: "isolate('pid'), or limits({}), or signal each process that exec() gave",
        })
      if (status !== 'running' && status !== 'paused') return false
      await this.#group.outer.kill(number)
      return true
    }
    // Who would have to tell the others is not to be made in a group that is frozen.
    if (status === 'paused') {
      await this.#group?.outer.kill(number)
      return true
    }
    if (status !== 'running') return false
    const kinds = hasUserNamespace(this.#configuration)
      ? (['user', 'pid'] as const)
      : ['pid' as const]
    await signalOthers(this.#init, kinds, number)
    // A first process that ends with the others has had its signal.
    return this.#init.status === 'ended'
  }

  /**
   * Stops all its processes where they are, until {@link resume}. Resolves when the
   * kernel has done it. cgroups(7) `cgroup.freeze`; on v1 the freezer. Equivalent to:
   * `docker pause`
   *
   * @throws CofferdamError `ERR_STATE` when it is not running, or has no control group
   * of its own, which `limits({})` gives it.
   */
  async pause(): Promise<void> {
    const group = this.#needsGroup('pause')
    this.#mustBe('running', 'pause')
    await group.outer.freeze()
  }

  /**
   * Lets it go on after {@link pause}. Equivalent to: `docker unpause`
   *
   * @throws CofferdamError `ERR_STATE` when it is not paused.
   */
  async resume(): Promise<void> {
    const group = this.#needsGroup('resume')
    this.#mustBe('paused', 'resume')
    await group.outer.thaw()
  }

  /**
   * Changes limits of the container, whatever it does; those that are not named stay as
   * they are, `'max'` lifts one. All or none. See {@link Cgroup.set}. Equivalent to:
   * `docker update`
   *
   * @throws CofferdamError `ERR_INVALID_OPTION` and `ERR_UNSUPPORTED` naming the limit,
   * before anything is done; `EBUSY` for less than is in use; `ERR_STATE` when it has no
   * control group of its own.
   */
  async update(limits: Limits): Promise<void> {
    const parsed = parseLimits('update', limits)
    const group = this.#needsGroup('update')
    await group.outer.set(parsed)
  }

  /**
   * What it has used, and what it waits for. Also of one that is parked or has stopped,
   * until it is deleted. See {@link Cgroup.stats}. Equivalent to: `docker stats --no-stream`
   *
   * @throws CofferdamError `ERR_STATE` when it has no control group of its own.
   */
  async stats(options: StatsOptions = {}): Promise<Stats> {
    return await this.#needsGroup('stats').outer.stats(options)
  }

  /**
   * What happens to it from now on, one by one: that its first process has ended, or had
   * already; that it is paused or goes on; and what happens to its control group, if it has
   * one of its own: memory that runs out, processes that are refused, pressure. It ends when
   * the container is deleted. See {@link ContainerEvent} and {@link Cgroup.events}.
   * Equivalent to: `docker events --filter container=…`
   *
   * ```ts
   * for await (const event of box.events({ signal }))
   *   if (event.type === 'oomKill') console.log(event.count)
   * ```
   *
   * Who waits for an event keeps this program alive, and nothing else of it. Of a container
   * without a group it is not told that another program has deleted it.
   *
   * @throws CofferdamError `ERR_STATE` when it is deleted; for `pressure` as
   * {@link Cgroup.events} does, and `ERR_STATE` without a group.
   */
  events(options: ContainerEventsOptions = {}): ContainerEvents {
    if (this.#deleted) throw this.#notNow('events')
    const ending = async () => {
      await this.#init.end()
      return (await this.main?.exited) ?? { exitCode: null, signal: 'SIGKILL' as const }
    }
    if (this.#group !== undefined) return groupEvents(this.#group.outer, options, ending)
    const events = new PlainEvents(options, ending)
    if (options.pressure !== undefined) this.#needsGroup('events.pressure')
    this.#events.add(events)
    return events
  }

  /** Its control group, if it has one of its own. */
  get cgroup(): Cgroup | undefined {
    return this.#group?.outer
  }

  #needsGroup(what: string): OwnGroup {
    if (this.#deleted) throw this.#notNow(what)
    if (this.#group !== undefined) return this.#group
    throw new CofferdamError(`${what}: container ${this.id} has no control group of its own`, {
      code: 'ERR_STATE',
      hint: 'limits({}) gives it one',
    })
  }

  /**
   * Asks the first process to end, and after a time ends it, with SIGKILL. Gives
   * how it has ended. One that is paused goes on for that. Equivalent to: `docker stop`
   *
   * @param options `signal` to ask with, default: `'SIGTERM'`; `timeout` until
   * the end, default: 10 s.
   */
  async stop(options: { signal?: SignalName | number; timeout?: Duration } = {}): Promise<Exit> {
    onlyKeys('stop', options, ['signal', 'timeout'])
    const number = signalNumber(options.signal ?? 'SIGTERM')
    const timeout = parseDuration('stop.timeout', options.timeout ?? '10s')
    const { main, status } = this
    if (status === 'running' || status === 'paused') {
      const timer = setTimeout(() => this.#init.kill(), timeout)
      try {
        this.#init.signal(number)
        if (status === 'paused') await this.#group?.outer.thaw()
        await this.#init.end()
      } finally {
        clearTimeout(timer)
      }
    } else if (status !== 'stopped' && status !== 'deleted') {
      this.#init.kill()
      await this.#init.end()
    }
    return (await main?.exited) ?? { exitCode: null, signal: 'SIGKILL' }
  }

  /**
   * The processes of the container, with their pids inside and outside. Reads
   * `/proc`. Without a PID namespace: those of its control group, or without one those
   * that `start()` and `exec()` gave, and their descendants. Equivalent to: `docker top`
   */
  async processes(): Promise<ProcessInfo[]> {
    if (isolates(this.#configuration, 'pid'))
      return this.pid === undefined ? [] : processesOfNamespace(this.pid)
    if (this.#group !== undefined) return processesOfGroup(this.#group.outer)
    return descendants([this, ...this.#others].flatMap(({ pid }) => pid ?? []))
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
      status: () => (this.#deleting === undefined ? this.status : 'deleted'),
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
    let lock: Lock | undefined
    try {
      lock = await this.#kept?.folder.lock()
    } catch (error) {
      if ((error as CofferdamError).code !== 'ENOENT') throw error
      this.#deleted = true // by another program
      return
    }
    try {
      await this.#deleteLocked()
    } finally {
      lock?.release()
    }
  }

  async #deleteLocked(): Promise<void> {
    this.#hooks?.abort()
    const kept = this.#kept
    const { lifetime } = this.#configuration
    if (kept !== undefined && lifetime === 'attached' && kept.status === 'running')
      throw new CofferdamError(`delete: container ${this.id} is another program's`, {
        code: 'ERR_STATE',
        hint: `process ${kept.maker.pid} has made it, and it ends with that`,
      })
    const inits = [this.#init, ...this.#others].filter(init => init.status !== 'ended')
    for (const init of inits) init.kill()
    // The freezer of version 1 holds up SIGKILL too.
    if (this.#group?.isFrozen()) await this.#group.outer.thaw()
    for (const init of inits) await init.end()
    this.#main?.abandon()
    for (const process of this.#processes) process.abandon()
    this.#processes.clear()
    await this.#takeBack()
    this.#deleted = true
    for (const events of this.#events) events.deleted()
    this.#events.clear()
  }

  /** Undoes what was done on the host, and gives the name free. */
  async #takeBack(): Promise<void> {
    try {
      await this.#hostStep // which would go on to do what is being undone
    } catch {
      // It has been reported as what made create() fail.
    }
    try {
      if (this.#kept !== undefined) {
        await this.#kept.keeperEnd(true)
        if (this.#journal.empty && this.#kept.folder.isNamed)
          this.#journal = Journal.load(this.#kept.folder, recorded)
      }
      if (!this.#journal.empty) await this.#journal.rollBack()
      if (targetsAreLeft()) removeLeftTargets()
      // Of an attached one whose program has just died nobody knows init, which may be dying still.
      if (this.#kept !== undefined && this.#configuration.lifetime === 'attached')
        for (let i = 0; i < TRIES && targetsAreLeft(); i++) {
          await sleep(PAUSE)
          removeLeftTargets()
        }
      this.#kept?.folder.remove()
      this.#folder?.remove()
    } finally {
      if (this.#hooks !== undefined) this.warnings.push(...(await this.#hooks.stopped()))
      if (this.#kept === undefined) {
        native().unclaim(this.id)
        boxes.delete(`${this.#root}/${this.id}`)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete()
  }

  /** What goes to a plan's placeholders: the host name, and where its group is. */
  #texts({ placeholders }: EncodedPlan, leaf?: string): string[] {
    return placeholders.map(
      name => this.#group?.text(name, leaf) ?? hostnameOf(this.#configuration, this.id),
    )
  }

  #groupMounts(): GroupMounts | undefined {
    return this.#group === undefined ? undefined : groupMounts(this.#group.inner)
  }

  /** Of whom a start, or an exec, is asked. */
  #asked(isFirst: boolean): Asked {
    return {
      configuration: this.#configuration,
      prepared: this.#prepared,
      init: () => this.#init,
      isFirst,
      hasKeeper: this.#kept?.hasKeeper === true,
    }
  }

  #pipeOwner() {
    return pipeOwner(this.#configuration, this.pid)
  }

  #mustBe(status: Status, what: string): void {
    if (this.status === status) return
    // An init that failed while it was parked says more.
    if (this.status === 'stopped' && this.#main === undefined && this.#init.error)
      throw this.#init.error
    throw this.#notNow(what)
  }

  #notNow(what: string): CofferdamError {
    const { status } = this
    return new CofferdamError(`${what}: container ${this.id} is ${status}`, {
      code: 'ERR_STATE',
      cause: this.#init.error,
      hint: stateHints[status],
    })
  }

  async #runStartHooks(point: 'startContainer' | 'poststart', pid?: number): Promise<void> {
    this.#starting = true
    this.#hostStep = this.#hooks?.run(point, pid as number)
    await this.#hostStep
    this.#starting = false
  }

  /** Runs the host's function of a waiting point. */
  async #runHostStep(step: WaitingStep, pid: number, descriptor: number): Promise<unknown> {
    const point = hookPointOf(step)
    if (point !== undefined) return this.#hooks?.run(point, pid)
    if (step === joinGroupStep) return this.#group?.inner.add(pid)
    if (step === recordStep) return this.#kept?.record(pid)
    const context: HostContext = {
      id: this.id,
      pid,
      descriptor,
      namespace: (kind: NamespaceKind) => pathOf(kind, pid),
    }
    const { undo } = step
    if (undo !== undefined)
      this.#journal.add({ step: step.name, undo: () => undo.call(step, context) })
    return await step.run(context)
  }

  /** Notes which parts of a mount target init is about to make. */
  #beforeMaking({ args, onHost, makes }: Operation): void {
    const [, path, how] = args
    const { rootfs } = this.#configuration
    const root =
      rootfs?.type === 'directory'
        ? rootfs.path
        : rootfs?.type === 'overlay'
          ? rootfs.upper
          : undefined
    const place = onHost ?? (typeof path === 'string' && root ? { root, path } : undefined)
    if (place === undefined) throw new Error('nothing is to be made there')
    const file = typeof how === 'object' && 'text' in how && how.text.includes('FILE')
    const made: Made = makes ?? { kind: file ? 'file' : 'directory' }
    for (const entry of targetEntries(place.root, place.path, made)) this.#journal.add(entry)
  }
}

/** What to do where something is not possible in a state. */
const stateHints: Partial<Record<Status, string>> = {
  created: 'start() it first',
  paused: 'resume() lets it go on',
  stopped: 'its first process has ended, and it can not be started again: make another one',
}

/** The journal entry of which this is the record. */
function recorded(record: object): JournalEntry {
  return isGroupRecord(record) ? recordedGroup(record) : recordedTarget(record)
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
