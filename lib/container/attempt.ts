import { CofferdamError, type Duration, parseDuration } from '../base/index.js'
import { encode, type Step } from '../plan/index.js'
import { dieWithHostStep } from '../process/index.js'
import { Init, ownerOfSteps } from './init.js'

/** Options of {@link attempt}. */
export interface AttemptOptions {
  /** After this time it is ended, and fails with `ETIMEDOUT`. Default: 2 s. */
  timeout?: Duration
}

/**
 * Carries out steps in a process of their own, which then ends: what they
 * changed of that process, as its namespaces, is gone with it. For trying what
 * this kernel and this user permit. clone3(2), execveat(2)
 *
 * ```ts
 * const { call, named, step } = plan
 * await attempt([step('try', call('unshare', [named('CLONE_NEWUSER', 0x10000000)]))])
 * ```
 *
 * @throws CofferdamError of the operation that failed, as `create()` does;
 * `ETIMEDOUT`.
 */
export async function attempt(
  steps: readonly Step[],
  { timeout = 2000 }: AttemptOptions = {},
): Promise<void> {
  const milliseconds = parseDuration('timeout', timeout)
  const init = new Init('the attempt', ownerOfSteps('attempt'))
  const timer = setTimeout(
    () => init.fail(new CofferdamError('the attempt took too long', { code: 'ETIMEDOUT' })),
    milliseconds,
  )
  try {
    const setup = encode([dieWithHostStep(), ...steps])
    await init.run({ cloneFlags: 0, host: null, ahead: null, setup })
    // Of a plan that goes on in a child, its end of file comes first.
    await init.end()
    if (init.error !== undefined) throw init.error
  } finally {
    clearTimeout(timer)
  }
}
