// Groups of a test's own, below a parent of its own.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cgroups } from 'cofferdam'
import type { Test } from 'tap'

let count = 0

/** A name for groups that no other test has: `/cofferdam-test-PID-n`. */
export const groupName = () => `/cofferdam-test-${process.pid}-${count++}`

/**
 * A group to make others below, in all hierarchies or those of some controllers; it goes with
 * the test, with all that is in it, also when the test fails.
 */
export async function parentGroup(
  t: Test,
  options: cgroups.CgroupOptions = {},
): Promise<cgroups.Cgroup> {
  const parent = await cgroups.Cgroup.create(groupName(), options)
  t.teardown(() => parent.delete())
  return parent
}

/** The folders that a path has in the hierarchies, whether or not the package knows of them. */
export function foldersAt(path: string): string[] {
  return cgroups
    .layoutNow()
    .hierarchies.map(({ mountPoint }) => join(mountPoint, path))
    .filter(existsSync)
}

/** The hierarchies that containers have groups in: all but named ones. */
export const controlling = cgroups.layoutNow().hierarchies.filter(({ name }) => name === undefined)

/** The path of a process's group in each of those. */
export function groupsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cgroup`, 'latin1')
    .trim()
    .split('\n')
    .filter(line => !line.includes('name='))
    .map(line => line.split(':').slice(2).join(':'))
}

/**
 * What mount(8) is told for the unified hierarchy: the options that it has, which are the machine's
 * and would be lost by a mount without them in the initial cgroup namespace.
 */
export const mountUnified = `mount -t cgroup2 -o "${unifiedOptions()}" none`

function unifiedOptions(): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8').match(/ - cgroup2 \S+ (\S+)$/m)
  return line?.[1] ?? 'rw'
}

/** Groups of this test file that are there: none at its end. */
export function groupsLeft(): string[] {
  const name = new RegExp(`^cofferdam-test-${process.pid}-`)
  return cgroups.layoutNow().hierarchies.flatMap(({ mountPoint }) =>
    readdirSync(mountPoint)
      .filter(entry => name.test(entry))
      .map(entry => join(mountPoint, entry)),
  )
}

/** Where the controller of this machine lives: a reason to skip if nowhere. */
export function needsController(...names: string[]): { skip?: string } {
  if (process.getuid?.() !== 0) return { skip: 'needs root: run npm test as root' }
  const there = cgroups.layoutNow().hierarchies.flatMap(({ controllers }) => controllers)
  const missing = names.filter(name => !there.includes(name))
  return missing.length === 0 ? {} : { skip: `this kernel has no controller ${missing.join(', ')}` }
}

/** One of version 2 that threaded groups can't have, and that groups with processes don't hand on. */
export const domainController = cgroups
  .layoutNow()
  .hierarchies.find(({ version }) => version === 2)
  ?.controllers.find(name => ['memory', 'io', 'hugetlb', 'rdma', 'misc'].includes(name))

/** For tests that need a mount of the unified hierarchy. */
export const needsUnified =
  process.getuid?.() !== 0
    ? { skip: 'needs root: run npm test as root' }
    : cgroups.layoutNow().hierarchies.some(({ version }) => version === 2)
      ? {}
      : { skip: 'no cgroup2 is mounted' }

/** Where a program of the test's runs. */
export interface Surroundings {
  /** Namespaces besides the mount namespace, as options of unshare(1). */
  namespaces?: readonly string[]
  /** A shell script that root runs before, in them. */
  before?: string
  /** A program that executes the rest: `setpriv …`, `unshare --cgroup`. */
  by?: string
}

/**
 * Runs a program in a mount namespace of its own, and maybe others, and gives what it has said
 * with `say()`. It has `cgroups`, `Cgroup` and `told()`, which is what an error says.
 */
export async function programIn(where: Surroundings, body: string): Promise<unknown[]> {
  const script = `
    import { execFileSync, spawn } from 'node:child_process'
    import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
    import { once } from 'node:events'
    import { cgroups, mounts } from 'cofferdam'
    const { Cgroup } = cgroups
    const say = value => console.log(JSON.stringify(value) ?? 'null')
    const told = ({ code, syscall, path, option, controller, hint, message }) =>
      ({ code, syscall, path, option, controller, hint, message })
    const failing = promise => promise.then(() => 'nothing failed', told)
    ${body}`
  const before = `mount --make-rprivate /; ${where.before ?? ''}\nexec ${where.by ?? ''} "$@"`
  const node = [process.execPath, '--input-type=module', '-e', script]
  const { stdout } = await promisify(execFile)(
    'unshare',
    ['--mount', ...(where.namespaces ?? []), 'sh', '-e', '-c', before, 'sh', ...node],
    { cwd: new URL('../../..', import.meta.url), timeout: 300_000 },
  )
  const lines = stdout.trim().split('\n').filter(Boolean)
  return lines.map(line => JSON.parse(line))
}

/** A shell script of the host's that is ended with the test; resolves when it has said "ready". */
export async function script(t: Test, body: string): Promise<ChildProcess & { pid: number }> {
  const child = spawn('sh', ['-c', `echo ready; ${body}`], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await once(child.stdout, 'data')
  return child as ChildProcess & { pid: number }
}

/** A program in a group, and how it ended. */
export interface Inside {
  pid: number
  /** What it has printed so far. */
  printed(): string
  exited: Promise<{ stdout: string; exitCode: number | null; signal: string | null }>
}

/** A program of the host's that is in the group when it begins; ended with the test. */
export async function inside(
  t: Test,
  group: cgroups.Cgroup,
  argv: readonly string[],
): Promise<Inside> {
  const child = spawn('sh', ['-c', 'read go && exec "$@"', 'sh', ...argv], {
    stdio: ['pipe', 'pipe', 'ignore'],
  }) as ChildProcess & { pid: number }
  let stdout = ''
  child.stdout?.on('data', (text: Buffer) => {
    stdout += text
  })
  const exited = once(child, 'close').then(([exitCode, signal]) => ({ stdout, exitCode, signal }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  await group.add(child.pid)
  child.stdin?.end('\n')
  return { pid: child.pid, printed: () => stdout, exited }
}

/** Perl is in every Debian and starts at once: `bytes` of memory, each page touched; then `rest`. */
export const hog = (mebibytes: number, rest = 'print "survived\\n"') => [
  'perl',
  '-e',
  `$| = 1; my $hog = "x"; $hog x= ${mebibytes} << 20; ${rest}`,
]

/** A number of one of the group's files: `key 5`, or the file alone. */
export async function figure(group: cgroups.Cgroup, file: string, key = ''): Promise<number> {
  const text = await group.read(file)
  return Number(
    new RegExp(`^${key === '' ? '' : `${key} `}(\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN,
  )
}

/** Which version the controller of a group is. */
export const versionOf = (group: cgroups.Cgroup, controller: string) =>
  cgroups.folderOf(group, controller)?.version

/** Where the group of a container is that has not been told otherwise. */
export const placeOf = (id: string) =>
  cgroups.defaultManager() === 'systemd'
    ? `/system.slice/cofferdam-${id}.scope/container`
    : `/cofferdam/${id}`
