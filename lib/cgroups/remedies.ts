import { READ_ONLY_HINT } from '../run/index.js'
import { limitRemedies } from './limits/remedies.js'

const DELEGATE =
  'it belongs to somebody else: run as root, or in a group delegated to this user, as ' +
  '"systemd-run --user --scope -p Delegate=yes" makes one'

const general: Record<string, string> = {
  EACCES: DELEGATE,
  EPERM: DELEGATE,
  EROFS: READ_ONLY_HINT,
  ENOENT: 'there is no such group any more, or this kernel has no such file',
  ENODEV: 'the group has been removed meanwhile',
  EEXIST: 'there is a group of that name: Cgroup.open() gives it, or take another name',
  EAGAIN: 'a group above allows no more, or none so deep: cgroup.max.descendants, cgroup.max.depth',
  EINVAL: 'the kernel takes no such value in this file',
  ERANGE: 'the kernel takes no such value in this file',
}

/** What helps where a file's name, or the end of it, says more than the error alone. */
const particular: typeof limitRemedies = [
  ...limitRemedies,
  [
    /\/cgroup\.subtree_control$/,
    'EBUSY',
    'of version 2, a group that hands on controllers can have no processes of its own: move them to a group below it',
  ],
  [
    /\/cgroup\.subtree_control$/,
    'ENOMEM',
    'the memory that controllers take for a group is the group’s own: limits.memory is too little',
  ],
  [
    /\/cgroup\.(procs|threads)$/,
    'EBUSY',
    'of version 2, a group that hands on controllers can have no processes of its own: add them to a group below it',
  ],
  [
    /\/cgroup\.(procs|threads|type)$/,
    'EOPNOTSUPP',
    'threads are moved between threaded groups of one domain only: make them with threaded: true, without domain controllers such as memory above',
  ],
  [
    /\/devices\.(allow|deny)$/,
    'EPERM',
    'a group allows no more devices than the one above it, and rules on them take CAP_SYS_ADMIN',
  ],
  [
    /\/devices\.(allow|deny)$/,
    'EINVAL',
    'what all else is can only be changed in a group that has none below it',
  ],
  [/\/(cgroup\.procs|tasks)$/, 'ESRCH', 'there is no such process any more'],
  [
    /\/(cgroup\.procs|tasks)$/,
    'ENOSPC',
    'cpuset.cpus and cpuset.mems of the group are empty: write them first',
  ],
  [
    /\/(cgroup\.procs|cgroup\.threads|tasks)$/,
    'EINVAL',
    'the kernel does not let this one be moved: a kernel thread, or a real-time process without a real-time budget in the group',
  ],
  [
    /\/(cgroup\.procs|cgroup\.threads)$/,
    'EACCES',
    'who moves a process needs to be able to write to the cgroup.procs of the common ancestor as well',
  ],
  [
    /\/cgroup\.subtree_control$/,
    'ENOENT',
    'the group above does not hand on that controller: write it to its cgroup.subtree_control',
  ],
]

/** What usually helps, for the error of a file or folder of control groups. */
export function remedyOf(code: string, path: string): string | undefined {
  const found = particular.find(([file, error]) => error === code && file.test(path))
  return found?.[2] ?? general[code]
}
