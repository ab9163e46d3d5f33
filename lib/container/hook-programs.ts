import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { CofferdamError, errnoName, ignoredSignals } from '../base/index.js'
import { joinProcess } from '../namespaces/index.js'
import {
  AT_FDCWD,
  call,
  encode,
  flags,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  slot,
  step,
} from '../plan/index.js'
import * as proc from '../process/index.js'
import {
  type Exit,
  givenSlots,
  Init,
  type Launch,
  launchOf,
  ownerOfSteps,
  parseStdio,
} from '../run/index.js'
import { parkStep } from './compose.js'
import { entryOf, type GroupMounts, groupMounts, joinGroupStep } from './compose-group.js'
import { namespacesApart } from './compose-namespaces.js'
import { composeProcess } from './compose-process.js'
import type { HookOwner } from './hook-runner.js'
import type { ProgramHook } from './hooks.js'
import { prepareExec } from './prepare.js'
import { rootAgainSteps } from './user-namespace.js'

/** How much of what a program said last is kept for the error, in bytes. */
const MOST_STDERR = 4096
/** How long its last words are waited for: another process may keep the pipe open. */
const PATIENCE = 1000

/** A hook's process, wherever it runs. */
interface Running {
  stdin: Writable
  stderr: Readable
  kill(): void
  /** Settles when it has ended. */
  exited: Promise<Exit>
}

/** Gives a program its state, and waits until it has done. */
async function complete(
  running: Running,
  hook: ProgramHook,
  state: string,
  signal: AbortSignal,
): Promise<void> {
  const { stdin, stderr, exited } = running
  let late = false
  const kill = () => running.kill()
  const timer =
    hook.timeout === undefined
      ? undefined
      : setTimeout(() => {
          late = true
          kill()
        }, hook.timeout)
  signal.addEventListener('abort', kill)
  if (signal.aborted) kill()
  try {
    let said = Buffer.alloc(0)
    stderr.on('data', (bytes: Buffer) => {
      said = Buffer.concat([said, bytes]).subarray(-MOST_STDERR)
    })
    stderr.on('error', () => undefined)
    // It need not read what it is told.
    stdin.on('error', () => undefined)
    stdin.end(state)
    const { exitCode, signal: by } = await exited
    const words = said.toString().trim()
    const fail = (code: string, how: string) =>
      new CofferdamError(`${hook.path} ${how}${words === '' ? '' : `: ${words}`}`, {
        code,
        path: hook.path,
      })
    if (late) throw fail('ETIMEDOUT', `had not ended after ${hook.timeout} ms`)
    if (signal.aborted) throw fail('ABORT_ERR', 'was given up')
    if (by !== null) throw fail('ERR_HOOK', `was ended by ${by}`)
    if (exitCode !== 0) throw fail('ERR_HOOK', `ended with exit code ${exitCode}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
    stdin.destroy()
    stderr.destroy()
  }
}

/**
 * Runs a program on the host, in a session of its own, so that it can be killed
 * with all that it has started.
 */
export async function runOnHost(
  hook: ProgramHook,
  state: string,
  cwd: string,
  signal: AbortSignal,
): Promise<void> {
  const { path, args, env } = hook
  const { spawn } = await import('node:child_process')
  const child = spawn(path, args.slice(1), {
    argv0: args[0] as string,
    env: Object.fromEntries(env.map(variable => split(variable))),
    cwd,
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true,
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', cause => reject(spawnError(path, cause)))
  })
  await complete(
    {
      stdin: child.stdin,
      stderr: child.stderr,
      kill: () => killGroup(child),
      exited: ended(child),
    },
    hook,
    state,
    signal,
  )
}

function split(variable: string): [string, string] {
  const at = variable.indexOf('=')
  return [variable.slice(0, at), variable.slice(at + 1)]
}

function spawnError(path: string, cause: NodeJS.ErrnoException): CofferdamError {
  const errno = -(cause.errno ?? -constants.errno.EIO)
  const code = errnoName(errno)
  return new CofferdamError(`${path}: ${code}`, { code, errno, syscall: 'execve', path, cause })
}

/** The group goes on to exist as long as the process has not been waited for. */
function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended just now.
  }
}

function ended(child: ChildProcess): Promise<Exit> {
  return new Promise(resolve => {
    child.once('exit', (exitCode, signal) => {
      const done = () => {
        clearTimeout(timer)
        resolve({ exitCode, signal })
      }
      const timer = setTimeout(done, PATIENCE)
      child.once('close', done)
    })
  })
}

/**
 * Runs a program in the container's namespaces. For `createContainer` it is
 * the host's program, with the host's files at `/` and the container's root as
 * its working directory, and with the privileges of this one. For
 * `startContainer` it is the container's own, as `exec()` would run it as root.
 */
export async function runInside(
  point: 'createContainer' | 'startContainer',
  hook: ProgramHook,
  state: string,
  pid: number,
  owner: HookOwner,
  signal: AbortSignal,
): Promise<void> {
  const group = owner.group()
  const steps = ownerOfSteps(owner.id)
  const init = new Init(`a hook of container ${owner.id}`, {
    ...steps,
    waiting: async (step, pid, descriptor) =>
      step === joinGroupStep ? group?.inner.add(pid) : steps.waiting(step, pid, descriptor),
    texts: plan => plan.placeholders.map(name => group?.text(name) ?? ''),
  })
  const kill = () => init.kill()
  signal.addEventListener('abort', kill)
  try {
    const ofHost = point === 'createContainer'
    const { configuration, prepared } = owner
    const mounts = group && groupMounts(group.inner)
    const launch = ofHost
      ? launchOverHost(owner, pid, mounts)
      : prepareExec(configuration, prepared, undefined, mounts)
    const specification = specify(hook)
    const half = ofHost
      ? [proc.streamsStep, proc.readyStep(specification), proc.execStep(specification)]
      : composeProcess({ ...configuration, steps: [] }, { specification, pipes: [0, 2] })
    await init.launch(launch, owner.init())
    const process = await init.start(
      encode(half, { given: givenSlots() }),
      parseStdio(['pipe', 'ignore', 'pipe']),
    )
    const { stdin, stderr, exited } = process
    try {
      await complete(
        { stdin: stdin as Writable, stderr: stderr as Readable, kill, exited },
        hook,
        state,
        signal,
      )
    } finally {
      process.abandon()
    }
  } finally {
    signal.removeEventListener('abort', kill)
    init.kill()
    await init.end()
  }
}

function specify({ path, args, env }: ProgramHook): proc.ProcessSpecification {
  return {
    argv: args,
    env,
    cwd: '/',
    uid: 0,
    gid: 0,
    groups: [],
    umask: 0o022,
    terminal: undefined,
    init: false,
    paths: [path],
  }
}

/**
 * Joins a container that has not left the host's root yet. Who joins a mount
 * namespace by setns(2) finds itself in what is mounted on top of its root,
 * and so in the container's; init's own root is the one underneath.
 */
function launchOverHost(
  { configuration }: HookOwner,
  pid: number,
  mounts: GroupMounts | undefined,
): Launch {
  const group = entryOf(mounts, false)
  const container = slot('container')
  const hostRoot = slot('host-root')
  const containerRoot = slot('container-root')
  const how = flags(O_PATH, O_DIRECTORY, O_CLOEXEC)
  const kinds = namespacesApart(configuration)
  return launchOf(
    [
      ...group.host,
      ...group.steps,
      proc.detachStep(),
      // The number could be another process's by now, but then the pidfd's is
      // gone, and it can't be joined.
      step(
        'root of init',
        call('openat', [AT_FDCWD, `/proc/${pid}/root`, how], { result: hostRoot }),
      ),
      ...(kinds.length > 0 ? [joinProcess(container, kinds)] : []),
      step(
        'root',
        call('openat', [AT_FDCWD, '/', how], { result: containerRoot }),
        call('fchdir', [hostRoot]),
        call('chroot', ['.']),
        call('fchdir', [containerRoot]),
      ),
      ...(kinds.includes('user') ? rootAgainSteps(configuration) : []),
      parkStep,
      proc.sessionStep(),
      proc.signalsStep(ignoredSignals()),
    ],
    { given: [container], into: group.into },
  )
}
