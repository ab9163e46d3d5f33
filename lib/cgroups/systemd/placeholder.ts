import { constants } from 'node:os'
import { call, named, type Struct, step, type WaitingStep } from '../../plan/index.js'
import { Init, launchOf, ownerOfSteps } from '../../run/index.js'

const PR_SET_NAME = named('PR_SET_NAME', 15)

/** All signals but the one by which systemd ends a scope. */
const allButTerm: Struct = (() => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(~(1n << BigInt(constants.signals.SIGTERM - 1)) & 0xffff_ffff_ffff_ffffn)
  return { bytes, text: '~[TERM]' }
})()

/** A process that keeps a scope. */
export interface Placeholder {
  pid: number
  /** Ends it, if systemd has not. */
  end(): Promise<void>
}

/**
 * A process that does nothing, holds nothing and outlives this program: a scope without
 * processes is no scope, systemd removes it. It is init, a few dozen kilobytes, which sleeps in its
 * plan until SIGTERM; ppoll(2).
 */
export async function placeholder(): Promise<Placeholder> {
  const init = new Init('placeholder', ownerOfSteps('placeholder'))
  return await new Promise((resolve, reject) => {
    const parked: WaitingStep = {
      side: 'waiting',
      name: 'placeholder',
      run: ({ pid }) => {
        init.outlive()
        resolve({
          pid,
          end: async () => {
            init.kill()
            await init.end()
          },
        })
      },
    }
    const steps = [
      step(
        'leave the program',
        call('setsid', []),
        call('chdir', ['/']),
        call('close_range', [0, 2, 0]),
        call('prctl', [PR_SET_NAME, 'placeholder', 0, 0, 0]),
      ),
      parked,
      step('wait for ever', call('ppoll', [0, 0, 0, allButTerm, 8])),
    ]
    init.run(launchOf(steps)).then(() => reject(init.error), reject)
  })
}
