import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { CofferdamError, errnoName } from './errors.js'

/** What happens to a container, as the addon tells it; src-native/addon/environment.h. */
export const NativeEvent = {
  parked: 1,
  failed: 2,
  omitted: 3,
  waiting: 4,
  making: 5,
  started: 6,
  exited: 7,
  spawnFailed: 8,
  terminal: 9,
  kept: 10,
} as const

/** A stream that start() is to make a pipe for. */
export const STREAM_PIPE = -1
/** A stream that start() is to connect to /dev/null. */
export const STREAM_IGNORE = -2

/** The addon. Its functions throw errors with `nr` and `errno`, see {@link nativeError}. */
export interface Native {
  /** The one listener of this environment; what a to d are depends on the event. */
  listen(
    listener: (id: number, event: number, a: number, b: number, c: number, d: number) => void,
  ): void
  /**
   * Queues a start and returns the container's number. Does not wait. `texts`
   * go where `patches` say in a copy of the plan. What `ahead` leaves is sent
   * along if it is ready, from an earlier call, and is made for the next one.
   * The first slot gets the pidfd of container `target`, if that is not 0, or a
   * state folder, if that is not -1; then the container may outlive this process.
   * `forks`: init goes on in another child of this process, as sibling() has it.
   */
  create(
    cloneFlags: number,
    ahead: Uint8Array | null,
    hostPlan: Uint8Array | null,
    plan: Uint8Array,
    texts: readonly string[],
    patches: Uint32Array,
    target: number,
    folder: number,
    forks: boolean,
  ): number
  /** The number of a process that may be another's child. `ESRCH` when it has ended. */
  adopt(pid: number, startTime: number, number: number): number
  /** A number that no other process of this boot has; 0 where the kernel has none for it. */
  processNumber(pid: number): number
  /** What is sent to this container goes to the init that listens in the state folder. */
  connect(id: number, folder: number): void
  /** Whether a container, or a terminal, keeps the event loop alive. */
  hold(id: number, holds: boolean): void
  /** Lets an init that waits go on, with a descriptor if `fd` is none below 0. */
  proceed(id: number, fd: number): void
  /**
   * Sends the process half with the standard streams and further descriptors; gives
   * the host's ends of the pipes it made, or -1.
   */
  start(
    id: number,
    plan: Uint8Array,
    texts: readonly string[],
    patches: Uint32Array,
    streams: readonly number[],
    pipeOwner?: readonly [uid: number, gid: number],
  ): [number, number, number]
  signal(id: number, signal: number): void
  /** Carries out a host-side plan at once, and gives the descriptors it leaves. */
  run(hostPlan: Uint8Array): number[]
  /** A container made with a state folder is whole, and may outlive this process. */
  outlive(id: number): void
  /** Locks a file or folder for its descriptor; false when another one has the lock. */
  lock(folder: number): boolean
  /** Both ends of a new pipe, to be taken or closed. */
  pipe(): [number, number]
  /** A connection to a socket in a folder. */
  dial(folder: number, name: string): number
  /** Sends one packet, with descriptors. Does not wait. */
  send(fd: number, bytes: Uint8Array, descriptors: readonly number[]): void
  /** A packet; null when none comes within so many milliseconds. Its descriptors are the caller's. */
  receive(fd: number, timeout: number): { bytes: Buffer; descriptors: number[] } | null
  /** A stream object owns this pipe's end from now on. */
  take(fd: number): void
  /**
   * What a pipe holds, if nobody can write to it any more and it is no more than
   * `most` bytes; then it is closed. Otherwise null.
   */
  drain(fd: number, most: number): Uint8Array | null
  /** The number of a terminal by its master side, which is the addon's from now on. */
  openTerminal(fd: number): number
  /** What was written to it; null when there is nothing yet, undefined at the end. */
  readTerminal(terminal: number): Buffer | null | undefined
  /** How many bytes it has taken; -1 when nobody reads any more. */
  writeTerminal(terminal: number, bytes: Uint8Array): number
  resizeTerminal(terminal: number, rows: number, columns: number): void
  closeTerminal(terminal: number): void
  /** Closes a descriptor that the addon gave. */
  close(fd: number): void
  /** Takes a name for a container; false when another one of this process has it. */
  claim(id: string): boolean
  unclaim(id: string): void
  check(plan: Uint8Array, hostSide: boolean): boolean
  useInit(executable: Uint8Array): void
  facts(): NativeFacts
}

/** What the addon knows of itself and of the machine. */
export interface NativeFacts {
  /** This architecture's numbers. */
  syscalls: Record<string, number>
  /** Size of init's executable in bytes. */
  initSize: number
  /** Whether init runs from a sealed memfd; otherwise from an unlinked file. */
  initSealed: boolean
}

let loaded: Native | undefined
let knownFacts: NativeFacts | undefined

/**
 * The addon, loaded on first use, so that a program can import the package on
 * any system.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` anywhere but on Linux, or when
 * there is no build for this machine.
 */
export function native(): Native {
  loaded ??= load()
  return loaded
}

/** {@link Native.facts}, asked for once. */
export function nativeFacts(): NativeFacts {
  knownFacts ??= native().facts()
  return knownFacts
}

function load(): Native {
  if (process.platform !== 'linux')
    throw new CofferdamError(`cofferdam runs on Linux, and this is ${process.platform}`, {
      code: 'ERR_UNSUPPORTED',
    })
  const require = createRequire(import.meta.url)
  try {
    const loadAddon = require('node-gyp-build') as (root: string) => Native
    return loadAddon(fileURLToPath(new URL('../..', import.meta.url)))
  } catch (cause) {
    throw new CofferdamError('the native addon of cofferdam could not be loaded', {
      code: 'ERR_UNSUPPORTED',
      hint: 'run "npm rebuild cofferdam"; building it needs a C and C++ compiler, make and python3',
      cause,
    })
  }
}

/**
 * The typed error for one that the addon threw. `what` is what was tried, for
 * the message. An error of another kind comes back as it is.
 */
export function nativeError(what: string, error: unknown): unknown {
  const { nr, errno } = (error ?? {}) as { nr?: number; errno?: number }
  if (nr === undefined || errno === undefined) return error
  const code = errnoName(errno)
  const syscall = syscallName(nr)
  const message = `${what}: ${syscall === undefined ? '' : `${syscall}: `}${code}`
  return new CofferdamError(message, { code, errno, syscall, cause: error })
}

const namesByNumber = new Map<number, string>()

/** `openat2` for its number on this architecture. */
export function syscallName(nr: number): string | undefined {
  if (namesByNumber.size === 0)
    for (const [name, number] of Object.entries(nativeFacts().syscalls))
      namesByNumber.set(number, name)
  return namesByNumber.get(nr)
}
