import { invalidOption, show } from '../base/index.js'
import {
  call,
  exec,
  type InitStep,
  MAX_FDS,
  named,
  type Operation,
  type Placeholder,
  pass,
  type Slot,
  type Struct,
  slot,
  step,
} from '../plan/index.js'

// The process half of any plan: a program, with streams, as any program expects to
// be started.

/** Where programs are looked for unless `env.PATH` says otherwise; what Docker sets. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** @throws CofferdamError `ERR_INVALID_OPTION` for what is no list of arguments. */
export function checkArgv(argv: readonly string[]): void {
  const refuse = () => invalidOption('argv', 'must be a list of strings with at least the program')
  if (!Array.isArray(argv) || argv.length === 0) throw refuse()
  if (argv[0] === '') throw invalidOption('argv', 'the program is the empty string')
  for (const arg of argv) {
    if (typeof arg !== 'string') throw refuse()
    if (arg.includes('\0')) throw invalidOption('argv', `${show(arg)} has a NUL character`)
  }
}

/** Variables that are not undefined. @throws CofferdamError for what can't be passed on. */
export function checkEnvironment(
  all: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  if (Object.prototype.toString.call(all) !== '[object Object]')
    throw invalidOption('env', 'must be an object, { NAME: value }')
  const env: Record<string, string> = Object.create(null) // `__proto__` is a name, too
  for (const [name, value] of Object.entries(all)) {
    if (value === undefined) continue
    if (name === '' || /[=\0]/.test(name) || typeof value !== 'string' || value.includes('\0'))
      throw invalidOption('env', `${show(name)} and its value can't be passed on`)
    env[name] = value
  }
  return env
}

/** The places that execvp(3) would try. */
export function searchPaths(program: string, path: string): string[] {
  if (program.includes('/')) return [program]
  const folders = path.split(':').map(folder => (folder === '' ? '.' : folder))
  return folders.map(folder => `${folder}/${program}`)
}

/**
 * No signal is ignored or blocked, as any program expects. CLONE_CLEAR_SIGHAND
 * has reset the handlers; `ignored` are those that the host ignores.
 * rt_sigaction(2), rt_sigprocmask(2), signal(7)
 */
export function signalsStep(ignored: readonly number[]): InitStep {
  return step(
    'signals',
    ...ignored.map(number =>
      call('rt_sigaction', [
        number,
        zeros(32, '{SIG_DFL}'),
        0,
        8, // sizeof(sigset_t) in the kernel
      ]),
    ),
    call('rt_sigprocmask', [named('SIG_SETMASK', 2), zeros(8, '[]'), 0, 8]),
  )
}

const streams = [slot('stdin'), slot('stdout'), slot('stderr')]
const further = Array.from({ length: MAX_FDS - streams.length }, () => slot('further'))

/** The slots that a process half finds filled: the streams, and so many further descriptors. */
export function givenSlots(passed = 0): Slot[] {
  return [...streams, ...further.slice(0, passed)]
}

/** Connects standard input, output and error. dup3(2) */
export const streamsStep: InitStep = step(
  'streams',
  ...streams.map((stream, fd) => call('dup3', [stream, fd, 0])),
)

/** Descriptors besides the standard streams stay open for the program. dup3(2) */
export function passStep(count: number): InitStep {
  return step('further descriptors', pass(count))
}

/**
 * The scheduling policy that any program expects. Up to here init is a batch process,
 * as the spawner is, so that it does not preempt the JavaScript that wakes it.
 * sched_setscheduler(2)
 */
export function ordinaryScheduling(): Operation {
  return call('sched_setscheduler', [0, named('SCHED_OTHER', 0), zeros(4, '{0}')])
}

/** What {@link execStep} executes. */
export interface Program {
  /** What execve is tried on, one after the other. */
  paths: readonly string[]
  argv: readonly string[]
  env: readonly (string | Placeholder)[]
}

/**
 * Runs the program. execve(2): `ENOENT` when it is nowhere in `PATH`, `EACCES`
 * when it may not be executed, `ENOEXEC` when the kernel does not know what it
 * is.
 */
export function execStep({ paths, argv, env }: Program): InitStep {
  return step('exec', exec(paths, argv, env))
}

function zeros(size: number, text: string): Struct {
  return { bytes: Buffer.alloc(size), text }
}
