import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import {
  CofferdamError,
  flagOption,
  hostPathOption,
  invalidOption,
  native,
  nativeError,
  onlyKeys,
} from '../base/index.js'
import { O_CLOEXEC, O_PATH } from '../plan/index.js'
import {
  type FileCapabilities,
  type FileCapabilityOptions,
  formatFileCapabilities,
  parseFileCapabilities,
} from './file-format.js'

/** Options of what reads and writes a file's capabilities. */
export interface FileOptions {
  /**
   * When the path itself is a symbolic link, the file is where it leads. Default:
   * false, it is refused. Links on the way are always followed.
   */
  follow?: boolean
}

const ATTRIBUTE = 'security.capability'

/**
 * The capabilities of a file; undefined when it has none, or its file system can't
 * keep any. getxattr(2). Equivalent to: `getcap -n FILE`
 *
 * In a user namespace those that are for its own root have no `rootId`.
 *
 * @param file Its path, or a descriptor of it, also one that was opened with `O_PATH`
 * below a directory that others can change.
 *
 * @throws CofferdamError `ENOENT` or `EBADF` and their like; `ELOOP` for a symbolic
 * link; `EFTYPE` for what is no regular file; `EOVERFLOW` when they are for a user
 * that this user namespace does not have; `EBADMSG` when they can't be read.
 */
export function fileCapabilities(
  file: string | number,
  options: FileOptions = {},
): FileCapabilities | undefined {
  return onFile(file, options, 'getxattr', path => {
    const value = native().getXattr(path, ATTRIBUTE)
    return value === null ? undefined : parseFileCapabilities(value)
  })
}

/**
 * Gives a file capabilities, in place of those that it has. setxattr(2): `EPERM`
 * without CAP_SETFCAP. Equivalent to: `setcap [-n ROOTID] TEXT FILE`
 *
 * In a user namespace they are for its own root, unless `rootId` is another one's
 * that it has. The kernel takes them away when the file is written to or changes
 * hands.
 *
 * @throws CofferdamError as {@link fileCapabilities}; `ERR_INVALID_OPTION`;
 * `EOPNOTSUPP` when the file system can't keep any.
 */
export function setFileCapabilities(
  file: string | number,
  capabilities: FileCapabilityOptions,
  options: FileOptions = {},
): void {
  const value = formatFileCapabilities(capabilities)
  onFile(file, options, 'setxattr', path => native().setXattr(path, ATTRIBUTE, value))
}

/**
 * Takes a file's capabilities away; it is well if it has none. removexattr(2):
 * `EPERM` without CAP_SETFCAP. Equivalent to: `setcap -r FILE`
 *
 * @throws CofferdamError as {@link fileCapabilities}.
 */
export function removeFileCapabilities(file: string | number, options: FileOptions = {}): void {
  onFile(file, options, 'removexattr', path => {
    if (native().getXattr(path, ATTRIBUTE) !== null) native().removeXattr(path, ATTRIBUTE)
  })
}

/**
 * Calls `use` with a path that can't come to mean another file: through a
 * descriptor, which needs no right to read it.
 */
function onFile<T>(
  file: string | number,
  options: FileOptions,
  syscall: string,
  use: (path: string) => T,
): T | undefined {
  onlyKeys('options', options, ['follow'])
  const follow = flagOption('options.follow', options.follow, false)
  if (typeof file === 'number' && !(Number.isInteger(file) && file >= 0 && file < 2 ** 31))
    throw invalidOption('file', `${file} is no descriptor`)
  const path = typeof file === 'number' ? `descriptor ${file}` : hostPathOption('file', file)
  const fd = typeof file === 'number' ? file : open(path, follow)
  try {
    const stat = fstatSync(fd)
    const refuse = (code: string, problem: string) =>
      new CofferdamError(`${path} ${problem}`, { code, syscall, path })
    if (stat.isSymbolicLink()) throw refuse('ELOOP', 'is a symbolic link')
    if (!stat.isFile()) throw refuse('EFTYPE', 'is no regular file')
    return use(`/proc/thread-self/fd/${fd}`)
  } catch (error) {
    const known = nativeError(`${syscall} ${path}`, error)
    if (!(known instanceof CofferdamError)) throw failure(path, 'fstat', error)
    if (known.code === 'EOPNOTSUPP' && syscall !== 'setxattr') return undefined
    throw new CofferdamError(known.message, { ...known, code: known.code, path, cause: error })
  } finally {
    if (typeof file !== 'number') closeSync(fd)
  }
}

function open(path: string, follow: boolean): number {
  const flags = Number(O_PATH.value) | Number(O_CLOEXEC.value)
  try {
    return openSync(path, follow ? flags : flags | constants.O_NOFOLLOW)
  } catch (error) {
    throw failure(path, 'open', error)
  }
}

/** Of a call of Node's. */
function failure(path: string, syscall: string, cause: unknown): unknown {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException
  if (code === undefined) return cause
  return new CofferdamError(`${path}: ${code}`, { code, syscall, path, cause })
}
