import {
  type Duration,
  invalidOption,
  onlyKeys,
  parseDuration,
  textOption,
  textsOption,
} from '../base/index.js'
import { changesRoot } from '../mounts/index.js'
import type { NamespaceKind, Step, WaitingStep } from '../plan/index.js'
import { DEFAULT_PATH } from '../process/index.js'
import type { Configuration } from './configuration.js'

/** When hooks run; see the builder's `hooks()`. */
export type HookPoint =
  | 'prestart'
  | 'createRuntime'
  | 'createContainer'
  | 'startContainer'
  | 'poststart'
  | 'poststop'

/** In this order; OCI runtime specification, config.md, "POSIX-platform Hooks". */
const hookPoints: readonly HookPoint[] = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
]

/** What a hook is told of the container: a program as JSON on its standard input. */
export interface HookState {
  ociVersion: string
  id: string
  /**
   * `creating` for the hooks of `create()`, `created` for `startContainer`,
   * `running` for `poststart`, `stopped` for `poststop`.
   */
  status: 'creating' | 'created' | 'running' | 'stopped'
  /** Pid of its first process as the host sees it; none once it is stopped. */
  pid?: number
  /** What `bundle()` said; otherwise the container's folder for state, which need not exist. */
  bundle: string
  annotations: Record<string, string>
}

/** What a function gets besides the state. */
export interface HookContext {
  /** Pid of init, or of what it has become; none once the container is stopped. */
  readonly pid: number | undefined
  /**
   * Path of the container's namespace, to open or to hand to setns(2).
   *
   * @throws CofferdamError `ERR_STATE` once the container is stopped.
   */
  namespace(kind: NamespaceKind): string
  /** Aborted when the container is given up meanwhile. */
  readonly signal: AbortSignal
}

/** A hook of this program's own: it runs on the host, and the container waits for it. */
export type HookFunction = (state: HookState, context: HookContext) => void | Promise<void>

/** A program as a hook, as the runtime specification has it. */
export interface HookProgram {
  /** Absolute path of the program: in the container for `startContainer`, else on the host. */
  path: string
  /** Its arguments, the first of which is its own name. Default: the path alone. */
  args?: readonly string[]
  /**
   * Its whole environment, as an object or as a list of `KEY=value`. Nothing is
   * inherited. Default: `PATH` alone.
   */
  env?: Readonly<Record<string, string>> | readonly string[]
  /** When it is killed if it has not ended, more than 0. Default: never. */
  timeout?: Duration
}

/** A program, or a function of this one's. */
export type Hook = HookProgram | HookFunction

/** What the builder's `hooks()` takes. */
export type Hooks = { [Point in HookPoint]?: Hook | readonly Hook[] }

/** A {@link HookProgram}, checked, with nothing left open. Plain data. */
export interface ProgramHook {
  path: string
  args: readonly string[]
  /** `NAME=value`; at least one. */
  env: readonly string[]
  /** Milliseconds. */
  timeout?: number
}

/** {@link Hooks}, checked. Plain data but for functions. */
export type HookLists = { [Point in HookPoint]?: readonly (ProgramHook | HookFunction)[] }

/** Adds what `hooks()` was told to what it was told before. */
export function addHooks(before: HookLists | undefined, hooks: Hooks): HookLists {
  onlyKeys('hooks', hooks, hookPoints)
  const all: HookLists = { ...before }
  for (const point of hookPoints) {
    const wanted = hooks[point]
    if (wanted === undefined) continue
    const list: readonly unknown[] = Array.isArray(wanted) ? wanted : [wanted]
    const checked = list.map((hook, i) => checkHook(`hooks.${point}[${i}]`, hook))
    all[point] = [...(before?.[point] ?? []), ...checked]
  }
  return all
}

function checkHook(option: string, hook: unknown): ProgramHook | HookFunction {
  if (typeof hook === 'function') return hook as HookFunction
  onlyKeys(option, hook, ['path', 'args', 'env', 'timeout'])
  const { path, args, env, timeout } = hook as HookProgram
  if (!textOption(`${option}.path`, path).startsWith('/'))
    throw invalidOption(`${option}.path`, `${JSON.stringify(path)} is no absolute path`)
  if (args !== undefined && (!Array.isArray(args) || args.length === 0))
    throw invalidOption(`${option}.args`, 'must be a list with at least the name of the program')
  const checked: ProgramHook = {
    path,
    args: args === undefined ? [path] : args.map(arg => argument(`${option}.args`, arg)),
    env: environment(`${option}.env`, env),
  }
  if (timeout === undefined) return checked
  const time = parseDuration(`${option}.timeout`, timeout)
  if (time === 0) throw invalidOption(`${option}.timeout`, 'must be more than 0')
  return { ...checked, timeout: time }
}

/** Unlike other texts, an argument may be empty. */
function argument(option: string, value: unknown): string {
  return value === '' ? '' : textOption(option, value)
}

function environment(option: string, env: HookProgram['env'] = {}): string[] {
  if (!Array.isArray(env) && Object.prototype.toString.call(env) !== '[object Object]')
    throw invalidOption(option, 'must be an object, { NAME: value }, or a list of NAME=value')
  const list = Array.isArray(env)
    ? textsOption(option, env)
    : Object.entries(env).map(([name, value]) => {
        if (/[=\0]/.test(name) || name === '')
          throw invalidOption(option, `${JSON.stringify(name)} is no name of a variable`)
        return `${name}=${argument(`${option}.${name}`, value)}`
      })
  const wrong = list.find(variable => variable.indexOf('=') < 1)
  if (wrong !== undefined) throw invalidOption(option, `${JSON.stringify(wrong)} is no NAME=value`)
  return list.length > 0 ? list : [`PATH=${DEFAULT_PATH}`]
}

/**
 * Whether a configuration has hooks that are functions, which no other program
 * could call: at any of `points`, or at all.
 */
export function hasFunctionHooks(
  { hooks = {} }: Pick<Configuration, 'hooks'>,
  points: readonly HookPoint[] = hookPoints,
): boolean {
  return points.some(point => hooks[point]?.some(hook => typeof hook === 'function'))
}

/** init waits at these for the hooks of `create()`; who launched it runs them. */
const waitingSteps = (['prestart', 'createRuntime', 'createContainer'] as const).map(
  (point): [HookPoint, WaitingStep] => [
    point,
    {
      side: 'waiting',
      name: `${point} hooks`,
      run() {
        throw new Error('hooks are run by the container')
      },
    },
  ],
)

/** The hooks that a waiting step is for, if it is one of these. */
export function hookPointOf(step: WaitingStep): HookPoint | undefined {
  return waitingSteps.find(([, waiting]) => waiting === step)?.[0]
}

/**
 * Adds the waiting points of hooks: when all is made, and before the host's
 * root is left for good.
 */
export function insertHooks(steps: Step[], { hooks }: Configuration): Step[] {
  if (hooks === undefined) return steps
  const wanted = waitingSteps.flatMap(([point, step]) => (hooks[point]?.length ? [step] : []))
  const pivot = steps.findIndex(changesRoot)
  steps.splice(pivot < 0 ? steps.length : pivot, 0, ...wanted)
  return steps
}
