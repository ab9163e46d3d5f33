import { joinProcess, type NamespaceKind } from '../namespaces/index.js'
import { call, encode, named, type Step, slot, step } from '../plan/index.js'
import { detachStep } from '../process/index.js'
import { Init } from './init.js'

/**
 * Sends an init into namespaces of another one's, has it do something there,
 * and waits for its end.
 */
async function errand(
  what: string,
  target: Init,
  kinds: readonly NamespaceKind[],
  ...steps: Step[]
): Promise<void> {
  const container = slot('container')
  const init = new Init(what, {
    texts: () => [],
    waiting: async () => undefined,
    making: () => undefined,
    omitted: () => undefined,
  })
  const setup = encode([detachStep(), joinProcess(container, kinds), ...steps], {
    given: [container],
  })
  await init.run({ cloneFlags: 0, host: null, ahead: null, setup }, target)
}

/**
 * Sends a signal to all processes of a PID namespace but its first. kill(2)
 * with -1 reaches those that the sender sees.
 */
export function signalOthers(target: Init, signal: number): Promise<void> {
  const everybody = named('-1', 0xffffffff)
  return errand(
    'kill all',
    target,
    ['pid'],
    step('kill all', call('kill', [everybody, signal], { tolerate: ['ESRCH'] })),
  )
}
