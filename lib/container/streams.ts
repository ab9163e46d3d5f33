import { closeSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { StringDecoder } from 'node:string_decoder'
import { invalidOption, onlyKeys, STREAM_IGNORE, STREAM_PIPE } from '../base/index.js'

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

/** The three streams as the addon takes them. */
export interface OpenStdio {
  fds: [number, number, number]
  /** Numbers of the streams that are to be pipes. */
  pipes: number[]
  /** Closes what was opened for the caller. */
  close(): void
}

/** What one word for all three streams means; nothing has to be opened for it. */
const simple: Record<string, OpenStdio | undefined> = {
  pipe: unopened(STREAM_PIPE, STREAM_PIPE, STREAM_PIPE),
  ignore: unopened(STREAM_IGNORE, STREAM_IGNORE, STREAM_IGNORE),
  inherit: unopened(0, 1, 2),
}

function unopened(...fds: OpenStdio['fds']): OpenStdio {
  return { fds, pipes: pipesOf(fds), close: () => undefined }
}

function pipesOf(fds: OpenStdio['fds']): number[] {
  return [0, 1, 2].filter(number => fds[number] === STREAM_PIPE)
}

/** Opens what {@link Stdio} names. */
export function openStdio(stdio: Stdio = 'pipe'): OpenStdio {
  const known = typeof stdio === 'string' ? simple[stdio] : undefined
  if (known !== undefined) return known
  const opened: number[] = []
  const close = () => {
    for (const fd of opened.splice(0)) closeSync(fd)
  }
  try {
    const wanted = isList(stdio) ? stdio : [stdio, stdio, stdio]
    if (wanted.length > 3) throw invalidOption('stdio', 'has more than three streams')
    const fds = [0, 1, 2].map(number => openStream(number, wanted[number] ?? 'pipe', opened)) as [
      number,
      number,
      number,
    ]
    return { fds, pipes: pipesOf(fds), close }
  } catch (error) {
    close()
    throw error
  }
}

function isList(stdio: Stdio): stdio is readonly Stream[] {
  return Array.isArray(stdio)
}

function openStream(number: number, stream: Stream, opened: number[]): number {
  const option = `stdio[${number}]`
  if (stream === 'pipe') return STREAM_PIPE
  if (stream === 'ignore') return STREAM_IGNORE
  if (stream === 'inherit') return number
  if (typeof stream === 'object' && stream !== null && 'file' in stream) {
    onlyKeys(option, stream, ['file', 'append'])
    const fd = openSync(stream.file, number === 0 ? 'r' : stream.append ? 'a' : 'w')
    opened.push(fd)
    return fd
  }
  const fd = typeof stream === 'object' && stream !== null ? stream.fd : stream
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0)
    throw invalidOption(option, "must be 'pipe', 'inherit', 'ignore', a descriptor, or { file }")
  return fd
}

/** What a program in a container writes: a readable stream, and async-iterable by lines. */
export class OutputStream extends Socket {
  constructor(fd: number) {
    super({ fd, readable: true, writable: false })
  }

  /** The lines, as text in UTF-8, without their ends. */
  async *lines(): AsyncGenerator<string, void, undefined> {
    const decoder = new StringDecoder('utf8')
    let rest = ''
    for await (const chunk of this) {
      const pieces = (rest + decoder.write(chunk as Buffer)).split('\n')
      rest = pieces.pop() ?? ''
      yield* pieces
    }
    rest += decoder.end()
    if (rest !== '') yield rest
  }

  /** All of it, as text in UTF-8. */
  async text(): Promise<string> {
    const decoder = new StringDecoder('utf8')
    let all = ''
    for await (const chunk of this) all += decoder.write(chunk as Buffer)
    return all + decoder.end()
  }
}

/** What a program in a container reads. */
export class InputStream extends Socket {
  constructor(fd: number) {
    super({ fd, readable: false, writable: true })
  }
}
