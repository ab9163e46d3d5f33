import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
import {
  CofferdamError,
  identify,
  native,
  nativeError,
  type ProcessIdentity,
} from '../base/index.js'
import type { Configuration } from './configuration.js'

/** What is known of a container from its first moment on, and never changes. */
export interface Facts {
  version: 1
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** The program that made it. */
  maker: ProcessIdentity
  configuration: Configuration
}

/**
 * Where containers leave what must outlast the program that made them:
 * `/run/cofferdam`; for an ordinary user below `$XDG_RUNTIME_DIR`, or where there
 * is none in a folder of the user's own for temporary files.
 */
export function defaultStateFolder(): string {
  const uid = process.geteuid?.() ?? 0
  if (uid === 0) return '/run/cofferdam'
  const runtime = process.env.XDG_RUNTIME_DIR
  return runtime ? `${runtime}/cofferdam` : `${tmpdir()}/cofferdam-${uid}`
}

/** How long an operation waits for another program's, before it gives up. */
const PATIENCE = 30_000

let made = 0

/**
 * A container's folder of facts: each file is written at once or by rename, so
 * that it is whole at every moment; what changes is asked of the kernel. The folder
 * itself comes and goes by rename too, with all that it must have.
 */
export class StateFolder {
  readonly path: string
  readonly #root: string
  readonly #id: string
  /** Where it is before it has its name. */
  #unnamed: string | undefined

  private constructor(root: string, id: string) {
    this.#root = root
    this.#id = id
    this.path = `${root}/${id}`
  }

  /**
   * Makes the folder of a new container, which has no name before {@link publish}.
   *
   * @returns the folder and its lock, which is held.
   */
  static create(root: string, id: string): [StateFolder, Lock] {
    makeRoot(root)
    const folder = new StateFolder(root, id)
    folder.#unnamed = `${root}/${temporary('new')}`
    try {
      mkdirSync(folder.#unnamed, { mode: 0o700 })
      return [folder, tryLock(folder.#unnamed) as Lock]
    } catch (cause) {
      folder.remove()
      throw stateError('make', folder.#unnamed, cause)
    }
  }

  /**
   * Gives it its name, and with it to all programs.
   *
   * @throws CofferdamError `EEXIST` when there is a container of this name.
   */
  publish(configuration: Configuration): void {
    const facts: Facts = {
      version: 1,
      id: this.#id,
      createdAt: Date.now(),
      maker: ownIdentity(),
      configuration,
    }
    try {
      writeFileSync(`${this.#unnamed}/container.json`, toJson(facts), { mode: 0o600 })
      renameSync(this.#unnamed as string, this.path)
      this.#unnamed = undefined
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code === 'ENOTEMPTY' || code === 'EEXIST') throw nameTaken(this.#id)
      throw stateError('make', this.path, cause)
    }
  }

  static has(root: string, id: string): boolean {
    return new StateFolder(root, id).exists
  }

  /** @throws CofferdamError `ENOENT` when there is no such container. */
  static open(root: string, id: string): StateFolder {
    const folder = new StateFolder(root, id)
    if (!folder.exists) throw folder.#gone()
    return folder
  }

  /** Names of the containers that have a folder. Clears away what was left half-made. */
  static names(root: string): string[] {
    let all: string[]
    try {
      all = readdirSync(root)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw stateError('list', root, cause)
    }
    for (const name of all) {
      const [, pid, startTime] = /^\.\w+-(\d+)-(\d+)-\d+-\d+$/.exec(name) ?? []
      if (pid === undefined) continue
      if (identify(Number(pid))?.startTime !== Number(startTime))
        rmSync(`${root}/${name}`, { recursive: true, force: true })
    }
    return all.filter(name => !name.startsWith('.'))
  }

  /** Whether it is known to other programs. */
  get isNamed(): boolean {
    return this.#unnamed === undefined
  }

  get exists(): boolean {
    return existsSync(`${this.path}/container.json`)
  }

  /** @throws CofferdamError `ENOENT` when the container has been deleted. */
  facts(): Facts {
    const facts = this.read<Facts>('container.json')
    if (facts === undefined) throw this.#gone()
    return facts
  }

  /** A fact; undefined when it has not been written. */
  read<T>(name: string): T | undefined {
    const text = this.bytes(name)?.toString()
    return text ? (fromJson(text) as T) : undefined
  }

  bytes(name: string): Buffer | undefined {
    try {
      return readFileSync(`${this.path}/${name}`)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw stateError('read', `${this.path}/${name}`, cause)
    }
  }

  /**
   * Writes a fact that is new. It is there in one write(2), or the file is empty,
   * and then it is not there.
   */
  writeOnce(name: string, fact: unknown): void {
    const path = this.#ownPath(name)
    try {
      writeFileSync(path, toJson(fact), { mode: 0o600 })
    } catch (cause) {
      throw stateError('write', path, cause)
    }
  }

  /** Writes what may have been there before. */
  write(name: string, fact: unknown): void {
    const path = this.#ownPath(name)
    try {
      writeFileSync(`${path}.new`, toJson(fact), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    } catch (cause) {
      throw stateError('write', path, cause)
    }
  }

  /** One that did not get its name must not write to who has it. */
  #ownPath(name: string): string {
    if (this.#unnamed !== undefined) throw nameTaken(this.#id)
    return `${this.path}/${name}`
  }

  forget(name: string): void {
    rmSync(`${this.path}/${name}`, { force: true })
  }

  /** Calls `use` with a descriptor of the folder, which has no part in a lock of it. */
  use<T>(use: (descriptor: number) => T): T {
    const descriptor = openFolder(this.#unnamed ?? this.path)
    if (descriptor === undefined) throw this.#gone()
    try {
      return use(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }

  /**
   * Waits until no other operation, of any program, has the lock. The kernel
   * tells nobody when a lock is given up but who sleeps on it, which would take a
   * thread; so it is tried again, after 1 ms at first and 20 ms at most. flock(2)
   *
   * @throws CofferdamError `ENOENT` when the container is deleted meanwhile,
   * `EBUSY` after half a minute.
   */
  async lock(): Promise<Lock> {
    for (let until = Date.now() + PATIENCE, pause = 1; ; pause = Math.min(2 * pause, 20)) {
      if (!this.exists) throw this.#gone()
      const lock = tryLock(this.path)
      if (lock !== undefined) {
        if (lock.isOf(this.path)) return lock
        lock.release() // of a folder that has gone
      } else if (Date.now() > until) {
        throw new CofferdamError(`another program is at work on container ${this.#id}`, {
          code: 'EBUSY',
          path: this.path,
        })
      }
      await sleep(pause)
    }
  }

  /** Takes the folder away, and with it the name. */
  remove(): void {
    const unnamed = this.#unnamed ?? `${this.#root}/${temporary('old')}`
    try {
      if (this.#unnamed === undefined) renameSync(this.path, unnamed)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
      throw stateError('remove', this.path, cause)
    }
    rmSync(unnamed, { recursive: true, force: true })
  }

  #gone(): CofferdamError {
    return new CofferdamError(`there is no container named ${this.#id}`, {
      code: 'ENOENT',
      path: this.path,
    })
  }
}

export function nameTaken(id: string): CofferdamError {
  return new CofferdamError(`there is already a container named ${id}`, {
    code: 'EEXIST',
    option: 'id',
  })
}

/** The right to change a container, until it is given up or this program ends. */
export class Lock {
  /** Of the folder, open as long as the lock is held. */
  readonly descriptor: number
  #held = true

  constructor(descriptor: number) {
    this.descriptor = descriptor
  }

  /** Of the folder that is at this path now. */
  isOf(path: string): boolean {
    try {
      const [ours, theirs] = [fstatSync(this.descriptor), statSync(path)]
      return ours.ino === theirs.ino && ours.dev === theirs.dev
    } catch {
      return false
    }
  }

  release(): void {
    if (this.#held) closeSync(this.descriptor)
    this.#held = false
  }
}

/** Undefined when another has it, or there is nothing to lock. */
function tryLock(path: string): Lock | undefined {
  const descriptor = openFolder(path)
  if (descriptor === undefined) return undefined
  try {
    if (native().lock(descriptor)) return new Lock(descriptor)
    closeSync(descriptor)
    return undefined
  } catch (error) {
    closeSync(descriptor)
    throw nativeError(`lock ${path}`, error)
  }
}

function openFolder(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw stateError('open', path, cause)
  }
}

let own: ProcessIdentity | undefined

function ownIdentity(): ProcessIdentity {
  own ??= identify(process.pid) as ProcessIdentity
  return own
}

/** Name of a folder that is no container's; whose maker has ended it is rubbish. */
function temporary(kind: 'new' | 'old'): string {
  const { pid, startTime } = ownIdentity()
  return `.${kind}-${pid}-${startTime}-${threadId}-${made++}`
}

/** Only its owner may look in: who can connect to what is there, controls containers. */
function makeRoot(root: string): void {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const stat = lstatSync(root)
    const uid = process.geteuid?.()
    if (stat.isDirectory() && stat.uid === uid && (stat.mode & 0o022) === 0) return
  } catch (cause) {
    throw stateError('make', root, cause)
  }
  throw new CofferdamError(`state folder: ${root} could be changed by others`, {
    code: 'EACCES',
    path: root,
    hint: 'it must be a directory of this user, to which no other may write',
  })
}

function stateError(what: string, path: string, cause: unknown): unknown {
  if (cause instanceof CofferdamError) return cause
  const { code = 'EIO', errno = 0, syscall } = cause as NodeJS.ErrnoException
  return new CofferdamError(`state folder: ${what} ${path}: ${code}`, {
    code,
    errno: -errno,
    syscall,
    path,
    cause,
  })
}

// JSON has no undefined, which takes a variable of the environment away.
const UNDEFINED = '\0undefined'

function toJson(fact: unknown): string {
  return JSON.stringify(fact, (_, value) => (value === undefined ? UNDEFINED : value))
}

function fromJson(text: string): unknown {
  const restore = (value: unknown): unknown => {
    if (value === UNDEFINED) return undefined
    if (typeof value !== 'object' || value === null) return value
    for (const [key, inner] of Object.entries(value))
      (value as Record<string, unknown>)[key] = restore(inner)
    return value
  }
  return restore(JSON.parse(text))
}
