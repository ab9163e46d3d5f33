import { attempt } from '../container/index.js'
import {
  attachOverRoot,
  changeRootStep,
  cloneTree,
  MOUNT_ATTR,
  newFileSystem,
  overlay,
  propagationStep,
  rootStep,
  setAttributes,
} from '../mounts/index.js'
import { newUser, unshare } from '../namespaces/index.js'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  call,
  child,
  flags,
  mode,
  named,
  O_CLOEXEC,
  O_RDONLY,
  type Step,
  slot,
  step,
} from '../plan/index.js'
import { dumpable } from '../process/index.js'
import type { Finding, Group, Trial } from './trial.js'

const MOUNT_ATTR_IDMAP = 0x100000n
const S_IFCHR = 0o020000
const DEV_NULL = (1 << 8) | 3

/** A mount namespace whose mounts are nobody else's. */
const apart = [unshare(['mount']), propagationStep()]

const root = slot('root')
const tmpfs = step(
  'tmpfs',
  ...newFileSystem('tmpfs', slot('fs'), root, { size: '1m' }),
  attachOverRoot(root),
)

/** A new instance of a file system, in a new namespace of the kind that it shows. */
function instance(type: string, ...before: Step[]): Trial {
  const [fs, tree] = [slot('fs'), slot(type)]
  const options: Record<string, string | true> = type === 'devpts' ? { newinstance: true } : {}
  return {
    name: type,
    try: [...before, ...apart, step(type, ...newFileSystem(type, fs, tree, options))],
    remedy: `this kernel has no ${type}, or an outer container covers parts of its own`,
  }
}

/**
 * Ids of another user namespace on files of the root: a process that has that
 * namespace waits, and another one takes it from there.
 */
async function idmapped(): Promise<Finding | undefined> {
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  const stays = { open: dumpable(true), close: dumpable(true) }
  const [make, maps] = newUser({ uid: ids, gid: ids }, stays)
  await attempt([
    make,
    maps,
    {
      side: 'waiting',
      name: 'idmapped mount',
      run: ({ namespace }) => attempt(idmapWith(namespace('user'))),
    },
  ])
  return { detail: 'of the file system of /' }
}

function idmapWith(path: string): Step[] {
  const [namespace, tree] = [slot('user-namespace'), slot('tree')]
  // Structures have no place for a slot, so the descriptor gets a number of ours.
  const NUMBER = 100
  const attributes = Buffer.alloc(32) // struct mount_attr
  attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0)
  attributes.writeBigUInt64LE(BigInt(NUMBER), 24)
  const text = '{set: MOUNT_ATTR_IDMAP}'
  return [
    ...apart,
    step(
      'idmapped mount',
      call('openat', [AT_FDCWD, path, flags(O_RDONLY, O_CLOEXEC)], { result: namespace }),
      call('dup3', [namespace, NUMBER, O_CLOEXEC]),
      cloneTree(AT_FDCWD, '/', tree, false),
      call('mount_setattr', [tree, '', AT_EMPTY_PATH, { bytes: attributes, text }, 32]),
    ),
  ]
}

/** What roots and mounts are made with. */
export function mounts(): Group {
  const tree = slot('tree')
  const overHost = { ...overlay({ lower: ['/'], size: '1MiB' }) }
  const readonly = { set: [MOUNT_ATTR.readonly], recursive: true }
  return {
    group: 'mounts',
    trials: [
      { name: 'tmpfs, by fsopen and move_mount', try: [...apart, tmpfs] },
      {
        name: 'read-only bind, recursive',
        try: [
          ...apart,
          step('bind', cloneTree(AT_FDCWD, '/', tree, true), setAttributes(tree, readonly)),
        ],
        remedy: 'mount_setattr(2) is there since Linux 5.12',
      },
      {
        name: 'overlay over /',
        try: [...apart, rootStep(overHost, root)],
        remedy: 'modprobe overlay; in a user namespace not over a / that has mounts on it',
      },
      {
        name: 'overlay over a tmpfs',
        try: [
          ...apart,
          tmpfs,
          step(
            'overlay',
            ...['lower', 'upper', 'work', 'merged'].map(name =>
              call('mkdirat', [root, name, mode(0o755)]),
            ),
            call('fchdir', [root]),
            call('mount', [
              'overlay',
              'merged',
              'overlay',
              0,
              'lowerdir=lower,upperdir=upper,workdir=work',
            ]),
          ),
        ],
        remedy: 'modprobe overlay; in a user namespace since Linux 5.11',
      },
      // A process is in a new PID namespace only with the next clone.
      instance('proc', unshare(['pid']), step('child', child())),
      instance('sysfs', unshare(['network'])),
      instance('devpts'),
      instance('mqueue', unshare(['ipc'])),
      instance('cgroup2', unshare(['cgroup'])),
      {
        name: 'idmapped mount',
        nested: false,
        try: idmapped,
        remedy: 'needs root, and a file system that can do it: ext4 since Linux 5.12',
      },
      {
        name: 'pivot_root',
        try: [
          ...apart,
          tmpfs,
          changeRootStep('pivot', root, { type: 'directory', path: '/', readonly: false }),
        ],
      },
      {
        name: 'device files',
        nested: false,
        try: [
          ...apart,
          tmpfs,
          step(
            'mknod',
            call('mknodat', [root, 'null', mode(S_IFCHR | 0o666), named('1:3', DEV_NULL)]),
          ),
        ],
        remedy: 'needs CAP_MKNOD; without, the host’s are bound',
      },
    ],
  }
}
