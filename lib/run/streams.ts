import { Socket } from 'node:net'
import { StringDecoder } from 'node:string_decoder'

/** What a program in a container writes: a readable stream, and async-iterable by lines. */
export class OutputStream extends Socket {
  /** @internal Of a pipe's end, or of what was left in one. */
  constructor(source: number | Uint8Array) {
    super(typeof source === 'number' ? { fd: source, readable: true, writable: false } : {})
    if (typeof source === 'number') return
    this.push(source)
    this.push(null)
  }

  /** The lines, as text in UTF-8, without their ends. */
  lines(): AsyncGenerator<string, void, undefined> {
    return lines(this, '\n')
  }

  /** All of it, as text in UTF-8. */
  text(): Promise<string> {
    return text(this)
  }
}

/** The lines of a stream of bytes in UTF-8, without their ends. */
export async function* lines(
  stream: AsyncIterable<Buffer>,
  end: string | RegExp,
): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8')
  /** Pieces of the line that has not ended yet. */
  let line: string[] = []
  for await (const chunk of stream) {
    const [first, ...others] = decoder.write(chunk).split(end)
    line.push(first as string)
    for (const next of others) {
      yield line.join('')
      line = [next]
    }
  }
  const rest = line.join('') + decoder.end()
  if (rest !== '') yield rest
}

/** All of a stream of bytes in UTF-8. */
export async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const decoder = new StringDecoder('utf8')
  const pieces: string[] = []
  for await (const chunk of stream) pieces.push(decoder.write(chunk))
  return pieces.join('') + decoder.end()
}

/** What a program in a container reads. */
export class InputStream extends Socket {
  /** @internal Of a pipe's end; null is one that nobody reads any more. */
  constructor(fd: number | null) {
    super(fd === null ? {} : { fd, readable: false, writable: true })
    if (fd === null) this.destroy()
    // Node would keep a descriptor of something else in its place.
    else this.once('finish', () => this.destroy())
  }
}
