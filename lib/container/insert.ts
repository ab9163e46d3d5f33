import { invalidOption } from '../base/index.js'
import { changesRoot } from '../mounts/index.js'
import type { Step } from '../plan/index.js'
import type { Configuration, StepPlacement } from './configuration.js'

/** Puts the caller's own steps in their places. */
export function insertSteps(
  steps: Step[],
  configuration: Configuration,
  half: NonNullable<StepPlacement['half']>,
): Step[] {
  for (const { step: own, placement } of configuration.steps) {
    if ((placement.half ?? 'setup') !== half) continue
    const name = placement.before ?? placement.after
    let at = steps.findIndex(step => {
      if (name !== undefined) return step.name === name
      return half === 'setup' ? changesRoot(step) : step.name === 'exec'
    })
    if (at < 0) {
      if (placement.before !== undefined || placement.after !== undefined)
        throw invalidOption('step', `there is no step ${JSON.stringify(name)} to go beside`)
      at = steps.length
    }
    steps.splice(placement.after === undefined ? at : at + 1, 0, own)
  }
  return steps
}
