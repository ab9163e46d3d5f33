import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  statfsSync,
  unlinkSync,
} from 'node:fs'
import { CofferdamError, Descriptor, hostPathOption } from '../base/index.js'
import {
  AT_EMPTY_PATH,
  call,
  flags,
  type NamespaceKind,
  named,
  O_CLOEXEC,
  O_PATH,
  slot,
  step,
} from '../plan/index.js'
import { given, job } from '../run/index.js'
import { checkKind, checkReference, type NamespaceReference, openReference } from './reference.js'

const OPEN_TREE_CLONE = named('OPEN_TREE_CLONE', 1)
const FROM_AND_TO_DESCRIPTORS = named('MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH', 0x44)
const DETACH = named('MNT_DETACH|UMOUNT_NOFOLLOW', 0xa)

const NSFS_MAGIC = 0x6e736673

/**
 * Gives a namespace a name in the file system, by which it goes on to exist when no
 * process is left in it: a bind mount, in this program's mount namespace. open_tree(2),
 * move_mount(2); `EPERM` without CAP_SYS_ADMIN. {@link open} keeps one for as long as a
 * descriptor of this program's.
 *
 * A file that is missing is made, as ip-netns(8) makes it, which knows a network
 * namespace that is pinned in `/run/netns`. Mount namespaces are particular: one can be
 * pinned only in a mount namespace that is older than it, and where the mount that has
 * the path is private, so that the name does not get into the namespace itself; otherwise
 * `EINVAL` or `ELOOP`.
 *
 * Equivalent to: `mount --bind /proc/PID/ns/net PATH`, `ip netns attach NAME PID`
 *
 * @throws CofferdamError `EEXIST` when a namespace is pinned there already, or this
 * program is about to; as {@link open} when there is no such namespace.
 */
export async function pin(
  kind: NamespaceKind,
  reference: NamespaceReference,
  path: string,
): Promise<void> {
  checkKind('kind', kind)
  const at = hostPathOption('path', path)
  using namespace = openReference('namespace', kind, checkReference('namespace', reference))
  if (busy.has(at)) throw failed('EEXIST', at, 'a namespace is being pinned here')
  busy.add(at)
  try {
    await pinAt(at, namespace)
  } finally {
    busy.delete(at)
  }
}

/** Where something is being pinned: a second mount would lie on top of the first. */
const busy = new Set<string>()

async function pinAt(at: string, namespace: Descriptor): Promise<void> {
  const made = make(at)
  try {
    using place = openPlace(at)
    const [from, tree, to] = [slot('namespace'), slot('mount'), slot('place')]
    const how = flags(OPEN_TREE_CLONE, O_CLOEXEC, AT_EMPTY_PATH)
    await job('pin', [
      given(namespace.fd, from),
      given(place.fd, to),
      step(
        'pin',
        call('open_tree', [from, '', how], { result: tree }),
        call('move_mount', [tree, '', to, '', FROM_AND_TO_DESCRIPTORS]),
      ),
    ])
  } catch (error) {
    try {
      if (made) remove(at)
    } catch {
      // What came first is what is told.
    }
    throw error
  }
}

/**
 * Takes back what {@link pin} did, or ip-netns(8): the mount, and the file if it is
 * empty. The namespace goes when nothing else keeps it. umount2(2) MNT_DETACH, unlink(2).
 * Equivalent to: `umount PATH; rm PATH`, `ip netns delete NAME`
 *
 * @throws CofferdamError `EINVAL` when no namespace is pinned there, `ENOENT` when there
 * is nothing at all.
 */
export async function unpin(path: string): Promise<void> {
  const at = hostPathOption('path', path)
  {
    using place = openAt(at)
    if (!isNamespace(place.fd)) throw failed('EINVAL', at, 'no namespace is pinned here')
  }
  await job('unpin', [step('unpin', call('umount2', [at, DETACH]))])
  remove(at)
}

/** Removes what a pin was on, if it is no more than that: an empty file. */
function remove(path: string): void {
  try {
    const left = lstatSync(path)
    if (left.isFile() && left.size === 0 && !isNamespaceAt(path)) unlinkSync(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw systemError(path, cause)
  }
}

/** Makes the file for a pin; false when there is one. */
function make(path: string): boolean {
  const { O_CREAT, O_EXCL, O_RDONLY } = constants
  try {
    closeSync(openSync(path, O_RDONLY | O_CREAT | O_EXCL, 0))
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw systemError(path, cause)
  }
}

/** The place for a pin: a file, and not one that is pinned already. */
function openPlace(path: string): Descriptor {
  const place = openAt(path)
  try {
    if (isNamespace(place.fd)) throw failed('EEXIST', path, 'a namespace is pinned here already')
    const stat = fstatSync(place.fd)
    if (stat.isSymbolicLink()) throw failed('ELOOP', path, 'is a symbolic link')
    if (stat.isDirectory()) throw failed('EISDIR', path, 'is a directory; a namespace is a file')
    return place
  } catch (error) {
    place.close()
    throw error
  }
}

function openAt(path: string): Descriptor {
  try {
    return new Descriptor(openSync(path, Number(O_PATH.value) | constants.O_NOFOLLOW))
  } catch (cause) {
    throw systemError(path, cause)
  }
}

function isNamespace(fd: number): boolean {
  return isNamespaceAt(`/proc/self/fd/${fd}`)
}

function isNamespaceAt(path: string): boolean {
  return statfsSync(path).type === NSFS_MAGIC
}

function failed(code: string, path: string, problem: string): CofferdamError {
  return new CofferdamError(`${path}: ${problem}`, { code, path })
}

function systemError(path: string, cause: unknown): CofferdamError {
  const { code = 'EIO', errno = 0, syscall } = cause as NodeJS.ErrnoException
  const details = { code, errno: -errno, syscall, path, option: 'path', cause }
  return new CofferdamError(`path: ${path}: ${code}`, details)
}
