import {
  AT_FDCWD,
  call,
  type InitStep,
  mode,
  named,
  type Operation,
  type Slot,
  slot,
  step,
  target,
} from '../plan/index.js'
import {
  attach,
  attachAt,
  cloneTree,
  MOUNT_ATTR,
  newFileSystem,
  setAttributes,
} from './operations.js'
import type { Place } from './steps.js'

// The devices that every container has, by the OCI's runtime specification
// ("Default Devices"): name, major, minor; linux/major.h.
const devices: readonly [name: string, major: number, minor: number][] = [
  ['null', 1, 3],
  ['zero', 1, 5],
  ['full', 1, 7],
  ['random', 1, 8],
  ['urandom', 1, 9],
  ['tty', 5, 0],
]

const links: readonly [name: string, to: string][] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['core', '/proc/kcore'],
  ['ptmx', 'pts/ptmx'],
]

/** Group of terminals on most systems, whose members may write to others' with write(1). */
export const TTY_GROUP = 5

const S_IFCHR = 0o020000
const S_IFREG = 0o100000

/** What differs where `/dev` is filled in a user namespace. */
export interface DevOptions {
  /** Device files can't be made, so the host's are bound over empty ones. Default: false. */
  bound?: boolean
  /** Device files that others make in it can't be opened. Default: true. */
  nodev?: boolean
  /** Terminals are of group 5. Default: true. */
  ttyGroup?: boolean
}

/**
 * Makes a device file, mknod(2), or binds the host's. With `nodev` it is a mount of its
 * own, which stays as it is when the file system that it is in becomes `nodev`.
 */
function makeDevice(
  dev: Slot,
  [name, major, minor]: (typeof devices)[number],
  { bound, nodev }: { bound: boolean; nodev: boolean },
): Operation[] {
  const tree = slot('device')
  if (bound)
    return [
      call('mknodat', [dev, name, named('S_IFREG|0666', S_IFREG | 0o666), 0]),
      cloneTree(AT_FDCWD, `/dev/${name}`, tree, false),
      attachAt(tree, dev, name),
    ]
  const number = named(`makedev(${major}, ${minor})`, (major << 8) | minor)
  const make = call('mknodat', [dev, name, named('S_IFCHR|0666', S_IFCHR | 0o666), number])
  return nodev ? [make, cloneTree(dev, name, tree, false), attachAt(tree, dev, name)] : [make]
}

/**
 * Mounts `/dev` and fills it as Docker does: the six default devices, links to
 * the standard streams, pseudo-terminals of its own (devpts(5)), `/dev/shm`,
 * and the message queues of init's IPC namespace (mq_overview(7)). It is left
 * in `dev`. Other device files in it can't be opened.
 *
 * Device files are made with mknod(2): `EPERM` without CAP_MKNOD.
 */
export function devStep(place: Place, dev: Slot, options: DevOptions = {}): InitStep {
  const at = slot('target')
  const { bound = false, ttyGroup = true, nodev: closed = true } = options
  const { nosuid, nodev, noexec, strictatime } = MOUNT_ATTR
  const tty: Record<string, string> = ttyGroup ? { gid: `${TTY_GROUP}` } : {}

  const sub = (
    path: string,
    type: string,
    options: Record<string, string | true>,
    ...attributes: (typeof nosuid)[]
  ): Operation[] => {
    const tree = slot(path)
    return [
      call('mkdirat', [dev, path, mode(0o755)]),
      ...newFileSystem(type, slot('fs'), tree, options, ...attributes),
      attachAt(tree, dev, path),
    ]
  }

  return step(
    'dev',
    ...newFileSystem('tmpfs', slot('fs'), dev, { mode: '755', size: '64k' }, nosuid, strictatime),
    target(place.root, '/dev', at, { journal: place.journal, strict: true }),
    attach(dev, at),
    ...devices.flatMap(device => makeDevice(dev, device, { bound, nodev: closed })),
    ...links.map(([name, to]) => call('symlinkat', [to, dev, name])),
    ...sub('pts', 'devpts', { ptmxmode: '0666', mode: '0620', ...tty }, nosuid, noexec),
    ...sub('shm', 'tmpfs', { mode: '1777', size: '64m' }, nosuid, nodev, noexec),
    ...sub('mqueue', 'mqueue', {}, nosuid, nodev, noexec),
    ...(closed ? [setAttributes(dev, { set: [nodev] })] : []),
  )
}
