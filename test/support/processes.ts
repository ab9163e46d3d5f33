import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { promisify } from 'node:util'
import { namespaces, plan } from 'cofferdam'
import type { Test } from 'tap'
import { needsContainers, needsRoot, scratch } from './index.js'

/** The kinds that this kernel has. */
export const kernelKinds = (Object.keys(namespaces.kinds) as namespaces.NamespaceKind[]).filter(
  kind => existsSync(namespaces.pathOf(kind, process.pid)),
)

/** What tests of time namespaces need, besides `also`. */
const withTime = (also: { skip?: string }) =>
  kernelKinds.includes('time') ? also : { skip: 'this kernel has no time namespaces' }

/** For tests of time namespaces, which root makes or anybody may. */
export const needsTime = withTime(needsRoot)
export const needsTimeContainers = withTime(needsContainers)

/** What unshare(1) is told for time namespaces, where the kernel has them. */
export const timeFlag = kernelKinds.includes('time') ? ['--time'] : []

/**
 * Whether the program that unshare(1) executes is in the new time namespace itself, and not its
 * children alone: since Linux 6.2.
 */
export const timeAtExec =
  process.getuid?.() === 0 &&
  kernelKinds.includes('time') &&
  execFileSync('unshare', ['--time', 'readlink', '/proc/self/ns/time']).toString().trim() !==
    readlinkSync('/proc/self/ns/time')

/** What a program of the host prints, without the last line's end. */
export async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { timeout: 20_000 })
  return stdout.trimEnd()
}

/** A process that is there until the test ends, and has printed its pid. */
export interface Sleeper {
  /** Of `sleep` itself, as it is seen here. */
  pid: number
  child: ChildProcess
  end(): Promise<void>
}

/**
 * Runs `sleep` by way of a program that ends in execve, as unshare(1) without
 * `--fork` does, so that the pid stays.
 */
export async function sleeper(t: Test, ...before: string[]): Promise<Sleeper> {
  const argv = [...before, 'sh', '-c', 'echo ready; exec sleep 600']
  const child = spawn(argv[0] as string, argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const end = async () => {
    child.kill('SIGKILL')
    await exited
  }
  t.teardown(end)
  await Promise.race([
    once(child.stdout as NodeJS.ReadableStream, 'data'),
    exited.then(() => Promise.reject(new Error(`${argv.join(' ')} has ended`))),
  ])
  return { pid: child.pid as number, child, end }
}

/** A pidfd of a process. pidfd_open(2) */
export function openPidfd(pid: number) {
  const result = plan.slot('pidfd')
  const operations = [plan.call('pidfd_open', [pid, 0], { result })]
  return namespaces.run({}, { ...namespaces.openFile('/'), name: 'pidfd', operations, result })
}

/**
 * Runs a script in a mount namespace of its own, where it may pin what it likes; gives
 * what it has said.
 */
export async function inMounts(
  t: Test,
  propagation: 'private' | 'shared',
  body: string,
  more: readonly string[] = [],
) {
  const folder = scratch(t)
  const script = `
    import { execFileSync, spawn } from 'node:child_process'
    import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
    import { once } from 'node:events'
    import { namespaces } from 'cofferdam'
    const { pin, unpin } = namespaces
    const folder = ${JSON.stringify(folder)}
    const at = folder + '/pinned'
    const say = value => console.log(JSON.stringify(value) ?? 'null')
    const told = ({ code, path, option, hint, step }) => ({ code, path, option, hint, step })
    const output = (...argv) => execFileSync(argv[0], argv.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
    const hold = async (...argv) => {
      const child = spawn('unshare', [...argv, 'sh', '-c', 'echo; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(child.stdout, 'data')
      return { pid: child.pid, end: async () => { child.kill('SIGKILL'); await once(child, 'exit') } }
    }
    ${body}`
  const args = [
    ...more,
    '--mount',
    '--propagation',
    propagation,
    process.execPath,
    '--input-type=module',
  ]
  const { stdout } = await promisify(execFile)('unshare', [...args, '-e', script])
  t.same(readdirSync(folder), [], 'no file is left')
  const lines = stdout.trim().split('\n').filter(Boolean)
  return lines.map(line => JSON.parse(line))
}
