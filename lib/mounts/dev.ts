import {
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
import { attach, attachAt, MOUNT_ATTR, newFileSystem } from './operations.js'
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

const S_IFCHR = 0o020000

/**
 * Mounts `/dev` and fills it as Docker does: the six default devices, links to
 * the standard streams, pseudo-terminals of its own (devpts(5)), `/dev/shm`,
 * and the message queues of init's IPC namespace (mq_overview(7)). It is left
 * in `dev`.
 *
 * Device files are made with mknod(2): `EPERM` without CAP_MKNOD.
 */
export function devStep(place: Place, dev: Slot): InitStep {
  const at = slot('target')
  const { nosuid, nodev, noexec, strictatime } = MOUNT_ATTR

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
    ...devices.map(([name, major, minor]) =>
      call('mknodat', [
        dev,
        name,
        named('S_IFCHR|0666', S_IFCHR | 0o666),
        named(`makedev(${major}, ${minor})`, (major << 8) | minor),
      ]),
    ),
    ...links.map(([name, to]) => call('symlinkat', [to, dev, name])),
    ...sub('pts', 'devpts', { ptmxmode: '0666', mode: '0620', gid: '5' }, nosuid, noexec),
    ...sub('shm', 'tmpfs', { mode: '1777', size: '64m' }, nosuid, nodev, noexec),
    ...sub('mqueue', 'mqueue', {}, nosuid, nodev, noexec),
  )
}
