import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, opendir, readlink, statfs } from 'node:fs/promises'
import type { HeaderData, Header as TarHeader, Pax as TarPax } from 'tar'
import { CofferdamError } from '../base/index.js'
import {
  codeOf,
  type Directory,
  descriptorPath,
  fileError,
  MOST_LEVELS,
  type Owners,
  openDirectory,
  openPlace,
  partsOf,
  pathError,
} from './in-root.js'

const BLOCK = 512
const CHUNK = 64 * 1024

/** File systems that the kernel makes up as it is asked; statfs(2). */
const MADE_UP = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x63677270, // cgroup2
  0x27e0eb, // cgroup
  0x1cd1, // devpts
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
])

/** What is the same for all of an archive. */
class Packer {
  /** The names of files that have several, by device and inode. */
  readonly #links = new Map<string, string>()
  readonly #owners: Owners
  readonly #Header: typeof TarHeader
  readonly #Pax: typeof TarPax

  constructor(owners: Owners, tar: { Header: typeof TarHeader; Pax: typeof TarPax }) {
    this.#owners = owners
    this.#Header = tar.Header
    this.#Pax = tar.Pax
  }

  /** What is at `at`, and all below it. What has gone meanwhile is left out. */
  async *tree(at: string, name: string, above?: { dev: number; level: number }) {
    let handle: FileHandle
    try {
      handle = await openPlace(at)
    } catch (error) {
      if (above !== undefined && codeOf(error) === 'ENOENT') return
      throw error
    }
    try {
      const stat = await handle.stat()
      if (stat.isDirectory()) yield* this.#directory(handle, name, stat, above)
      else if (stat.isFile()) yield* this.#file(handle, name, stat)
      else yield* this.#other(at, name, stat)
    } finally {
      await handle.close()
    }
  }

  async *#directory(
    { fd }: FileHandle,
    name: string,
    stat: Stats,
    above: { dev: number; level: number } | undefined,
  ): AsyncGenerator<Buffer> {
    const level = (above?.level ?? 0) + 1
    if (level > MOST_LEVELS) throw pathError('ENAMETOOLONG')
    yield this.#header(`${name}/`, stat, { type: 'Directory' })
    const at = descriptorPath(fd)
    // What the kernel makes up has no end, and means nothing elsewhere.
    if (stat.dev !== above?.dev && MADE_UP.has((await statfs(at)).type)) return
    for await (const { name: bytes } of await opendir(at, { encoding: 'buffer' as 'utf8' })) {
      const child = utf8(bytes as unknown as Buffer)
      yield* this.tree(`${at}/${child}`, `${name}/${child}`, { dev: stat.dev, level })
    }
  }

  async *#file(place: FileHandle, name: string, stat: Stats): AsyncGenerator<Buffer> {
    if (stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`
      const first = this.#links.get(key)
      if (first !== undefined)
        return yield this.#header(name, stat, { type: 'Link', linkpath: first })
      this.#links.set(key, name)
    }
    yield this.#header(name, stat, { type: 'File', size: stat.size })
    // It is known to be a file, so that opening it does nothing but that.
    const file = await open(descriptorPath(place.fd), constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      let left = stat.size
      while (left > 0) {
        const buffer = Buffer.allocUnsafe(Math.min(left, CHUNK))
        const { bytesRead } = await file.read(buffer, 0, buffer.length)
        // It has become shorter: what was promised is made up with zeros. What
        // it has become longer by is not looked at.
        if (bytesRead === 0) buffer.fill(0)
        const got = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead)
        left -= got.length
        yield got
      }
    } finally {
      await file.close()
    }
    const rest = stat.size % BLOCK
    if (rest > 0) yield Buffer.alloc(BLOCK - rest)
  }

  async *#other(at: string, name: string, stat: Stats): AsyncGenerator<Buffer> {
    if (stat.isSymbolicLink()) {
      const to = (await readlink(at, { encoding: 'buffer' })) as unknown as Buffer
      yield this.#header(name, stat, { type: 'SymbolicLink', linkpath: utf8(to) })
    } else if (stat.isFIFO()) yield this.#header(name, stat, { type: 'FIFO' })
    else if (stat.isCharacterDevice() || stat.isBlockDevice())
      yield this.#header(name, stat, {
        type: stat.isBlockDevice() ? 'BlockDevice' : 'CharacterDevice',
        // makedev(3)
        devmaj: (stat.rdev >>> 8) & 0xfff,
        devmin: (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00),
      })
    // An archive has no way to say "socket".
  }

  #header(path: string, stat: Stats, data: HeaderData): Buffer {
    const all: HeaderData = {
      path,
      mode: stat.mode & 0o7777,
      uid: this.#owners.uid(stat.uid),
      gid: this.#owners.gid(stat.gid),
      size: 0,
      mtime: new Date(Math.floor(stat.mtimeMs / 1000) * 1000),
      ...data,
    }
    const header = new this.#Header(all)
    const block = Buffer.alloc(BLOCK)
    if (!header.encode(block)) return block
    // What does not fit goes before it, in a header of its own.
    return Buffer.concat([new this.#Pax(all).encode(), block])
  }
}

/** A name as text. What is no UTF-8 would come out as something else, and is refused. */
function utf8(bytes: Buffer): string {
  const text = bytes.toString()
  if (!Buffer.from(text).equals(bytes))
    throw new CofferdamError(`archive: the name ${JSON.stringify(text)} is no UTF-8`, {
      code: 'EILSEQ',
      path: text,
    })
  return text
}

/** The archive of `path` below the root that is open, as {@link Box.archive} says. */
export async function* pack(
  root: number,
  path: string,
  owners: Owners,
): AsyncGenerator<Buffer, void, undefined> {
  const [{ Header }, { Pax }] = await Promise.all([import('tar/header'), import('tar/pax')])
  const packer = new Packer(owners, { Header, Pax })
  const parts = partsOf(path)
  // "directory/" is what a symbolic link leads to, "directory/." what is in it.
  const through = /\/\.?$/.test(path)
  const name = parts.length === 0 || path.endsWith('/.') ? '.' : (parts.at(-1) as string)
  let directory: Directory | undefined
  try {
    directory = await openDirectory(descriptorPath(root), through ? parts : parts.slice(0, -1))
    yield* packer.tree(through ? `${directory.at}/.` : `${directory.at}/${name}`, name)
    yield Buffer.alloc(2 * BLOCK)
  } catch (error) {
    throw fileError('archive', path, error)
  } finally {
    await directory?.close()
  }
}
