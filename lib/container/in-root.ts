import { constants } from 'node:fs'
import { type FileHandle, open, readlink } from 'node:fs/promises'
import { CofferdamError } from '../base/index.js'
import { O_PATH } from '../plan/index.js'

// Paths in a container's root, resolved by one who is outside. A path is never
// handed to the kernel: each of its parts is opened from the descriptor of the
// directory that it is in, and no symbolic link is followed but by reading it
// and starting over from the root's descriptor. So whatever processes inside do
// meanwhile, nothing above the root is ever reached (CVE-2018-15664). openat2(2)
// with RESOLVE_IN_ROOT says the same, but Node would wait for it on the
// JavaScript thread, and a file system of the container's may take for ever.

/** Opens what is there and nothing else: no file of the container is opened by it. */
const OPEN_PLACE = Number(O_PATH.value) | constants.O_NOFOLLOW

const MOST_LINKS = 40 // as the kernel has it; path_resolution(7)

/** Directories below one another, each of which keeps a descriptor open. */
export const MOST_LEVELS = 400

/** The path by which a descriptor is used with Node's file functions. */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`
}

/** Opens the one thing of this name in a directory, whatever it is, and does nothing to it. */
export function openPlace(at: string): Promise<FileHandle> {
  return open(at, OPEN_PLACE)
}

/** The parts of a path; none for the root. */
export function partsOf(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.')
}

/** Exchanges ids of the one side for those of the other. */
export interface Owners {
  uid(id: number): number
  gid(id: number): number
}

/** A directory that is held open, with those above it. */
export interface Directory {
  /** Where it is, for Node's file functions. */
  at: string
  close(): Promise<void>
}

/**
 * Opens a directory below `root`, which is the path of a descriptor. A part
 * that is missing is for `missing` to make.
 *
 * @throws `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG` for too many levels.
 */
export async function openDirectory(
  root: string,
  parts: readonly string[],
  missing?: (at: string) => Promise<void>,
): Promise<Directory> {
  const stack: FileHandle[] = []
  const todo = [...parts].reverse()
  let links = 0
  const here = () => {
    const last = stack.at(-1)
    return last === undefined ? root : descriptorPath(last.fd)
  }
  const close = async () => {
    for (const handle of stack.splice(0)) await handle.close()
  }
  try {
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === '..') {
        await stack.pop()?.close()
        continue
      }
      const at = `${here()}/${name}`
      const handle = await openPlaceOr(at, missing)
      stack.push(handle)
      const stat = await handle.stat()
      if (stat.isSymbolicLink()) {
        stack.pop()
        await handle.close()
        if (++links > MOST_LINKS) throw pathError('ELOOP')
        const to = await readlinkOr(at)
        if (to === undefined) {
          todo.push(name) // it was one a moment ago
          continue
        }
        if (to.startsWith('/')) await close()
        todo.push(...partsOf(to).reverse())
        if (todo.length > MOST_LEVELS) throw pathError('ENAMETOOLONG')
      } else if (!stat.isDirectory()) throw pathError('ENOTDIR')
      if (stack.length > MOST_LEVELS) throw pathError('ENAMETOOLONG')
    }
    return { at: here(), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** What a symbolic link says; undefined when there is none any more. */
async function readlinkOr(at: string): Promise<string | undefined> {
  try {
    return await readlink(at)
  } catch (error) {
    if (codeOf(error) === 'EINVAL') return undefined
    throw error
  }
}

async function openPlaceOr(
  at: string,
  missing: ((at: string) => Promise<void>) | undefined,
): Promise<FileHandle> {
  try {
    return await openPlace(at)
  } catch (error) {
    if (missing === undefined || codeOf(error) !== 'ENOENT') throw error
    await missing(at)
    return openPlace(at)
  }
}

/** `ENOENT` and the like of an error of Node's or ours. */
export function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | undefined)?.code
}

/** An error that the kernel would give for a path. */
export function pathError(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** The typed error for what happened at a path of the container. */
export function fileError(what: string, path: string, cause: unknown): Error {
  if (cause instanceof CofferdamError) return cause
  if (cause instanceof Error && cause.name === 'AbortError') return cause
  const { code, errno, syscall, message } = (cause ?? {}) as NodeJS.ErrnoException
  if (code === undefined)
    return new CofferdamError(`${what} ${path}: ${message ?? String(cause)}`, {
      code: 'ERR_ARCHIVE',
      path,
      cause,
    })
  return new CofferdamError(`${what} ${path}: ${code}`, {
    code,
    errno: errno === undefined ? undefined : -errno,
    syscall,
    path,
    cause,
  })
}
