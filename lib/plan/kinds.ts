import { invalidOption, show } from '../base/index.js'
import { type Named, named } from './operation.js'
import type { NamespaceKind } from './step.js'

/** Every kind of namespace, with its clone flag and its name in `/proc/PID/ns`. */
export const kinds: Readonly<Record<NamespaceKind, { flag: Named; file: string }>> = {
  cgroup: { flag: named('CLONE_NEWCGROUP', 0x02000000), file: 'cgroup' },
  ipc: { flag: named('CLONE_NEWIPC', 0x08000000), file: 'ipc' },
  mount: { flag: named('CLONE_NEWNS', 0x00020000), file: 'mnt' },
  network: { flag: named('CLONE_NEWNET', 0x40000000), file: 'net' },
  pid: { flag: named('CLONE_NEWPID', 0x20000000), file: 'pid' },
  time: { flag: named('CLONE_NEWTIME', 0x00000080), file: 'time' },
  user: { flag: named('CLONE_NEWUSER', 0x10000000), file: 'user' },
  uts: { flag: named('CLONE_NEWUTS', 0x04000000), file: 'uts' },
}

/**
 * `/proc/42/ns/mnt`
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a kind or number that is none.
 */
export function pathOf(kind: NamespaceKind, pid: number): string {
  if (!Object.keys(kinds).includes(kind)) throw invalidOption('kind', `${show(kind)} is none`)
  if (!Number.isInteger(pid) || pid < 1) throw invalidOption('pid', `${show(pid)} is none`)
  return `/proc/${pid}/ns/${kinds[kind].file}`
}
