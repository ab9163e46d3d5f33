import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  watch,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Box,
  bind,
  Container,
  type ContainerProcess,
  cgroups,
  overlay,
  type StartOptions,
} from 'cofferdam'
import type { Test } from 'tap'

/** For tests that make containers: what tap prints when they can't run. */
export const needsRoot =
  process.getuid?.() === 0 ? {} : { skip: 'needs root: run npm test as root' }

/** For tests of containers that anybody may make, where user namespaces are allowed. */
export const needsContainers = await whyNot()

async function whyNot(): Promise<{ skip?: string }> {
  if (process.getuid?.() === 0) return {}
  try {
    await run(overHost(), ['true'])
    return {}
  } catch (error) {
    return { skip: `makes containers, which fails for this user: ${(error as Error).message}` }
  }
}

/** A container over a copy-on-write view of the host's root. */
export function overHost(id?: string): Container {
  return new Container(id).rootfs(overlay({ lower: ['/'] }))
}

/** A folder that goes with the test. */
export function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'cofferdam-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A root directory into which {@link withHostPrograms} brings programs. */
export function makeRoot(t: Test): string {
  const root = join(scratch(t), 'root')
  for (const name of ['proc', 'sys', 'dev', 'tmp', 'usr', 'etc'])
    mkdirSync(join(root, name), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name))
  return root
}

/** The host's programs, read-only. */
export const hostPrograms = bind('/usr', '/usr', { readonly: true })

/** What a program printed and how it ended. */
export interface Outcome {
  stdout: string
  stderr: string
  exitCode: number | null
  signal: string | null
}

/** Makes a container, runs a program in it, and deletes it. */
export async function run(
  builder: Container,
  argv: readonly string[],
  options: StartOptions = {},
): Promise<Outcome> {
  await using box = await builder.create()
  return await runIn(box, argv, options)
}

/** Runs a program in a container that is parked. */
export async function runIn(
  box: Box,
  argv: readonly string[],
  options: StartOptions = {},
): Promise<Outcome> {
  const main = await box.start(argv, options)
  main.stdin?.end()
  const [stdout, stderr, exit] = await Promise.all([
    main.stdout?.text() ?? '',
    main.stderr?.text() ?? '',
    main.exited,
  ])
  return { stdout, stderr, ...exit }
}

/** A shell script in a container over the host's root; gives what it printed. */
export async function shell(builder: Container, script: string, options: StartOptions = {}) {
  const { stdout, stderr, exitCode } = await run(builder, ['sh', '-c', script], options)
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`)
  return stdout.trim()
}

/** A shell on a terminal, as somebody would use it who reads what it shows. */
export interface TerminalShell {
  process: ContainerProcess
  /** Types a line; gives what was shown until `until` matches, or throws after five seconds. */
  type(line: string, until: RegExp): Promise<string>
  /** Presses keys. */
  press(keys: string, until: RegExp): Promise<string>
}

export function terminalShell(process: ContainerProcess): TerminalShell {
  let shown = ''
  process.terminal?.on('data', (bytes: Buffer) => {
    shown += bytes
  })
  const press = async (keys: string, pattern: RegExp) => {
    shown = ''
    process.terminal?.write(keys)
    // What is typed is shown too, so it takes another look for what comes of it.
    if (!(await until(() => pattern.test(shown))))
      throw new Error(`not shown: ${pattern}: ${shown}`)
    await sleep(30)
    return shown
  }
  return { process, press, type: (line, pattern) => press(`${line}\n`, pattern) }
}

function children(): number[] {
  return readdirSync('/proc/self/task').flatMap(task => {
    const list = readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim()
    return list === '' ? [] : list.split(' ').map(Number)
  })
}

/** But for the programs for devices, a few of which are kept for the next group. */
function descriptors(): string[] {
  return readdirSync('/proc/self/fd').filter(fd => !isProgram(fd))
}

function isProgram(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:bpf-prog'
  } catch {
    return false // it has been closed meanwhile
  }
}

/** What a container could leave behind, as far as this process is concerned. */
export function traces() {
  return {
    children: children(),
    descriptors: descriptors().length,
    mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
    threads: readdirSync('/proc/self/task').length,
  }
}

/**
 * Remembers what there is, and gives the file's last test: nothing may be left
 * of its containers, no process, descriptor, thread or mount. The addon's own
 * thread and descriptors are there from the first container on, so one is made
 * before counting.
 */
export async function rememberTraces(): Promise<(t: Test) => Promise<void>> {
  if (needsContainers.skip !== undefined) return async () => undefined
  await run(overHost(), ['true'])
  watch(tmpdir()).close() // Node keeps a descriptor for all that it ever watches
  cgroups.layoutNow() // which keeps the table of mounts open
  const before = traces()
  return async t => {
    let after = traces()
    // Streams close their descriptors in a later turn of the event loop.
    for (let i = 0; i < 50 && after.descriptors > before.descriptors; i++) {
      await sleep(10)
      after = traces()
    }
    t.same(after.children, before.children, 'no process is left')
    t.ok(after.descriptors <= before.descriptors, 'no descriptor is left')
    t.equal(after.mounts, before.mounts, 'no mount is left')
    t.ok(after.threads <= before.threads, 'no thread is left')
  }
}

/** Waits until `check` holds, for at most five seconds, or `tries` hundredths. */
export async function until(check: () => boolean, tries = 500): Promise<boolean> {
  for (let i = 0; i < tries; i++) {
    if (check()) return true
    await sleep(10)
  }
  return check()
}

/**
 * Runs `script` in a program of its own, which has `cofferdam` imported and
 * `state`, and gives what it printed. Rejects when it fails.
 */
export async function program(state: string, script: string): Promise<string> {
  const child = spawnProgram(state, script)
  const chunks: Buffer[] = []
  child.stdout.on('data', chunk => chunks.push(chunk))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== 0) throw new Error(`the program ended with ${code ?? signal}`)
  return Buffer.concat(chunks).toString().trim()
}

/** The same, without waiting for it. */
export function spawnProgram(state: string, script: string) {
  const preamble = `
    import { bind, Container, overlay, tmpfs } from 'cofferdam'
    import { setTimeout as sleep } from 'node:timers/promises'
    const state = { stateFolder: ${JSON.stringify(state)} }
    const over = id => new Container(id).rootfs(overlay({ lower: ['/'] }))
  `
  return spawn(process.execPath, ['--input-type=module', '-e', preamble + script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('../../..', import.meta.url), // where the package finds itself
  })
}
