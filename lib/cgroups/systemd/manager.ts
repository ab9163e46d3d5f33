import { CofferdamError } from '../../base/index.js'
import { Bus, BusError, type Message, Variant } from '../dbus/index.js'
import { managerAddress, type Whose } from './detect.js'
import type { Property } from './properties.js'

const NAME = 'org.freedesktop.systemd1'
const PATH = '/org/freedesktop/systemd1'
const MANAGER = `${NAME}.Manager`

/** As long a unit may take to start or stop, in milliseconds; a job has no end of its own. */
const JOB_TIMEOUT = 30_000

/**
 * systemd, as far as groups are its business. Every method is one of
 * org.freedesktop.systemd1(5); the connection is to be closed.
 */
export class Manager implements Disposable {
  readonly #bus: Bus
  #subscribed = false

  private constructor(bus: Bus) {
    this.#bus = bus
  }

  /** @throws CofferdamError `ERR_UNSUPPORTED` where there is none; else of the connection. */
  static async open(whose: Whose): Promise<Manager> {
    const address = managerAddress(whose)
    if (address === undefined) throw noManager(whose)
    try {
      return new Manager(await Bus.open(address))
    } catch (cause) {
      throw noManager(whose, cause)
    }
  }

  /** A transient unit, which runs when this resolves. `StartTransientUnit` */
  async start(unit: string, properties: readonly Property[]): Promise<void> {
    await this.#job(unit, () =>
      this.#call(unit, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', [unit, 'fail', properties, []]),
    )
  }

  /** Ends what is in it; no unit is no error. `StopUnit`, `ResetFailedUnit` */
  async stop(unit: string): Promise<void> {
    try {
      await this.#job(unit, () => this.#call(unit, 'StopUnit', 'ss', [unit, 'replace']))
      await this.#call(unit, 'ResetFailedUnit', 's', [unit])
    } catch (error) {
      if ((error as CofferdamError).code !== 'ENOENT') throw error
    }
  }

  /** Not beyond the next boot. `SetUnitProperties` */
  async set(unit: string, properties: readonly Property[]): Promise<void> {
    if (properties.length === 0) return
    await this.#call(unit, 'SetUnitProperties', 'sba(sv)', [unit, true, properties])
    // It writes to the kernel before it looks at the next message.
    await this.#get(PATH, MANAGER, 'Version')
  }

  /** Its group, as `/system.slice/demo.scope`. @throws CofferdamError `ENOENT` for no such unit. */
  async group(unit: string): Promise<string> {
    const [path] = await this.#call(unit, 'GetUnit', 's', [unit])
    const kind = unit.endsWith('.slice') ? 'Slice' : 'Scope'
    const group = await this.#get(path as string, `${NAME}.${kind}`, 'ControlGroup')
    if (typeof group !== 'string' || group === '')
      throw unitError(unit, 'ENOENT', 'it has no group')
    return group
  }

  /** Whether somebody has made it by a call, and no file describes it. `Transient` */
  async transient(unit: string): Promise<boolean> {
    const [path] = await this.#call(unit, 'GetUnit', 's', [unit])
    return (await this.#get(path as string, `${NAME}.Unit`, 'Transient')) === true
  }

  /**
   * Puts processes into a unit's group, or one below it, also from where an ordinary user may
   * not. `AttachProcessesToUnit`, systemd 238
   */
  async attach(unit: string, below: string, pids: readonly number[]): Promise<void> {
    await this.#call(unit, 'AttachProcessesToUnit', 'ssau', [unit, below, pids])
  }

  [Symbol.dispose](): void {
    this.#bus.close()
  }

  /** Does what makes a job, and waits for its end. `JobRemoved` */
  async #job(unit: string, begin: () => Promise<readonly unknown[]>): Promise<void> {
    const removed = new Map<string, string>()
    let told: () => void = () => undefined
    const off = this.#bus.onSignal((signal: Message) => {
      if (signal.interface !== MANAGER || signal.member !== 'JobRemoved') return
      const [, job, , result] = signal.body
      if (typeof job === 'string' && typeof result === 'string') removed.set(job, result)
      told()
    })
    let timer: NodeJS.Timeout | undefined
    try {
      await this.#subscribe(unit)
      const [job] = (await begin()) as [string]
      const done = new Promise<void>(resolve => {
        told = () => (removed.has(job) ? resolve() : undefined)
        told()
      })
      const late = new Promise<never>((_, reject) => {
        const error = unitError(
          unit,
          'ETIMEDOUT',
          `systemd is not done after ${JOB_TIMEOUT / 1000} s`,
        )
        timer = setTimeout(() => reject(error), JOB_TIMEOUT)
      })
      await Promise.race([done, late, this.#bus.failed()])
      const result = removed.get(job)
      if (result !== 'done') throw unitError(unit, 'ERR_SYSTEMD', `its job ended as ${result}`)
    } finally {
      clearTimeout(timer)
      off()
    }
  }

  /** Has systemd tell of its jobs. `Subscribe` */
  async #subscribe(unit: string): Promise<void> {
    if (this.#subscribed) return
    await this.#bus.match(
      `type='signal',sender='${NAME}',path='${PATH}',interface='${MANAGER}',member='JobRemoved'`,
    )
    await this.#call(unit, 'Subscribe')
    this.#subscribed = true
  }

  async #call(unit: string, member: string, signature?: string, body: readonly unknown[] = []) {
    const call = { destination: NAME, path: PATH, interface: MANAGER, member, body }
    try {
      return await this.#bus.call(signature === undefined ? call : { ...call, signature })
    } catch (error) {
      if (error instanceof CofferdamError) throw error
      throw unitError(unit, codeOf(error), `${member}: ${(error as Error).message}`, error)
    }
  }

  async #get(path: string, of: string, property: string): Promise<unknown> {
    const [value] = await this.#bus.call({
      destination: NAME,
      path,
      interface: 'org.freedesktop.DBus.Properties',
      member: 'Get',
      signature: 'ss',
      body: [of, property],
    })
    return value instanceof Variant ? value.value : undefined
  }
}

/** Codes for the errors that systemd and the bus answer. */
const codes: Record<string, string> = {
  [`${NAME}.UnitExists`]: 'EEXIST',
  [`${NAME}.NoSuchUnit`]: 'ENOENT',
  [`${NAME}.LoadFailed`]: 'ENOENT',
  [`${NAME}.NoSuchProcess`]: 'ESRCH',
  'org.freedesktop.DBus.Error.UnixProcessIdUnknown': 'ESRCH',
  'org.freedesktop.DBus.Error.AccessDenied': 'EACCES',
  'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired': 'EACCES',
  'org.freedesktop.DBus.Error.InvalidArgs': 'EINVAL',
  'org.freedesktop.DBus.Error.PropertyReadOnly': 'ERR_UNSUPPORTED',
  'org.freedesktop.DBus.Error.UnknownMethod': 'ERR_UNSUPPORTED',
  'org.freedesktop.DBus.Error.Timeout': 'ETIMEDOUT',
  'org.freedesktop.DBus.Error.NoReply': 'ETIMEDOUT',
  'org.freedesktop.DBus.Error.ServiceUnknown': 'ERR_UNSUPPORTED',
}

function codeOf(error: unknown): string {
  if (!(error instanceof BusError)) return (error as NodeJS.ErrnoException).code ?? 'EPROTO'
  return codes[error.errorName] ?? 'ERR_SYSTEMD'
}

const hints: Record<string, string> = {
  EEXIST: 'systemctl status names what is in it; choose another name, or stop that one',
  EACCES:
    'an ordinary user has a systemd of its own, which takes XDG_RUNTIME_DIR or a login session',
  ETIMEDOUT: 'systemctl list-jobs shows what it waits for',
}

function unitError(unit: string, code: string, problem: string, cause?: unknown): CofferdamError {
  const name = cause instanceof BusError ? cause.errorName : undefined
  const text = name === undefined ? problem : `${problem} [${name}]`
  const details = { code, path: unit, controller: 'cgroup', hint: hints[code], cause }
  return new CofferdamError(`systemd: ${unit}: ${text}`, details)
}

function noManager(whose: Whose, cause?: unknown): CofferdamError {
  const problem = cause === undefined ? 'there is none here' : (cause as Error).message
  return new CofferdamError(`systemd: ${whose === 'user' ? "this user's: " : ''}${problem}`, {
    code: 'ERR_UNSUPPORTED',
    option: 'cgroup.manager',
    controller: 'cgroup',
    hint:
      whose === 'user'
        ? "it takes a session of the user's, or loginctl enable-linger, and XDG_RUNTIME_DIR; or manager: 'cgroupfs'"
        : "manager: 'cgroupfs' does without",
    cause,
  })
}
