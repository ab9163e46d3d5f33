import { constants, existsSync, openSync, readFileSync } from 'node:fs'
import {
  CofferdamError,
  Descriptor,
  hostPathOption,
  invalidOption,
  isPlain,
  native,
  nativeError,
  onlyKeys,
  show,
  wordOption,
} from '../base/index.js'
import { kinds, type NamespaceKind, pathOf } from '../plan/index.js'

/**
 * What names a namespace: a path, as `'/proc/7/ns/net'` or that of one that has been
 * pinned; a process that is in it, by its pid or by a pidfd; or a descriptor of the
 * namespace itself, as {@link open} gives it. A pid may be another process's by the
 * time it is used, a pidfd or descriptor can not.
 */
export type NamespaceReference = string | { pid: number } | { pidfd: number } | { fd: number }

/** Namespaces to be in, by their kinds. */
export type NamespaceReferences = Partial<Record<NamespaceKind, NamespaceReference>>

/** Every kind, in the order of the alphabet. */
export const namespaceKinds = Object.keys(kinds) as NamespaceKind[]

/** Those that this kernel has. */
export function kernelKinds(): NamespaceKind[] {
  return namespaceKinds.filter(kind => existsSync(`/proc/self/ns/${kinds[kind].file}`))
}

const kindOfFlag = new Map(namespaceKinds.map(kind => [Number(kinds[kind].flag.value), kind]))

/** The requests of ioctl_nsfs(2) that are used. */
export const queries = {
  owner: 1,
  parent: 2,
  type: 3,
  ownerUid: 4,
  mountId: 5,
  pidFrom: 6,
  pidIn: 8,
} as const

/** @throws CofferdamError `ERR_INVALID_OPTION` for a kind that there is not. */
export function checkKind(option: string, kind: unknown): NamespaceKind {
  return wordOption(option, kind, namespaceKinds)
}

/** A list of kinds, each once. */
export function checkKinds(option: string, wanted: unknown): NamespaceKind[] {
  if (!Array.isArray(wanted)) throw invalidOption(option, 'must be a list of kinds')
  return Array.from(new Set(wanted), kind => checkKind(option, kind))
}

const MOST = 0x7fffffff

/** @throws CofferdamError `ERR_INVALID_OPTION` for what names no namespace. */
export function checkReference(option: string, reference: unknown): NamespaceReference {
  if (typeof reference === 'string') return hostPathOption(option, reference)
  if (typeof reference === 'object' && reference !== null) {
    const { fd, pid, pidfd } = reference as Partial<Record<'fd' | 'pid' | 'pidfd', unknown>>
    const said = [fd, pid, pidfd].filter(one => one !== undefined).length
    // Whatever has a descriptor will do: a Descriptor, a FileHandle.
    if (fd !== undefined && said === 1) return { fd: integer(option, 'fd', fd, 0) }
    // And so will a process of this package's.
    if (pid === undefined || isPlain(reference)) onlyKeys(option, reference, ['pid', 'pidfd', 'fd'])
    if (pid !== undefined && said === 1) return { pid: integer(option, 'pid', pid, 1) }
    if (pidfd !== undefined && said === 1) return { pidfd: integer(option, 'pidfd', pidfd, 0) }
  }
  throw invalidOption(option, 'must be a path, { pid }, { pidfd }, or { fd }')
}

function integer(option: string, name: string, value: unknown, least: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > MOST)
    throw invalidOption(`${option}.${name}`, `${show(value)} is none`)
  return value
}

/**
 * Opens a namespace, which goes on to exist as long as the descriptor does, also
 * when no process is left in it. open(2), namespaces(7)
 *
 * @param reference Default: this program's own.
 * @throws CofferdamError `ERR_INVALID_OPTION` when it is of another kind, or none at
 * all; `ENOENT` when the path leads nowhere, `ESRCH` when the process has ended,
 * `EACCES` for another user's process.
 */
export function open(
  kind: NamespaceKind,
  reference: NamespaceReference = { pid: process.pid },
): Descriptor {
  checkKind('kind', kind)
  return openReference('namespace', kind, checkReference('namespace', reference))
}

/**
 * {@link open} for a reference that has been checked; errors name `option`. A path or
 * descriptor may be of any kind if none is given.
 */
export function openReference(
  option: string,
  kind: NamespaceKind | undefined,
  reference: NamespaceReference,
): Descriptor {
  const descriptor = openAny(option, kind, reference)
  try {
    const is = kindOf(option, descriptor.fd)
    if (kind !== undefined && is !== kind)
      throw invalidOption(
        option,
        `${named(reference)} is a namespace of the kind ${is}, not ${kind}`,
      )
    return descriptor
  } catch (error) {
    descriptor.close()
    throw error
  }
}

/** The kind of the namespace that a descriptor is of. ioctl_nsfs(2) NS_GET_NSTYPE */
export function kindOf(option: string, fd: number): NamespaceKind {
  let flag: bigint
  try {
    flag = native().namespaceQuery(fd, queries.type, 0)
  } catch (cause) {
    const error = nativeError(option, cause) as CofferdamError
    if (error.code === 'ENOTTY') throw invalidOption(option, 'what it names is no namespace')
    if (error.code === 'EBADF') throw invalidOption(option, `${fd} is no open descriptor`)
    throw error
  }
  const kind = kindOfFlag.get(Number(flag))
  if (kind === undefined) throw invalidOption(option, `there is a kind ${flag} that is not known`)
  return kind
}

function openAny(
  option: string,
  kind: NamespaceKind | undefined,
  reference: NamespaceReference,
): Descriptor {
  if (typeof reference === 'string') return openPath(option, reference)
  if ('fd' in reference) {
    kindOf(option, reference.fd) // before it is opened: that of a FIFO would wait
    return openPath(option, `/proc/self/fd/${reference.fd}`)
  }
  if (kind === undefined) throw invalidOption(option, 'a process has one of each kind')
  if ('pid' in reference) return openOfProcess(option, kind, reference.pid)
  const { pidfd } = reference
  const pid = pidOf(option, pidfd)
  const descriptor = openOfProcess(option, kind, pid)
  // The number may have become another process's before it was used.
  try {
    pidOf(option, pidfd)
    return descriptor
  } catch (error) {
    descriptor.close()
    throw error
  }
}

/** What is no namespace is closed again, and is neither waited for nor becomes one's terminal. */
export const HOW: number = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

function openPath(option: string, path: string): Descriptor {
  try {
    return new Descriptor(openSync(path, HOW))
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    throw new CofferdamError(`${option}: ${path}: ${code}`, {
      code,
      errno: -errno,
      syscall: 'openat',
      path,
      option,
      hint:
        code === 'EACCES'
          ? 'to look into another process takes the same user and all of its capabilities; ptrace(2)'
          : undefined,
      cause,
    })
  }
}

function openOfProcess(option: string, kind: NamespaceKind, pid: number): Descriptor {
  try {
    return openPath(option, pathOf(kind, pid))
  } catch (error) {
    if ((error as CofferdamError).code !== 'ENOENT' || !kernelKinds().includes(kind)) throw error
    throw noProcess(option, pid, error)
  }
}

/** @throws CofferdamError `ESRCH` */
export function noProcess(option: string, pid: number, cause?: unknown): CofferdamError {
  return new CofferdamError(`${option}: there is no process ${pid}, or it has ended`, {
    code: 'ESRCH',
    option,
    cause,
  })
}

/**
 * Of which process a descriptor is. `Pid` in `/proc/self/fdinfo`, proc_pid_fdinfo(5)
 *
 * @throws CofferdamError `ESRCH` when it has ended.
 */
export function pidOf(option: string, pidfd: number): number {
  let text: string
  try {
    text = readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1')
  } catch {
    throw invalidOption(`${option}.pidfd`, `${pidfd} is no open descriptor`)
  }
  const pid = Number(/^Pid:\t(-?\d+)$/m.exec(text)?.[1])
  if (Number.isNaN(pid)) throw invalidOption(`${option}.pidfd`, `${pidfd} is no pidfd`)
  if (pid <= 0) throw noProcess(option, pid)
  return pid
}

/** A reference as messages have it. */
function named(reference: NamespaceReference): string {
  return typeof reference === 'string' ? reference : JSON.stringify(reference)
}
