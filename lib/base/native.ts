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
  changed: 11,
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
   * go where `patches` say in a copy of the plan. Of what the host plan leaves, the
   * descriptor of number `into`, if that is not -1, is the folder of the group that
   * the process is made in. What `ahead` leaves is sent
   * along if it is ready, from an earlier call, and is made for the next one.
   * The first slot gets the pidfd of container `target`, if that is not 0, or a
   * state folder, if that is not -1; then the container may outlive this process.
   * `forks`: init goes on in another child of this process, as sibling() has it.
   */
  create(
    cloneFlags: number,
    ahead: Uint8Array | null,
    hostPlan:
      | readonly [plan: Uint8Array, texts: readonly string[], patches: Uint32Array, into: number]
      | null,
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
  /** Whether a container, a terminal or a watch keeps the event loop alive. */
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
  /**
   * Carries out small operations on files in their order, on another thread, up to the
   * first that fails with an error which it does not tolerate. A write is one write(2) to a
   * file that is there, a directory gets mode 755, and of a read at most 16 MiB are taken. A copy
   * writes what another file says, which must not be empty (`ENODATA`).
   *
   * @param operations Of each the fields, each ended by NUL: its kind, a place in
   * {@link fileOperationKinds}; the path; what to write, or the file to copy; how many of the
   * next operations are left out after a tolerated error; how many errors are tolerated, and
   * their numbers.
   */
  files(operations: string): Promise<NativeFileAnswers>
  /** The same on this thread, at once. */
  filesNow(operations: string): NativeFileAnswers
  /** A container made with a state folder is whole, and may outlive this process. */
  outlive(id: number): void
  /** Locks a file or folder for its descriptor; false when another one has the lock. */
  lock(folder: number): boolean
  /**
   * One of the requests of ioctl_nsfs(2), by its number; `ENOTTY` when `fd` is of no
   * namespace, or the kernel is older than the request.
   */
  namespaceQuery(fd: number, request: number, argument: number): bigint
  /** Both ends of a new pipe, to be taken or closed. */
  pipe(): [number, number]
  /** A connection to a socket in a folder. */
  dial(folder: number, name: string): number
  /** Sends one packet, with descriptors. Does not wait. */
  send(fd: number, bytes: Uint8Array, descriptors: readonly number[]): void
  /** A packet; null when none comes within so many milliseconds. Its descriptors are the caller's. */
  receive(fd: number, timeout: number): { bytes: Buffer; descriptors: number[] } | null
  /** Closes a descriptor that the addon gave at the end of this thread, if nobody has before. */
  keep(fd: number): void
  /** Somebody else closes this descriptor: a stream object owns this pipe's end from now on, say. */
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
  /**
   * The number of a watch on a file of the kernel's that tells of changes, and a
   * descriptor of that file that is the addon's, to read it by until `unwatch()`. The
   * first event comes at once. epoll(7)
   */
  watch(fd: number): [watch: number, fd: number]
  unwatch(watch: number): void
  /** Whether such a file has changed since this was last asked of it. Does not wait. poll(2) POLLPRI */
  hasChanged(fd: number): boolean
  /** The securebits of the calling thread. prctl(2) PR_GET_SECUREBITS */
  securebits(): number
  /**
   * Whether the calling thread's bounding set has a capability, 1 or 0; -1 when the
   * kernel knows none of that number. prctl(2) PR_CAPBSET_READ
   */
  inBounding(capability: number): number
  /** An extended attribute, following links; null when there is none. getxattr(2) */
  getXattr(path: string, name: string): Buffer | null
  /** setxattr(2) */
  setXattr(path: string, name: string, value: Uint8Array): void
  /** removexattr(2) */
  removeXattr(path: string, name: string): void
  /**
   * What `mask` asks for of a mount, as the kernel's struct statmount; in the mount
   * namespace of this number, or the own one for 0. statmount(2)
   */
  statmount(id: bigint, namespace: bigint, mask: bigint): Buffer
  /** Numbers of the mounts below one. listmount(2) */
  listmount(parent: bigint, namespace: bigint, reverse: boolean): BigUint64Array
  /** Number of the mount that a path is on. statx(2) STATX_MNT_ID_UNIQUE */
  mountNumber(path: Uint8Array): bigint
  /**
   * Reads files of the kernel's on another thread. Of each folder (paths, each ended by
   * NUL) those of one list of names, likewise; `kinds` says of which. All bytes, in that
   * order, and of each file their count, or a negative errno value. Of `descriptors`,
   * one for each file, those from 0 on are read instead; up to `most` new ones are kept,
   * and what there is then comes back.
   */
  readFiles(
    folders: string,
    kinds: Uint32Array,
    names: readonly string[],
    descriptors: Int32Array | null,
    most: number,
  ): Promise<[bytes: Buffer, sizes: Int32Array, descriptors: Int32Array | null]>
  /**
   * A descriptor of a program for accesses to devices, from instructions as bpf(2) has
   * them; `EINVAL` or `EACCES` when the kernel can't prove it sound.
   */
  bpfLoad(instructions: Uint8Array, name: string): number
  /** Attaches it to a v2 group, besides others, or in the place of `replaced`, if not -1. */
  bpfAttach(group: number, program: number, replaced: number): void
  bpfDetach(group: number, program: number): void
  /** Numbers of the programs that are attached to a group itself. */
  bpfQuery(group: number): number[]
  /** A descriptor of the program of that number. */
  bpfOpen(number: number): number
  /** Its number, name, and instructions; none when they may not be seen. */
  bpfInfo(program: number): [number: number, name: string, instructions: Buffer]
  /**
   * Sends messages over a netlink socket and gives the answers, on another thread. Of `dump`
   * at most about `most` bytes come at once, and the next call without bytes brings more; a
   * `batch` is sent as one, and only what fails of it is answered. The messages have numbers
   * from `first` to `last`. `missing` requests have not been answered, because of `errno` if
   * that is not 0. netlink(7)
   */
  netlinkExchange(
    fd: number,
    messages: Uint8Array,
    kind: number,
    first: number,
    last: number,
    most: number,
  ): Promise<[bytes: Buffer, missing: number, errno: number, syscall: string]>
  /** What there is to be received, about `most` bytes of it, or null; does not wait. `ENOBUFS` when some was lost. */
  netlinkReceive(fd: number, most: number): Buffer | null
  /** Closes a descriptor that the addon gave. */
  close(fd: number): void
  /** Takes a name for a container; false when another one of this process has it. */
  claim(id: string): boolean
  unclaim(id: string): void
  check(plan: Uint8Array, hostSide: boolean): boolean
  useInit(executable: Uint8Array): void
  facts(): NativeFacts
}

/** What `netlinkExchange()` can do, by the place in this list. */
export const exchangeKinds = ['requests', 'dump', 'batch'] as const

/** What `files()` can do, by the place in this list. */
export const fileOperationKinds = ['write', 'mkdir', 'rmdir', 'read', 'copy'] as const

/** What came of a list for `files()`. */
export interface NativeFileAnswers {
  /** How many were carried out, or left out. */
  done: number
  /** What was read, in order. */
  texts: string[]
  /** Errors that were tolerated: the place of the operation, then its number. */
  tolerated: number[]
  /** Of the one after those that were carried out, if it failed. */
  errno?: number
  syscall?: string
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
