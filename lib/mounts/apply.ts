import { dirname } from 'node:path'
import { type CofferdamError, type Duration, invalidOption, onlyKeys } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  kinds,
  MNT_DETACH,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  type Operation,
  pathOf,
  type Slot,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { job } from '../run/index.js'
import type { FileEntry } from './entries.js'
import { fileInMemory } from './entry-steps.js'
import { attach, openInRoot } from './operations.js'
import { propagationStep } from './propagation.js'
import { type Source, sequenceSteps } from './sequence.js'
import { checkMount, isNewMount, type Mount } from './specifications.js'

/** Options of {@link apply}. */
export interface ApplyOptions {
  /**
   * The mount namespace in which it is done: its path, a process that is in it, or a
   * descriptor of it. Default: that of this program.
   */
  namespace?: string | { pid: number } | { fd: number }
  /**
   * Directory in that namespace which the targets are below, and can't be led out of.
   * Default: `/`.
   */
  root?: string
  /** After this time it is given up, and fails with `ETIMEDOUT`. Default: none. */
  timeout?: Duration
  /** Gives up. */
  signal?: AbortSignal
}

/**
 * Does a sequence of mounts in a mount namespace that there is, as `mount()` of a
 * container does them in its own: this program's by default. Sources are paths of
 * that namespace, as it is by then. setns(2), open_tree(2), move_mount(2)
 *
 * ```ts
 * await mounts.apply([mounts.tmpfs('/mnt/cache')])
 * await mounts.apply([mounts.bind('/srv', '/mnt')], { namespace: { pid: box.pid } })
 * await mounts.apply([mounts.unmount('/mnt/cache', { detach: true })])
 * ```
 *
 * A bind mount of a shared mount is its peer if nothing is said of its propagation, as
 * with mount(8): here is no namespace that has been cut off.
 *
 * If one fails, what those before it have mounted and moved is taken back; what they
 * have changed of mounts that were there, unmounted, or made of files, stays.
 *
 * @throws CofferdamError of the operation that failed; `EPERM` without CAP_SYS_ADMIN
 * in the user namespace that owns the mount namespace.
 * Equivalent to: `nsenter --mount=… mount …`
 */
export async function apply(sequence: readonly Mount[], options: ApplyOptions = {}): Promise<void> {
  onlyKeys('apply', options, ['namespace', 'root', 'timeout', 'signal'])
  if (!Array.isArray(sequence)) throw invalidOption('apply', 'must be a list of mounts')
  const { namespace, root = '/', ...how } = options
  const mounts = sequence.map(checkMount)
  const [top, done] = [slot('root'), new Set<Mount>()]
  const place = { root: top, journal: false }
  const files = mounts.filter(mount => mount.type === 'file' && mount.mount) as FileEntry[]
  const peers = new Map<Mount, Slot>(files.map(file => [file, slot('tree')]))
  const steps = sequenceSteps(mounts, {
    place: () => place,
    peers,
    sources: mounts.map((): Source => ({ isFile: undefined, isDevice: true })),
    asUser: false,
  })
  const enter = entrance(namespace, root, top)
  try {
    const apart = files.length > 0 ? filesApart(files, peers) : []
    await job('mounts', [...apart, ...enter, ...reporting(mounts, steps, done)], how)
  } catch (error) {
    // One whose note got lost has been done as well.
    const unsaid = mounts.findIndex(mount => isTakenBack(mount) && !done.has(mount))
    const { step: failed } = error as CofferdamError
    const last = steps.filter(({ side }) => side !== 'waiting')[unsaid]
    if (last !== undefined && failed === noteOf(last)) done.add(mounts[unsaid] as Mount)
    const undo = [...done].reverse().flatMap(mount => takenBack(mount, top))
    if (undo.length > 0) await job('take back mounts', [...enter, ...undo])
    throw error
  }
}

/** Enters the namespace, and opens the directory that is root there. */
function entrance(namespace: ApplyOptions['namespace'], root: string, top: Slot): InitStep[] {
  const open: Operation = call('openat', [AT_FDCWD, root, flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], {
    result: top,
  })
  if (typeof root !== 'string' || !root.startsWith('/'))
    throw invalidOption('apply.root', 'must be an absolute path')
  if (namespace === undefined) return [step('root', open)]
  const into = slot('mount namespace')
  return [
    step(
      'join mount namespace',
      call('openat', [AT_FDCWD, pathOfNamespace(namespace), flags(O_RDONLY, O_CLOEXEC)], {
        result: into,
      }),
      call('setns', [into, kinds.mount.flag]),
    ),
    step('root', open),
  ]
}

/**
 * Makes files in memory in a mount namespace of their own, where nobody sees how, and
 * comes back.
 */
function filesApart(files: readonly FileEntry[], trees: ReadonlyMap<Mount, Slot>): InitStep[] {
  const [own, here] = [slot('mount namespace'), slot('root')]
  const open = flags(O_RDONLY, O_CLOEXEC)
  return [
    step(
      'mount namespace for files',
      call('openat', [AT_FDCWD, '/proc/self/ns/mnt', open], { result: own }),
      call('openat', [AT_FDCWD, '/', flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], { result: here }),
      call('unshare', [kinds.mount.flag]),
    ),
    propagationStep(),
    ...files.map(file =>
      step(`file for ${file.target}`, ...fileInMemory(file, trees.get(file) as Slot, here)),
    ),
    step('back', call('setns', [own, kinds.mount.flag])),
  ]
}

function pathOfNamespace(namespace: unknown): string {
  if (typeof namespace === 'string' && namespace.startsWith('/')) return namespace
  const { pid, fd } = (namespace ?? {}) as { pid?: unknown; fd?: unknown }
  if (typeof pid === 'number' && Number.isInteger(pid) && pid > 0) return pathOf('mount', pid)
  if (typeof fd === 'number' && Number.isInteger(fd) && fd >= 0)
    return `/proc/${process.pid}/fd/${fd}`
  throw invalidOption('apply.namespace', 'must be an absolute path, { pid } or { fd }')
}

/** The steps, and between them notes of what has been done that can be taken back. */
function reporting(mounts: readonly Mount[], steps: readonly Step[], done: Set<Mount>): Step[] {
  if (steps.length < 2) return [...steps]
  const all: Step[] = []
  let next = 0
  for (const each of steps) {
    all.push(each)
    if (each.side === 'waiting') continue
    const mount = mounts[next++] as Mount
    if (!isTakenBack(mount) || next === mounts.length) continue
    all.push({ side: 'waiting', name: noteOf(each), run: () => void done.add(mount) })
  }
  return all
}

const noteOf = ({ name }: Step) => `${name}: done`

function isTakenBack(mount: Mount): boolean {
  return isNewMount(mount) || mount.type === 'move' || (mount.type === 'file' && mount.mount)
}

const UMOUNT_NOFOLLOW = named('UMOUNT_NOFOLLOW', 8)

function takenBack(mount: Mount, root: Slot): InitStep[] {
  if (mount.type === 'move') {
    const [from, to] = [slot('mount'), slot('target')]
    const open = [openInRoot(root, mount.target, from), openInRoot(root, mount.from, to)]
    return [step(`take back ${mount.target}`, ...open, attach(from, to))]
  }
  const parent = slot('parent')
  const name = mount.target.slice(mount.target.lastIndexOf('/') + 1)
  return [
    step(
      `take back ${mount.target}`,
      openInRoot(root, dirname(mount.target), parent, {}, O_DIRECTORY),
      call('fchdir', [parent]),
      call('umount2', [name, flags(MNT_DETACH, UMOUNT_NOFOLLOW)], { tolerate: ['EINVAL'] }),
    ),
  ]
}
