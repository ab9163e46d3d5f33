import { native } from '../base/index.js'
import { encode, type HostStep } from '../plan/index.js'

/**
 * Carries out one host step at once, on this thread; gives the descriptor that it leaves, which is
 * the caller's.
 *
 * @throws What {@link native} throws: see nativeError().
 */
export function runHost(only: HostStep): number {
  return native().run(encode([only], { hold: true }).bytes)[0] as number
}
