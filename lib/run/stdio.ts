import { closeSync, fchownSync, fstatSync, openSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import {
  CofferdamError,
  flagOption,
  invalidOption,
  native,
  onlyKeys,
  parseSize,
  type Size,
  STREAM_IGNORE,
  STREAM_PIPE,
  show,
  textOption,
} from '../base/index.js'
import { MAX_FDS, MAX_LOG_NAME } from '../plan/index.js'
import type { Keeper, LogFile } from './keeper.js'

/**
 * Where a standard stream goes: a pipe to this program, this program's own
 * stream, `/dev/null`, an open descriptor (or whatever has one: a FileHandle,
 * a file stream, a socket), or a file by its path on the host. A log is a file
 * that the keeper of a detached container writes and, when it is full, renames:
 * the one before it is called `PATH.1`, and so on.
 */
export type Stream =
  | 'pipe'
  | 'inherit'
  | 'ignore'
  | number
  | { fd: number }
  | { file: string; append?: boolean }
  | LogOptions

/** Where a stream is logged. */
export interface LogOptions {
  log: string
  /** Of each file. Default: 10 MiB. */
  maxSize?: Size
  /** How many files, 1 to 1000, with those that have been full. Default: 5. */
  maxFiles?: number
}

/**
 * One for all three streams, or a list for standard input, output and error. What
 * follows in the list are descriptors that the program finds as 3, 4 and so on;
 * they can't be pipes.
 */
export type Stdio = Stream | readonly Stream[]

/** A file that is to be opened for a stream. */
interface File {
  path: string
  flags: 'r' | 'w' | 'a'
}

/** {@link Stdio}, checked; nothing has been opened. */
export interface ParsedStdio {
  /** For each stream its descriptor, what the addon is to make, or a file. */
  streams: readonly (number | File | LogFile)[]
  /** Numbers of the streams that are to be pipes. */
  pipes: readonly number[]
  /** The streams are a terminal instead. */
  onTerminal?: boolean
}

/** A user and a group. */
export type Ids = readonly [uid: number, gid: number]

/** The streams as the addon takes them. */
export interface OpenStdio {
  fds: readonly number[]
  /** This program's ends of pipes that were made here; otherwise -1. */
  ours: [number, number, number]
  /** Closes what was opened for this start. */
  close(): void
}

/** What one word for all three streams means. */
const simple: Record<string, ParsedStdio | undefined> = {
  pipe: withPipes([STREAM_PIPE, STREAM_PIPE, STREAM_PIPE]),
  ignore: withPipes([STREAM_IGNORE, STREAM_IGNORE, STREAM_IGNORE]),
  inherit: withPipes([0, 1, 2]),
}

function withPipes(streams: ParsedStdio['streams']): ParsedStdio {
  return { streams, pipes: [0, 1, 2].filter(number => streams[number] === STREAM_PIPE) }
}

/** Checks what `stdio` says, and opens nothing. */
export function parseStdio(stdio: Stdio = 'pipe'): ParsedStdio {
  const known =
    typeof stdio === 'string' && Object.hasOwn(simple, stdio) ? simple[stdio] : undefined
  if (known !== undefined) return known
  const wanted = isList(stdio) ? stdio : [stdio, stdio, stdio]
  if (wanted.length > MAX_FDS)
    throw invalidOption('stdio', `has ${wanted.length} streams; ${MAX_FDS} are the most`)
  return withPipes(
    Array.from({ length: Math.max(3, wanted.length) }, (_, number) => {
      const stream = wanted[number]
      return parseStream(number, stream === undefined ? (number < 3 ? 'pipe' : 'ignore') : stream)
    }),
  )
}

function isList(stdio: Stdio): stdio is readonly Stream[] {
  return Array.isArray(stdio)
}

function parseStream(number: number, stream: Stream): number | File | LogFile {
  const option = `stdio[${number}]`
  if (stream === 'pipe') {
    if (number < 3) return STREAM_PIPE
    throw invalidOption(option, 'only the standard streams can be pipes: give a descriptor')
  }
  if (stream === 'ignore') return STREAM_IGNORE
  if (stream === 'inherit') return number
  if (typeof stream === 'object' && stream !== null && 'file' in stream) {
    onlyKeys(option, stream, ['file', 'append'])
    const path = textOption(`${option}.file`, stream.file)
    const append = flagOption(`${option}.append`, stream.append, false)
    return { path, flags: number === 0 ? 'r' : append ? 'a' : 'w' }
  }
  if (typeof stream === 'object' && stream !== null && 'log' in stream)
    return parseLog(number, stream)
  const fd = typeof stream === 'object' && stream !== null ? stream.fd : stream
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff)
    throw invalidOption(
      option,
      "must be 'pipe', 'inherit', 'ignore', a descriptor, { file }, or { log }",
    )
  systemCall(option, 'fstat', undefined, () => fstatSync(fd))
  return fd
}

function parseLog(number: number, stream: LogOptions): LogFile {
  const option = `stdio[${number}]`
  if (number === 0) throw invalidOption(option, 'is read, and a log can only be written')
  onlyKeys(option, stream, ['log', 'maxSize', 'maxFiles'])
  const path = resolve(textOption(`${option}.log`, stream.log))
  const { maxFiles = 5 } = stream
  const maxSize = parseSize(`${option}.maxSize`, stream.maxSize ?? '10MiB', 1)
  if (!Number.isInteger(maxFiles) || maxFiles < 1 || maxFiles > 1000)
    throw invalidOption(`${option}.maxFiles`, `${show(maxFiles)} is none; 1 to 1000 are`)
  const name = basename(path)
  if (Buffer.byteLength(name) > MAX_LOG_NAME - 1)
    throw invalidOption(`${option}.log`, `its name has more than ${MAX_LOG_NAME - 1} bytes`)
  return { folder: dirname(path), name, maxSize, maxFiles }
}

/** Whether something is to be logged, which takes a keeper. */
export function isLogged({ streams }: ParsedStdio): boolean {
  return streams.some(stream => typeof stream === 'object' && 'folder' in stream)
}

/**
 * Opens the files that it names, and makes the pipes whose ends a keeper is to
 * hold or to copy to logs. Other pipes are made by the addon.
 */
export function openStdio(
  { streams }: ParsedStdio,
  keeper: Keeper | undefined,
  owner: Ids | undefined,
): OpenStdio {
  // Mostly there is nothing to be opened, and a start is not to pay for it.
  if (keeper === undefined && !streams.some(stream => typeof stream === 'object'))
    return { fds: streams as number[], ours: [-1, -1, -1], close: () => undefined }
  const opened: number[] = []
  const pipes: number[] = []
  const logs = new Map<string, number>()
  const fds: number[] = []
  const stdio: OpenStdio = {
    fds,
    ours: [-1, -1, -1],
    close() {
      for (const fd of opened.splice(0)) closeSync(fd)
      for (const fd of pipes.splice(0)) native().close(fd)
    },
  }
  const open = (option: string, path: string, flags: string) => {
    const fd = systemCall(option, 'open', path, () => openSync(path, flags))
    opened.push(fd)
    return fd
  }
  const log = (option: string, file: LogFile) => {
    const path = `${file.folder}/${file.name}`
    const known = logs.get(path)
    if (known !== undefined) return known
    open(option, path, 'a') // the error, if there is one, is to be ours
    const [read, write] = native().pipe()
    pipes.push(read, write)
    if (owner !== undefined) fchownSync(write, ...owner)
    keeper?.log(read, open(option, file.folder, 'r'), file)
    logs.set(path, write)
    return write
  }
  try {
    streams.forEach((stream, number) => {
      const option = `stdio[${number}]`
      if (typeof stream === 'object') {
        fds[number] =
          'folder' in stream ? log(option, stream) : open(option, stream.path, stream.flags)
      } else if (stream === STREAM_PIPE && keeper !== undefined) {
        const ends = native().pipe()
        const [ours, theirs] = number === 0 ? [ends[1], ends[0]] : ends
        pipes.push(theirs)
        if (owner !== undefined) fchownSync(theirs, ...owner)
        stdio.ours[number] = ours
        fds[number] = theirs
        keeper.hold(number, ours)
      } else fds[number] = stream
    })
    return stdio
  } catch (error) {
    stdio.close()
    for (const fd of stdio.ours) if (fd >= 0) native().close(fd)
    throw error
  }
}

/** Calls Node, whose errors become ours. */
function systemCall<T>(
  option: string,
  syscall: string,
  path: string | undefined,
  call: () => T,
): T {
  try {
    return call()
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    throw new CofferdamError(`${option}: ${path ?? syscall}: ${code}`, {
      code,
      errno: -errno,
      syscall,
      option,
      path,
      cause,
    })
  }
}
