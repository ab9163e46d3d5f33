import { resolve } from 'node:path'
import {
  CofferdamError,
  groupVersionAt,
  ignoredSignals,
  invalidOption,
  onlyKeys,
  privileges,
  signalOption,
  textOption,
} from '../base/index.js'
import { call, checkStep, encode, park, type Step, step } from '../plan/index.js'
import {
  type ContainerProcess,
  checkArgv,
  checkEnvironment,
  DEFAULT_PATH,
  dieWithHost,
  dieWithHostStep,
  execStep,
  type GroupPlace,
  givenSlots,
  groupEntry,
  Init,
  isLogged,
  launchOf,
  ordinaryScheduling,
  ownerOfSteps,
  type PipedProcess,
  parseStdio,
  passStep,
  type Stdio,
  searchPaths,
  signalsStep,
  streamsStep,
} from '../run/index.js'
import { type NewNamespaces, newNamespacesKeys, openPlace, type Place } from './place.js'
import type { NamespaceReferences } from './reference.js'
import { hostId } from './user.js'

/** What a process gets, and where it is to be. */
export interface SpawnOptions extends NewNamespaces {
  /** Namespaces to join, by their kinds; those that this program is in itself change nothing. */
  join?: NamespaceReferences
  /** Its whole environment. Default: this program's. */
  env?: Readonly<Record<string, string | undefined>>
  /**
   * Directory that it starts in, as it is called in its mount namespace; a relative one
   * begins where the process is then. Default: this program's, or `/` in a mount
   * namespace that it has joined.
   */
  cwd?: string
  /**
   * The control group that it is to be in from the very first: its folder, or one of
   * `cofferdam/cgroups` with a folder in each hierarchy. What it makes of a new cgroup
   * namespace begins there. Default: this program's. Equivalent to: `cgexec -g …`
   */
  cgroup?: string | { readonly folders: readonly GroupPlace[] }
  /** Where its streams go. Default: pipes. */
  stdio?: Stdio
  /** Done by the process when it is in its namespaces, before it becomes the program. */
  steps?: readonly Step[]
  /** Gives up; afterwards, ends the process: SIGKILL. */
  signal?: AbortSignal
}

const spawnKeys = [...newNamespacesKeys, 'join', 'env', 'cwd', 'cgroup', 'stdio', 'steps', 'signal']

/**
 * Runs a program in new namespaces and in some that exist, with this program's root,
 * user and privileges: what unshare(1) and nsenter(1) do. It is no container: no
 * capability is taken from it, nothing is hidden from it, and the files are those of
 * this machine. Resolves when the program runs. clone3(2), setns(2), unshare(2),
 * execve(2)
 *
 * It dies with this program, whose session, terminal and umask it has. In a PID
 * namespace of its own it is process 1: it gets only signals that it has handlers for,
 * and is to wait for orphans (pid_namespaces(7)); in other user namespaces it is root
 * (user_namespaces(7)). A new network namespace has a loopback interface that is down.
 *
 * ```ts
 * const ls = await namespaces.spawn(['ps', 'ax'], { unshare: ['pid', 'mount'], mountProc: true })
 * const ip = await namespaces.spawn(['ip', 'link'], { join: { network: { pid: 42 } } })
 * console.log(await ip.stdout.text(), await ip.exited)
 * ```
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` or `ERR_CONFLICT` before anything is done;
 * `ENOENT` or `EACCES` for a program that can't be found or executed; `EPERM` for
 * namespaces that this program may not make or enter; as {@link open} for those that
 * can't be found.
 *
 * Equivalent to: `unshare --pid --fork --kill-child ps ax`, `nsenter --net=… ip link`
 */
export async function spawn(
  argv: readonly string[],
  options?: SpawnOptions & { stdio?: 'pipe' },
): Promise<PipedProcess>
export async function spawn(
  argv: readonly string[],
  options?: SpawnOptions,
): Promise<ContainerProcess>
export async function spawn(
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<ContainerProcess> {
  onlyKeys('spawn', options, spawnKeys)
  const { join = {}, steps = [] } = options
  const signal = signalOption('signal', options.signal)
  const stdio = parseStdio(options.stdio)
  if (isLogged(stdio)) throw invalidOption('stdio', 'nobody is there to write a log')
  if (!Array.isArray(steps)) throw invalidOption('steps', 'must be a list of steps')
  const own = Array.from(steps, (one, i) => checkStep(`steps[${i}]`, one))
  const half = processHalf(argv, options, stdio.streams.length - 3)
  signal?.throwIfAborted()

  const group = groupEntry(options.cgroup === undefined ? [] : groupPlaces(options.cgroup))
  using place = openPlace('join', join, options)
  const setup = [
    ...group.host,
    ...group.steps,
    dieWithHostStep(),
    ...place.steps,
    ...own,
    step('park', park()),
  ]
  const launch = launchOf(setup, { into: group.into })
  const init = new Init(argv[0] as string, ownerOfSteps(argv[0] as string))
  const give = () => init.fail(signal?.reason as CofferdamError)
  signal?.addEventListener('abort', give)
  void init.end().finally(() => signal?.removeEventListener('abort', give))
  try {
    await init.launch(launch)
    return await init.start(half, stdio, pipeOwner(place.mappings))
  } catch (error) {
    init.kill()
    await init.end()
    throw error
  }
}

/** Where a group is, if that is what it is. statfs(2) */
function groupPlaces(group: Exclude<SpawnOptions['cgroup'], undefined>): readonly GroupPlace[] {
  if (typeof group !== 'string') {
    if (Array.isArray(group?.folders)) return group.folders
    throw invalidOption('cgroup', 'must be the folder of a group, or a group')
  }
  const path = resolve(textOption('cgroup', group))
  let version: 1 | 2 | undefined
  try {
    version = groupVersionAt(path)
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    throw new CofferdamError(`cgroup: ${path}: ${code}`, {
      code,
      errno: -errno,
      syscall: 'statfs',
      option: 'cgroup',
      path,
      cause,
    })
  }
  if (version !== undefined) return [{ version, path }]
  throw invalidOption('cgroup', `${path} is in no cgroup file system`)
}

/** What is done last, with the streams that come with it. */
function processHalf(
  argv: readonly string[],
  { env = process.env, cwd }: SpawnOptions,
  passed: number,
) {
  checkArgv(argv)
  const variables = checkEnvironment(env)
  const paths = searchPaths(argv[0] as string, variables.PATH ?? DEFAULT_PATH)
  const steps = [
    signalsStep(ignoredSignals()),
    streamsStep,
    ...(passed > 0 ? [passStep(passed)] : []),
    step(
      'ready',
      dieWithHost(),
      ...(cwd === undefined ? [] : [call('chdir', [textOption('cwd', cwd)])]),
      ordinaryScheduling(),
    ),
    execStep({
      paths,
      argv,
      env: Object.entries(variables).map(([name, value]) => `${name}=${value}`),
    }),
  ]
  return encode(steps, { given: givenSlots(passed) })
}

/** Its root can open the pipes by their paths, `/dev/stdout` say, if they are its own. */
function pipeOwner(mappings: Place['mappings']): [number, number] | undefined {
  if (mappings === undefined || !privileges().admin) return undefined
  const [uid, gid] = [hostId(mappings.uid, 0), hostId(mappings.gid, 0)]
  return uid === undefined || gid === undefined ? undefined : [uid, gid]
}
