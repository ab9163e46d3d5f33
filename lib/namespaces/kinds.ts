import { type Named, type NamespaceKind, named } from '../plan/index.js'

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

/** `/proc/42/ns/mnt` */
export function pathOf(kind: NamespaceKind, pid: number): string {
  return `/proc/${pid}/ns/${kinds[kind].file}`
}
