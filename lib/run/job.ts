import { CofferdamError, type Duration, invalidOption, parseDuration } from '../base/index.js'
import { type EncodedPlan, encode, type Slot, type Step } from '../plan/index.js'
import { detachStep } from './bound.js'
import { Init } from './init.js'
import { type Launch, ownerOfSteps } from './owner.js'

/** How a {@link job} is done. */
export interface JobOptions {
  /** A process of this program's, of which a descriptor goes to a slot: a pidfd. */
  target?: { init: Init; pidfd: Slot }
  /** After this time it is ended, and fails with `ETIMEDOUT`. Default: none. */
  timeout?: Duration
  /** Gives up: the process is killed, and the promise rejects. */
  signal?: AbortSignal
}

/**
 * Carries out steps in a short-lived process of their own, which is bound to
 * this program, and ends with the last of them: what they changed of that
 * process, its namespaces say, is gone with it. Resolves when it has ended.
 * clone3(2), execveat(2)
 *
 * Waiting steps run here meanwhile, and can take descriptors out of it; what
 * host steps open, as {@link given} does, it finds in their slots.
 *
 * @param what Is what messages call it.
 * @throws CofferdamError of the operation that failed; `ETIMEDOUT`.
 */
export async function job(
  what: string,
  steps: readonly Step[],
  { target, timeout, signal }: JobOptions = {},
): Promise<void> {
  signal?.throwIfAborted()
  const init = new Init(what, ownerOfSteps(what))
  const abort = () => init.fail(signal?.reason as Error)
  const milliseconds = timeout === undefined ? undefined : parseDuration('timeout', timeout)
  const timer =
    milliseconds === undefined
      ? undefined
      : setTimeout(
          () => init.fail(new CofferdamError(`${what} took too long`, { code: 'ETIMEDOUT' })),
          milliseconds,
        )
  signal?.addEventListener('abort', abort)
  try {
    const first = target === undefined ? [] : [target.pidfd]
    await init.run(launchOf([detachStep(), ...steps], { given: first }), target?.init)
    // Of a plan that goes on in a child, its end of file comes first.
    await init.end()
    if (init.error !== undefined) throw init.error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** How {@link launchOf} is to see the steps. */
export interface LaunchOptions {
  /** Slots that init finds filled, before those of the host's steps. */
  given?: readonly Slot[]
  /** Namespaces that only clone3 itself can make. */
  cloneFlags?: number
  /**
   * The folder of a v2 group, which a host step opens: the process is made in it.
   * clone3(2) `CLONE_INTO_CGROUP`; where the kernel has that not (before Linux 5.7), it
   * enters first of all. Fails with `EBUSY` when the group is frozen or has controllers
   * for its children, `EOPNOTSUPP` when it is beside threaded ones, `EACCES` when it is not this
   * user's, `ENODEV` when it has been removed.
   */
  into?: Slot | undefined
}

/** Encodes the steps of a setup half for both sides. */
export function launchOf(
  steps: readonly Step[],
  { given = [], cloneFlags = 0, into }: LaunchOptions = {},
): Launch {
  const host = encodeHost(steps, false)
  const ahead = encodeHost(steps, true)
  const held = host?.held ?? []
  const position = into === undefined ? -1 : held.indexOf(into)
  if (into !== undefined && position < 0) throw invalidOption('into', 'no host step opens it')
  const inside = steps.filter(step => step.side !== 'host')
  const setup = encode(inside, {
    given: [...given, ...held.filter(slot => slot !== into), ...(ahead?.held ?? [])],
  })
  return { cloneFlags, host, into: position, ahead, setup }
}

/** The host's steps, those that may be carried out in advance or the others. */
function encodeHost(steps: readonly Step[], ahead: boolean): EncodedPlan | null {
  const own = steps.filter(step => step.side === 'host' && (step.ahead ?? false) === ahead)
  const [first] = own
  if (first === undefined) return null
  if (!ahead || own.length > 1) return encode(own, { hold: true })
  const plan = plansAhead.get(first) ?? encode(own, { hold: true })
  plansAhead.set(first, plan)
  return plan
}

/** Of one step that is made in advance, which most have in common. */
const plansAhead = new WeakMap<Step, EncodedPlan>()
