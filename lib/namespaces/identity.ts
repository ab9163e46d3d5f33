import { fstatSync } from 'node:fs'
import {
  CofferdamError,
  Descriptor,
  invalidOption,
  native,
  nativeError,
  show,
} from '../base/index.js'
import type { NamespaceKind } from '../plan/index.js'
import {
  checkReference,
  kindOf,
  type NamespaceReference,
  open,
  openReference,
  queries,
} from './reference.js'

/** What tells a namespace from every other that exists at the same time. */
export interface NamespaceIdentity {
  kind: NamespaceKind
  /** Of the file system nsfs; the same for all namespaces of a machine. */
  device: number
  /** The number in brackets that `readlink /proc/PID/ns/net` shows, below 2^32. */
  inode: number
}

/**
 * Which namespace it is. fstat(2) of a descriptor, namespaces(7).
 * Equivalent to: `stat -L /proc/PID/ns/net`
 *
 * An inode becomes free with its namespace, and may be another one's later. To make
 * sure, keep it open meanwhile: {@link open}.
 *
 * @param reference Default: this program's own. Errors are as {@link open} has them.
 */
export function identify(kind: NamespaceKind, reference?: NamespaceReference): NamespaceIdentity {
  using namespace = open(kind, reference)
  return identityOf(kind, namespace.fd)
}

/** Of an open one. */
export function identityOf(kind: NamespaceKind, fd: number): NamespaceIdentity {
  const { dev: device, ino: inode } = fstatSync(fd)
  return { kind, device, inode }
}

/**
 * Whether both name the same namespace. Both are open while they are compared, so that
 * neither's inode can have become free.
 *
 * @param b Default: this program's own.
 */
export function same(kind: NamespaceKind, a: NamespaceReference, b?: NamespaceReference): boolean {
  using first = open(kind, a)
  using second = open(kind, b)
  const [one, other] = [identityOf(kind, first.fd), identityOf(kind, second.fd)]
  return one.device === other.device && one.inode === other.inode
}

/**
 * Of which kind the namespace at a path, or of a descriptor, is. ioctl_nsfs(2)
 * NS_GET_NSTYPE
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` when it is none.
 */
export function typeOf(reference: string | { fd: number }): NamespaceKind {
  const checked = checkReference('namespace', reference)
  using namespace = openReference('namespace', undefined, checked)
  return kindOf('namespace', namespace.fd)
}

/**
 * The namespace that this one was made in: of PID and user namespaces, which are nested.
 * Undefined for the initial one, and for one whose parent this program is not to know
 * of, since it is in that namespace itself or below it. ioctl_nsfs(2) NS_GET_PARENT
 *
 * @returns A descriptor, the caller's to be closed.
 */
export function parentOf(
  kind: 'pid' | 'user',
  reference?: NamespaceReference,
): Descriptor | undefined {
  if (kind !== 'pid' && kind !== 'user')
    throw invalidOption(
      'kind',
      `namespaces of the kind ${show(kind)} are not nested; pid and user are`,
    )
  using namespace = open(kind, reference)
  return related(namespace.fd, queries.parent)
}

/**
 * The user namespace in which one needs CAP_SYS_ADMIN to have power over this one; of a
 * user namespace it is the parent. Undefined when this program is not to know of it,
 * which is further up than its own. ioctl_nsfs(2) NS_GET_USERNS
 *
 * @returns A descriptor, the caller's to be closed.
 */
export function ownerOf(
  kind: NamespaceKind,
  reference?: NamespaceReference,
): Descriptor | undefined {
  using namespace = open(kind, reference)
  return related(namespace.fd, queries.owner)
}

/** The descriptor that the kernel gives for another one; none where it says EPERM. */
export function related(fd: number, query: number): Descriptor | undefined {
  try {
    return new Descriptor(Number(ask(fd, query)), 'addon')
  } catch (error) {
    if ((error as CofferdamError).code === 'EPERM') return undefined
    throw error
  }
}

/**
 * Who made a user namespace, as an id of this program's own: one that that does not have
 * is 65534. ioctl_nsfs(2) NS_GET_OWNER_UID
 */
export function ownerUid(reference?: NamespaceReference): number {
  using namespace = open('user', reference)
  return Number(ask(namespace.fd, queries.ownerUid))
}

/**
 * A number that no other mount namespace of this boot has or will have. ioctl_nsfs(2)
 * NS_GET_MNTNS_ID
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` before Linux 6.10.
 */
export function mountNamespaceId(reference?: NamespaceReference): bigint {
  using namespace = open('mount', reference)
  return ask(namespace.fd, queries.mountId)
}

/**
 * The pid that a process of this program's PID namespace has in another one; undefined
 * when it is not in it. ioctl_nsfs(2) NS_GET_PID_IN_PIDNS
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` before Linux 6.11.
 */
export function pidIn(pid: number, reference: NamespaceReference): number | undefined {
  return translate(queries.pidIn, pid, reference)
}

/**
 * The pid that a process of another PID namespace has in this program's; undefined when
 * there is no such process. ioctl_nsfs(2) NS_GET_PID_FROM_PIDNS
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` before Linux 6.11.
 */
export function pidFrom(pid: number, reference: NamespaceReference): number | undefined {
  return translate(queries.pidFrom, pid, reference)
}

function translate(query: number, pid: number, reference: NamespaceReference): number | undefined {
  if (!Number.isInteger(pid) || pid < 1 || pid > 0x7fffffff)
    throw invalidOption('pid', `${show(pid)} is none`)
  using namespace = open('pid', reference)
  try {
    return Number(ask(namespace.fd, query, pid))
  } catch (error) {
    if ((error as CofferdamError).code === 'ESRCH') return undefined
    throw error
  }
}

function ask(fd: number, query: number, argument = 0): bigint {
  try {
    return native().namespaceQuery(fd, query, argument)
  } catch (cause) {
    const error = nativeError('namespace', cause) as CofferdamError
    if (error.code !== 'ENOTTY') throw error
    throw new CofferdamError('namespace: this kernel can not be asked for it', {
      code: 'ERR_UNSUPPORTED',
      syscall: 'ioctl',
      cause,
    })
  }
}
