import { constants } from 'node:fs'
import { chmod, chown, link, mkdir, open, symlink, unlink, utimes } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { ReadEntry } from 'tar'
import { CofferdamError, invalidOption } from '../base/index.js'
import {
  codeOf,
  type Directory,
  descriptorPath,
  fileError,
  type Owners,
  openDirectory,
  openPlace,
  partsOf,
} from './in-root.js'

/** How often a place is cleared again that somebody else keeps filling. */
const TRIES = 10

function refuse(entry: ReadEntry, problem: string, code = 'ERR_ARCHIVE'): CofferdamError {
  const message = `extract: ${JSON.stringify(entry.path)} ${problem}`
  return new CofferdamError(message, { code, path: entry.path })
}

/** Puts what an archive says into one directory of a container. */
class Unpacker {
  readonly #root: string
  readonly #base: readonly string[]
  readonly #owners: Owners
  /** Directories, whose times change while they are filled. */
  readonly #times: { parts: readonly string[]; mtime: Date }[] = []
  /** The directory of the last entry: the next one is mostly in it too. */
  #last: { key: string; directory: Directory } | undefined

  constructor(root: number, base: readonly string[], owners: Owners) {
    this.#root = descriptorPath(root)
    this.#base = base
    this.#owners = owners
  }

  async entry(entry: ReadEntry): Promise<void> {
    const parts = this.#parts(entry, entry.path)
    const name = parts.pop()
    if (name === undefined) return // the directory itself, which is there
    const { at: parent } = await this.#directory(parts)
    const at = `${parent}/${name}`
    switch (entry.type) {
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        return this.#file(entry, at)
      case 'Directory':
      case 'GNUDumpDir':
        return this.#makeDirectory(entry, [...parts, name], at)
      case 'SymbolicLink':
        return this.#symbolicLink(entry, at)
      case 'Link':
        return this.#hardLink(entry, at)
      default:
        throw refuse(entry, `is a ${entry.type}, which is not made`, 'ERR_UNSUPPORTED')
    }
  }

  /** When all entries are there. */
  async finish(): Promise<void> {
    for (const { parts, mtime } of this.#times.reverse()) {
      const { at } = await this.#directory(parts)
      await utimes(at, mtime, mtime)
    }
  }

  async close(): Promise<void> {
    const last = this.#last
    this.#last = undefined
    await last?.directory.close()
  }

  #parts(entry: ReadEntry, path: string): string[] {
    if (path.includes('\0')) throw refuse(entry, 'has a NUL character in it')
    const parts = partsOf(path)
    if (parts.includes('..')) throw refuse(entry, "has a '..' in it")
    return parts
  }

  /** A directory below the destination; what is missing of it is made. */
  async #directory(parts: readonly string[]): Promise<Directory> {
    const key = parts.join('/')
    if (this.#last?.key === key) return this.#last.directory
    await this.close()
    const directory = await openDirectory(this.#root, [...this.#base, ...parts], async missing => {
      await mkdir(missing, 0o755)
      await this.#settle(missing, 'isDirectory', { uid: 0, gid: 0 })
    })
    this.#last = { key, directory }
    return directory
  }

  /**
   * Gives it to whom the archive says, if it is what was made: somebody else
   * may have put something in its place, which is left alone.
   */
  async #settle(
    at: string,
    kind: 'isDirectory' | 'isSymbolicLink',
    { uid = 0, gid = 0, mode }: { uid?: number; gid?: number; mode?: number },
  ): Promise<void> {
    const place = await openPlace(at)
    try {
      if (!(await place.stat())[kind]()) return
      const itself = descriptorPath(place.fd)
      await chown(itself, this.#owners.uid(uid), this.#owners.gid(gid))
      if (mode !== undefined) await chmod(itself, mode & 0o7777)
    } finally {
      await place.close()
    }
  }

  /** Makes something in a place that is made free for it. */
  async #replace<T>(at: string, make: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await make()
      } catch (error) {
        if (codeOf(error) !== 'EEXIST' || tries === TRIES) throw error
      }
      try {
        await unlink(at)
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error
      }
    }
  }

  async #file(entry: ReadEntry, at: string): Promise<void> {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    const how = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
    const file = await this.#replace(at, () => open(at, how, 0o600))
    try {
      for await (const chunk of entry as AsyncIterable<Buffer>) await file.writeFile(chunk)
      await file.chown(this.#owners.uid(entry.uid ?? 0), this.#owners.gid(entry.gid ?? 0))
      // After the change of owner, which takes set-user-ID away.
      await file.chmod((entry.mode ?? 0o644) & 0o7777)
      if (entry.mtime !== undefined) await file.utimes(entry.mtime, entry.mtime)
    } finally {
      await file.close()
    }
  }

  /**
   * A directory that is there stays, and gets owner and mode. So does a symbolic
   * link that leads to one, as `/bin` often is, and nothing else changes then.
   */
  async #makeDirectory(entry: ReadEntry, parts: string[], at: string): Promise<void> {
    const { uid = 0, gid = 0, mode = 0o755, mtime } = entry
    if (!(await this.#isDirectory(parts, at))) await this.#replace(at, () => mkdir(at, 0o700))
    await this.#settle(at, 'isDirectory', { uid, gid, mode })
    if (mtime !== undefined) this.#times.push({ parts, mtime })
  }

  async #isDirectory(parts: readonly string[], at: string): Promise<boolean> {
    try {
      const place = await openPlace(at)
      const itself = (await place.stat()).isDirectory()
      await place.close()
      if (itself) return true
      await (await openDirectory(this.#root, [...this.#base, ...parts])).close()
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false
      throw error
    }
  }

  async #symbolicLink(entry: ReadEntry, at: string): Promise<void> {
    const to = entry.linkpath ?? ''
    if (to === '' || to.includes('\0')) throw refuse(entry, 'leads nowhere')
    await this.#replace(at, () => symlink(to, at))
    const { uid = 0, gid = 0 } = entry
    await this.#settle(at, 'isSymbolicLink', { uid, gid })
  }

  /** link(2) does not follow what it links to, if that is a symbolic link. */
  async #hardLink(entry: ReadEntry, at: string): Promise<void> {
    const parts = this.#parts(entry, entry.linkpath ?? '')
    const name = parts.pop()
    if (name === undefined) throw refuse(entry, 'is a link to the directory itself')
    const target = await openDirectory(this.#root, [...this.#base, ...parts])
    try {
      await this.#replace(at, () => link(`${target.at}/${name}`, at))
    } finally {
      await target.close()
    }
  }
}

/** Unpacks an archive into directory `path` below the root that is open, as {@link Box.extract} says. */
export async function unpack(
  root: number,
  path: string,
  tar: AsyncIterable<Uint8Array>,
  owners: Owners,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { Parser } = await import('tar/parse')
  const parser = new Parser({ strict: true })
  let failed: (error: unknown) => void = () => undefined
  const failure = new Promise<never>((_, reject) => {
    failed = reject
  })
  failure.catch(() => undefined)
  const abort = () => failed(signal?.reason)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  const unpacker = new Unpacker(root, partsOf(path), owners)
  let work: Promise<unknown> = Promise.resolve()
  let stopped = false
  let current: ReadEntry | undefined
  parser.on('entry', (entry: ReadEntry) => {
    work = work.then(async () => {
      if (stopped) return
      current = entry
      try {
        await unpacker.entry(entry)
      } catch (error) {
        stopped = true
        failed(fileError('extract', entry.path, error))
      }
      entry.resume()
    })
  })
  parser.on('ignoredEntry', (entry: ReadEntry) =>
    failed(refuse(entry, `is of the kind ${entry.type}, which is not known`, 'ERR_UNSUPPORTED')),
  )
  parser.on('error', (error: Error) =>
    failed(new CofferdamError(`extract: ${error.message}`, { code: 'ERR_ARCHIVE', cause: error })),
  )
  const source = tar[Symbol.asyncIterator]()
  const heard = (event: string) => new Promise(resolve => parser.once(event, resolve))
  let empty = true
  try {
    // It must be a directory, and there.
    await (await openDirectory(descriptorPath(root), partsOf(path))).close()
    for (;;) {
      const { done, value: chunk } = await Promise.race([source.next(), failure])
      if (done) break
      if (!(chunk instanceof Uint8Array))
        throw invalidOption('extract', 'the archive must be bytes')
      empty &&= chunk.length === 0
      if (!parser.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)))
        await Promise.race([heard('drain'), failure])
    }
    if (empty) throw new CofferdamError('extract: the archive is empty', { code: 'ERR_ARCHIVE' })
    const end = heard('end')
    parser.end()
    await Promise.race([end, failure])
    await Promise.race([work, failure])
    await unpacker.finish()
  } catch (error) {
    // It may be waiting for more itself, and so is not waited for.
    if (tar instanceof Readable) tar.destroy()
    else void Promise.resolve(source.return?.()).catch(() => undefined)
    throw fileError('extract', path, error)
  } finally {
    signal?.removeEventListener('abort', abort)
    stopped = true
    current?.destroy() // who waits for the rest of it waits in vain
    await work
    await unpacker.close()
  }
}
