import type { CofferdamError } from '../base/index.js'
import { type EncodedPlan, type Operation, pathOf, type WaitingStep } from '../plan/index.js'
import type { Exit } from './process.js'

// What an init is launched with, and by whom.

/** What makes a process: the plans of both sides, encoded. */
export interface Launch {
  cloneFlags: number
  /** What the host does before there is an init, if anything. */
  host: EncodedPlan | null
  /** Which of the host's descriptors is the group that the process is made in; -1: none. */
  into: number
  /** What it may do in advance for the next one. */
  ahead: EncodedPlan | null
  setup: EncodedPlan
}

/** What an {@link Init} asks of whoever launches it. */
export interface Owner {
  /** What goes to a plan's placeholders. */
  texts(plan: EncodedPlan): string[]
  /** init waits at this step; it goes on when the promise resolves. */
  waiting(step: WaitingStep, pid: number, descriptor: number): Promise<unknown>
  /** init is about to make a mount target. Throws to stop it. */
  making(operation: Operation): void
  /** An optional step failed and was left out. */
  omitted(error: CofferdamError): void
  /** It has a keeper, and is the process with this pid. */
  kept?(keeper: number, pid: number): void
  /** How it ended, when this program, which may not be its parent, has no better news. */
  ending?(exit: Exit): Promise<Exit>
}

/** For an init that is nobody's container: its own waiting steps are all that it has. */
export function ownerOfSteps(id: string): Owner {
  return {
    texts: () => [],
    waiting: async (step, pid, descriptor) =>
      step.run({ id, pid, descriptor, namespace: kind => pathOf(kind, pid) }),
    making: () => undefined,
    omitted: () => undefined,
  }
}
