import { closeSync, fstatSync, openSync } from 'node:fs'
import {
  CofferdamError,
  flagOption,
  invalidOption,
  onlyKeys,
  STREAM_IGNORE,
  STREAM_PIPE,
  textOption,
} from '../base/index.js'

/**
 * Where a standard stream goes: a pipe to this program, this program's own
 * stream, `/dev/null`, an open descriptor (or whatever has one: a FileHandle,
 * a file stream, a socket), or a file by its path on the host.
 */
export type Stream =
  | 'pipe'
  | 'inherit'
  | 'ignore'
  | number
  | { fd: number }
  | { file: string; append?: boolean }

/** One for all three streams, or a list for standard input, output and error. */
export type Stdio = Stream | readonly Stream[]

/** A file that is to be opened for a stream. */
interface File {
  path: string
  flags: 'r' | 'w' | 'a'
  option: string
}

/** {@link Stdio}, checked; nothing has been opened. */
export interface ParsedStdio {
  /** For each stream its descriptor, what the addon is to make, or a file. */
  streams: readonly (number | File)[]
  /** Numbers of the streams that are to be pipes. */
  pipes: readonly number[]
}

/** The streams as the addon takes them. */
export interface OpenStdio {
  fds: readonly number[]
  /** Descriptors that were opened for this start. */
  opened: readonly number[]
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
  const known = typeof stdio === 'string' ? simple[stdio] : undefined
  if (known !== undefined) return known
  const wanted = isList(stdio) ? stdio : [stdio, stdio, stdio]
  if (wanted.length > 3) throw invalidOption('stdio', 'has more than three streams')
  return withPipes(
    [0, 1, 2].map(number =>
      parseStream(number, wanted[number] === undefined ? 'pipe' : wanted[number]),
    ),
  )
}

function isList(stdio: Stdio): stdio is readonly Stream[] {
  return Array.isArray(stdio)
}

function parseStream(number: number, stream: Stream): number | File {
  const option = `stdio[${number}]`
  if (stream === 'pipe') return STREAM_PIPE
  if (stream === 'ignore') return STREAM_IGNORE
  if (stream === 'inherit') return number
  if (typeof stream === 'object' && stream !== null && 'file' in stream) {
    onlyKeys(option, stream, ['file', 'append'])
    const path = textOption(`${option}.file`, stream.file)
    const append = flagOption(`${option}.append`, stream.append, false)
    return { path, flags: number === 0 ? 'r' : append ? 'a' : 'w', option }
  }
  const fd = typeof stream === 'object' && stream !== null ? stream.fd : stream
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff)
    throw invalidOption(option, "must be 'pipe', 'inherit', 'ignore', a descriptor, or { file }")
  systemCall(option, 'fstat', undefined, () => fstatSync(fd))
  return fd
}

/** Opens the files that it names. */
export function openStdio({ streams }: ParsedStdio): OpenStdio {
  if (!streams.some(stream => typeof stream === 'object'))
    return { fds: streams as number[], opened: [] }
  const opened: number[] = []
  try {
    const fds = streams.map(stream => {
      if (typeof stream === 'number') return stream
      const { path, flags, option } = stream
      const fd = systemCall(option, 'open', path, () => openSync(path, flags))
      opened.push(fd)
      return fd
    })
    return { fds, opened }
  } catch (error) {
    closeStdio({ fds: [], opened })
    throw error
  }
}

/** Closes what was opened for this start. */
export function closeStdio({ opened }: OpenStdio): void {
  for (const fd of opened) closeSync(fd)
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
