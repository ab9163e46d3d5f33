import { native, nativeError, onlyKeys, privileges } from '../base/index.js'
import {
  call,
  flags,
  type HostStep,
  hostStep,
  type InitStep,
  kinds,
  type NamespaceKind,
  type Slot,
  slot,
  step,
} from '../plan/index.js'
import { given, runHost } from '../run/index.js'
import { identify, identityOf } from './identity.js'
import {
  checkKinds,
  checkReference,
  kernelKinds,
  type NamespaceReference,
  type NamespaceReferences,
  namespaceKinds,
  noProcess,
  openReference,
  pidOf,
} from './reference.js'

/** One or several namespaces that one setns(2) enters, by a descriptor of this program's. */
interface Entrance {
  kinds: NamespaceKind[]
  fd: number
  slot: Slot
}

/**
 * Namespaces that have been found, are of the right kinds, and are open to be joined by a
 * process that is to be made.
 */
export interface Joined extends Disposable {
  /** Those that it is not in already. */
  readonly kinds: readonly NamespaceKind[]
  /** What hands them to the process. */
  readonly host: readonly HostStep[]
  /**
   * Enters them: setns(2). `before` a user namespace is entered, or left for a new one,
   * `user`, and `after`. A PID namespace is one's own only after `sibling()`.
   */
  readonly before: readonly InitStep[]
  readonly user: readonly InitStep[]
  readonly after: readonly InitStep[]
  /** When the process has been made. */
  close(): void
}

/**
 * Opens the namespaces that are to be joined, before anything is done. Those that are
 * named by the same process are entered by one setns(2) on its pidfd (Linux 5.8). Those
 * that this program is in are left out: it may lack the right to enter them again, and
 * setns(2) refuses one's own user namespace to anybody.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming the option, as `join.network`;
 * otherwise as {@link open} has them.
 */
export function openJoined(option: string, references: NamespaceReferences): Joined {
  onlyKeys(option, references, namespaceKinds)
  const checked = namespaceKinds
    .filter(kind => references[kind] !== undefined)
    .map(kind => [kind, checkReference(`${option}.${kind}`, references[kind])] as const)
  const entrances: Entrance[] = []
  const ofProcess = new Map<string, Entrance>()
  const close = () => {
    for (const { fd } of entrances.splice(0)) native().close(fd)
  }
  try {
    for (const [kind, reference] of checked) {
      const at = `${option}.${kind}`
      if (isOwn(at, kind, reference)) continue
      const key = processKeyOf(reference)
      const known = key === undefined ? undefined : ofProcess.get(key)
      if (known !== undefined) known.kinds.push(kind)
      else {
        const entrance = { kinds: [kind], fd: openEntrance(at, kind, reference), slot: slot(kind) }
        entrances.push(entrance)
        if (key !== undefined) ofProcess.set(key, entrance)
      }
    }
    return { ...inOrder(entrances), close, [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw error
  }
}

/** What is equal for two references to one process. */
function processKeyOf(reference: NamespaceReference): string | undefined {
  if (typeof reference === 'string' || 'fd' in reference) return undefined
  return JSON.stringify(reference)
}

/**
 * Whether this program is in a namespace already.
 *
 * @throws CofferdamError as {@link open}, naming `option`.
 */
export function isOwn(option: string, kind: NamespaceKind, reference: NamespaceReference): boolean {
  using namespace = openReference(option, kind, reference)
  return identityOf(kind, namespace.fd).inode === identify(kind).inode
}

/** A descriptor to hand to setns(2): a second one, so that the caller may close the first. */
function openEntrance(option: string, kind: NamespaceKind, reference: NamespaceReference): number {
  const entrance = slot('entrance')
  if (typeof reference !== 'string' && 'pid' in reference) {
    const open = call('pidfd_open', [reference.pid, 0], { result: entrance })
    try {
      return runHost(hostStep('pidfd', open))
    } catch (error) {
      const typed = nativeError(option, error)
      throw (typed as { code?: string }).code === 'ESRCH'
        ? noProcess(option, reference.pid, error)
        : typed
    }
  }
  if (typeof reference !== 'string' && 'pidfd' in reference) {
    pidOf(option, reference.pidfd)
    return runHost(given(reference.pidfd, entrance))
  }
  using namespace = openReference(option, kind, reference)
  return runHost(given(namespace.fd, entrance))
}

/**
 * Who has CAP_SYS_ADMIN here has it over all others that can be joined, and not any more
 * in another user namespace, so that one is joined last. For anybody else the user
 * namespace is what gives the right to join the others.
 */
function inOrder(entrances: readonly Entrance[]) {
  const hasUser = ({ kinds: has }: Entrance) => has.includes('user')
  // After a mount namespace `/proc` and all other paths are its own.
  const mountLast = (a: Entrance, b: Entrance) =>
    Number(a.kinds.includes('mount')) - Number(b.kinds.includes('mount'))
  const others = entrances
    .filter(entrance => !hasUser(entrance))
    .sort(mountLast)
    .map(enter)
  const user = entrances.filter(hasUser).map(enter)
  const first = privileges().admin || user.length === 0
  return {
    kinds: entrances.flatMap(entrance => entrance.kinds),
    host: entrances.map(({ fd, slot: place }) => given(fd, place)),
    before: first ? others : [],
    user,
    after: first ? [] : others,
  }
}

function enter({ kinds: wanted, slot: entrance }: Entrance): InitStep {
  const name = wanted.length === 1 ? `join ${wanted[0]} namespace` : 'join namespaces'
  return step(name, call('setns', [entrance, flags(...wanted.map(kind => kinds[kind].flag))]))
}

/**
 * References to namespaces of one process: all that this kernel has, or those of these kinds. Joined,
 * they are entered at once.
 * Equivalent to: `nsenter --target PID --all`
 */
export function namespacesOf(
  process: { pid: number } | { pidfd: number },
  wanted: readonly NamespaceKind[] = kernelKinds(),
): NamespaceReferences {
  const { pid, pidfd } = (process ?? {}) as { pid?: number; pidfd?: number }
  const of = checkReference('process', pidfd === undefined ? { pid } : { pidfd })
  return Object.fromEntries(checkKinds('kinds', wanted).map(kind => [kind, of]))
}
