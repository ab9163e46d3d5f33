import { mkdirSync, rmdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CofferdamError } from '../base/index.js'
import { controllersOf, layoutNow } from '../cgroups/index.js'
import { attempt } from '../container/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  slot,
  step,
} from '../plan/index.js'
import type { CheckError } from './report.js'
import { PLACE, place, writeFile } from './steps.js'
import type { Finding, Group, Trial } from './trial.js'

/** Where this program's group of a hierarchy is. */
export interface OwnGroup {
  version: 1 | 2
  path: string
  controllers: readonly string[]
}

/** This program's groups, as far as their hierarchies are mounted here. */
export function ownGroups(): OwnGroup[] {
  return layoutNow().hierarchies.flatMap(({ version, ownFolder, controllers }) => {
    if (ownFolder === undefined) return []
    const own = version === 1 ? controllers : controllersOf(ownFolder)
    return [{ version, path: ownFolder, controllers: own }]
  })
}

let count = 0

/** Makes a group in `parent`, has it used, and removes it. */
async function withGroup(parent: string, use: (path: string) => Promise<void>): Promise<void> {
  const path = join(parent, `cofferdam-doctor-${process.pid}-${count++}`)
  try {
    mkdirSync(path)
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    const details = { code, errno: -errno, syscall: 'mkdir', path, cause }
    throw new CofferdamError(`mkdir ${path}: ${code}`, details)
  }
  try {
    await use(path)
  } finally {
    await removeGroup(path)
  }
}

/** A group is busy until the last of its processes has been waited for. */
async function removeGroup(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(path)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries === 100) throw error
      await sleep(2)
    }
  }
}

function unified(): string {
  const group = ownGroups().find(({ version }) => version === 2)
  if (group === undefined)
    throw new CofferdamError('no cgroup2 is mounted', { code: 'ENOENT', path: '/sys/fs/cgroup' })
  return group.path
}

const MOUNT = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup'
const DELEGATE = 'run as root, or under a systemd scope with Delegate=yes'

/** What helps where a group is missing, can't be made, or can't do something yet. */
const remedyOr =
  (since: string) =>
  ({ code, syscall }: CheckError) => {
    if (syscall !== undefined && syscall !== 'mkdir') return since
    return code === 'ENOENT' ? MOUNT : DELEGATE
  }

/** The child of the clone goes on here as its parent does; it has nobody to wait for. */
function cloneInto(path: string) {
  const group = slot('group')
  const NUMBER = 100 // as in the structure, which has no place for a slot
  const args = Buffer.alloc(88) // struct clone_args
  args.writeBigUInt64LE(0x2_0000_0000n, 0) // flags: CLONE_INTO_CGROUP
  args.writeBigUInt64LE(BigInt(constants.signals.SIGCHLD), 32) // exit_signal
  args.writeBigUInt64LE(BigInt(NUMBER), 80) // cgroup
  const all = [named('P_ALL', 0), 0, 0, named('WEXITED', 4), 0]
  return step(
    'clone',
    call('openat', [AT_FDCWD, path, flags(O_RDONLY, O_DIRECTORY, O_CLOEXEC)], { result: group }),
    call('dup3', [group, NUMBER, O_CLOEXEC]),
    call('clone3', [{ bytes: args, text: '{CLONE_INTO_CGROUP}' }, args.length]),
    call('waitid', all, { tolerate: ['ECHILD'] }),
  )
}

const ofUnified: Trial[] = [
  {
    name: 'a group below one’s own, v2',
    nested: false,
    try: async () => {
      const own = unified()
      await withGroup(own, async () => undefined)
      return { detail: own }
    },
    remedy: remedyOr(DELEGATE),
  },
  {
    name: 'CLONE_INTO_CGROUP',
    nested: false,
    try: async () => {
      await withGroup(unified(), path => attempt([cloneInto(path)]))
      return undefined
    },
    remedy: remedyOr('since Linux 5.7; done without before'),
  },
  {
    name: 'cgroup.kill',
    nested: false,
    try: async () => {
      const kill = (path: string) => [step('kill', ...writeFile(`${path}/cgroup.kill`, '1'))]
      await withGroup(unified(), path => attempt(kill(path)))
      return undefined
    },
    remedy: remedyOr('since Linux 5.14; done without before'),
  },
]

/** Those of v1 that limits are made of, each a hierarchy of its own. */
const ofLegacy: Trial = {
  name: 'groups below one’s own, v1',
  nested: false,
  try: async () => {
    const wanted = ['cpu', 'cpuset', 'memory', 'pids', 'blkio', 'freezer', 'devices']
    const groups = ownGroups().filter(
      ({ version, controllers }) =>
        version === 1 && controllers.some(name => wanted.includes(name)),
    )
    for (const { path } of groups) await withGroup(path, async () => undefined)
    return { detail: groups.flatMap(({ controllers }) => controllers).join(' ') }
  },
  remedy: remedyOr(DELEGATE),
}

/** Without these three there are no limits worth the name. */
async function controllers(): Promise<Finding | undefined> {
  const groups = ownGroups()
  if (groups.length === 0) return { ok: false, detail: 'no hierarchy is mounted', remedy: MOUNT }
  const known = groups.flatMap(group => group.controllers)
  const missing = ['cpu', 'memory', 'pids'].filter(name => !known.includes(name))
  const list = (version: 1 | 2) =>
    groups
      .filter(group => group.version === version)
      .flatMap(group => group.controllers)
      .join(' ')
  const detail = ([2, 1] as const)
    .filter(version => list(version) !== '')
    .map(version => `v${version}: ${list(version)}`)
    .join('; ')
  if (missing.length === 0) return { detail }
  const remedy = `no ${missing.join(', ')}: write "+${missing.join(' +')}" to cgroup.subtree_control of the group above`
  return { ok: missing.length === 3 ? false : 'partly', detail, remedy }
}

const BPF_PROG_LOAD = named('BPF_PROG_LOAD', 5)
const BPF_PROG_TYPE_CGROUP_DEVICE = 15
const BPF_CGROUP_DEVICE = 6

/** A program that permits all devices: v2 has no other device controller. bpf(2) */
function deviceProgram() {
  const program = Buffer.from('b700000001000000' + '9500000000000000' + '47504c00', 'hex') // r0 = 1; exit; "GPL"
  const attributes = Buffer.alloc(72)
  attributes.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0)
  attributes.writeUInt32LE(2, 4) // insn_cnt
  attributes.writeBigUInt64LE(BigInt(PLACE), 8) // insns
  attributes.writeBigUInt64LE(BigInt(PLACE + 16), 16) // license
  attributes.writeUInt32LE(BPF_CGROUP_DEVICE, 68) // expected_attach_type
  const text = '{BPF_PROG_TYPE_CGROUP_DEVICE}'
  return step(
    'bpf',
    ...place(program, '[return 1]'),
    call('bpf', [BPF_PROG_LOAD, { bytes: attributes, text }, attributes.length]),
  )
}

/** What limits, and ends, all the processes of a container together. */
export function cgroups(): Group {
  const groups = ownGroups()
  const has = (wanted: 1 | 2) => groups.some(({ version }) => version === wanted)
  return {
    group: 'cgroups',
    trials: [
      { name: 'controllers', nested: false, try: controllers },
      // Where there is neither, what is missing is v2.
      ...(has(2) || !has(1) ? ofUnified : []),
      ...(has(1) ? [ofLegacy] : []),
      {
        name: 'device rules, by BPF',
        nested: false,
        try: [deviceProgram()],
        remedy: 'needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, outside of user namespaces',
      },
      {
        name: 'pressure, with triggers',
        nested: false,
        // Without privileges the window must be a multiple of two seconds.
        try: [step('trigger', ...writeFile('/proc/pressure/memory', 'some 150000 2000000\n'))],
        remedy: 'a kernel with CONFIG_PSI, and without psi=0 on its command line',
      },
    ],
  }
}
