import type { Duration } from '../base/index.js'
import type { Step } from '../plan/index.js'
import { job } from '../run/index.js'

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
  await job('the attempt', steps, { timeout })
}
