import { CofferdamError } from '../base/index.js'
import { pathOf } from '../namespaces/index.js'
import type { Init } from '../run/index.js'
import type { Configuration } from './configuration.js'
import type { OwnGroup } from './group.js'
import { runInside, runOnHost } from './hook-programs.js'
import type { HookContext, HookFunction, HookPoint, HookState, ProgramHook } from './hooks.js'
import type { PreparedProcesses } from './prepare.js'

/** The version of the runtime specification whose hooks and state these are. */
const OCI_VERSION = '1.2.1'

const statuses: Record<HookPoint, HookState['status']> = {
  prestart: 'creating',
  createRuntime: 'creating',
  createContainer: 'creating',
  startContainer: 'created',
  poststart: 'running',
  poststop: 'stopped',
}

/** The container that hooks are for. */
export interface HookOwner {
  id: string
  configuration: Configuration
  prepared: PreparedProcesses
  init(): Init
  /** In which programs in the container run. */
  group(): OwnGroup | undefined
  /** What hooks are told where `bundle()` said nothing. */
  stateFolder: string
}

/** Runs the hooks of one container. */
export class HookRunner {
  readonly #owner: HookOwner
  #given = false
  #running: AbortController | undefined
  /** Since the first hooks, or since it was made, there is something to be stopped. */
  #existed = false
  #stopped = false

  constructor(owner: HookOwner) {
    this.#owner = owner
  }

  has(point: HookPoint): boolean {
    return (this.#owner.configuration.hooks?.[point]?.length ?? 0) > 0
  }

  /** The container has been made, so its end will be one. */
  made(): void {
    this.#existed = true
  }

  /** Whatever runs is killed, and what waits for it rejects. Not the hooks of the end. */
  abort(): void {
    this.#given = true
    this.#running?.abort()
  }

  /** Runs the hooks of a point, one after the other, until one fails. */
  async run(point: HookPoint, pid: number): Promise<void> {
    this.#existed = true
    const { configuration, init } = this.#owner
    const running = new AbortController()
    this.#running = running
    if (this.#given) running.abort()
    // Who waits for a hook would else never hear that init has been killed. A
    // program that has been executed may end, though.
    if (point !== 'poststart')
      void init()
        .end()
        .then(() => running.abort())
    for (const [i, hook] of (configuration.hooks?.[point] ?? []).entries())
      await this.#one(point, i, hook, pid, running.signal)
  }

  /** Runs all hooks of the end, the first time; gives the errors of those that failed. */
  async stopped(): Promise<CofferdamError[]> {
    const warnings: CofferdamError[] = []
    if (!this.#existed || this.#stopped) return warnings
    this.#stopped = true
    const never = new AbortController().signal
    for (const [i, hook] of (this.#owner.configuration.hooks?.poststop ?? []).entries())
      try {
        await this.#one('poststop', i, hook, undefined, never)
      } catch (error) {
        warnings.push(error as CofferdamError)
      }
    return warnings
  }

  async #one(
    point: HookPoint,
    number: number,
    hook: ProgramHook | HookFunction,
    pid: number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const step = `${point} hook ${number}`
    const state = this.#state(point, pid)
    try {
      if (signal.aborted) throw aborted()
      if (typeof hook === 'function') await hook(state, context(pid, signal))
      else if (point === 'createContainer' || point === 'startContainer')
        await runInside(point, hook, JSON.stringify(state), pid as number, this.#owner, signal)
      else
        await runOnHost(
          hook,
          JSON.stringify(state),
          this.#owner.configuration.bundle ?? '/',
          signal,
        )
      // A function may not have looked at the signal.
      if (signal.aborted) throw aborted()
    } catch (cause) {
      throw hookError(step, cause)
    }
  }

  #state(point: HookPoint, pid: number | undefined): HookState {
    const { id, configuration, stateFolder } = this.#owner
    return {
      ociVersion: OCI_VERSION,
      id,
      status: statuses[point],
      ...(pid === undefined ? {} : { pid }),
      bundle: configuration.bundle ?? stateFolder,
      annotations: { ...configuration.annotations },
    }
  }
}

function context(pid: number | undefined, signal: AbortSignal): HookContext {
  return {
    pid,
    signal,
    namespace(kind) {
      if (pid === undefined)
        throw new CofferdamError('the container is stopped and has no namespaces', {
          code: 'ERR_STATE',
        })
      return pathOf(kind, pid)
    },
  }
}

function aborted(): CofferdamError {
  return new CofferdamError('the container was given up', { code: 'ABORT_ERR' })
}

/** The error of a hook, which names it. */
function hookError(step: string, cause: unknown): CofferdamError {
  const { code = 'ERR_HOOK', message = String(cause) } = (cause ?? {}) as NodeJS.ErrnoException
  const { errno, syscall, operation, path } = (cause ?? {}) as CofferdamError
  const known = cause instanceof CofferdamError ? { errno, syscall, operation, path } : {}
  return new CofferdamError(`${step}: ${message}`, { code, step, ...known, cause })
}
