import { constants } from 'node:os'
import { conflict } from '../base/index.js'
import type { InitStep, Step } from '../plan/index.js'
import * as proc from '../process/index.js'
import { type Configuration, isolates } from './configuration.js'

// Where in a plan the attributes of a process come about. A step exists only if
// it was asked for.

/** What there is to know of how a process is started, besides its own options. */
interface StartOf {
  specification: proc.ProcessSpecification
  /** It joins a container, and has got there by {@link composeJoining}. */
  joins?: boolean | undefined
  /** It dies with the program that starts it. */
  dies?: boolean | undefined
}

/**
 * What is done before a process joins a container, while `/proc` is the host's
 * and the processors are whose it was.
 */
export function composeJoining(attributes: proc.Attributes | undefined): InitStep[] {
  const { affinity, oomScoreAdjust } = attributes ?? {}
  const steps: InitStep[] = []
  if (affinity?.setup !== undefined)
    steps.push(proc.affinityStep('affinity of the setup', affinity.setup))
  if (oomScoreAdjust !== undefined) steps.push(proc.oomScoreStep(oomScoreAdjust))
  return steps
}

/** What {@link composeJoining} and a keyring while parked come of. */
export function joiningKey(attributes: proc.Attributes | undefined): string {
  const { affinity, oomScoreAdjust, keyring } = attributes ?? {}
  return JSON.stringify([affinity?.setup, oomScoreAdjust, keyring && parkedKeyring(keyring)])
}

/** The same for what makes a container, of what `process()` said. */
export function composeMaking({ process }: Configuration): InitStep[] {
  const { affinity } = process ?? {}
  if (affinity === undefined) return []
  const { setup } = proc.parseAffinity(affinity)
  return setup === undefined ? [] : [proc.affinityStep('affinity of the setup', setup)]
}

/** Which session keyring an init has when it is parked. */
export function parkedKeyring(keyring: proc.Keyring | undefined): 'new' | 'inherit' {
  return keyring === 'inherit' ? 'inherit' : 'new'
}

/**
 * All that comes before the change of user, since it may take privileges that
 * this takes away: CAP_SYS_NICE for real-time policies and priorities and for
 * lower nice values, CAP_SYS_RESOURCE for higher limits. The host's part, the OOM
 * score, comes first, so that nothing else is in vain; then where it runs and
 * where its memory is from. The limits are last of all, after the streams and
 * further descriptors are in place: of what follows nothing opens anything, and
 * RLIMIT_NPROC is looked at by execve(2), which fails with EAGAIN when the new
 * user has too many processes.
 */
export function composeAttributes(configuration: Configuration, start: StartOf): Step[] {
  const { specification, joins } = start
  const { attributes } = specification
  if (attributes === undefined) return []
  checkAttributes(configuration, start)
  const { affinity, keyring, memoryPolicy, nice, personality, rlimits } = attributes
  const { ioPriority, oomScoreAdjust, scheduler } = attributes
  const steps: Step[] = []
  if (!joins && oomScoreAdjust !== undefined) steps.push(proc.oomScoreFromHost(oomScoreAdjust))
  if (!joins && affinity?.setup !== undefined)
    steps.push(proc.affinityStep('affinity of the setup', affinity.setup))
  if (affinity?.workload !== undefined) steps.push(proc.affinityStep('affinity', affinity.workload))
  if (memoryPolicy !== undefined) steps.push(proc.memoryPolicyStep(memoryPolicy))
  if (personality !== undefined) steps.push(proc.personalityStep(personality))
  if (keyring !== undefined) steps.push(...composeKeyring(configuration, keyring, joins))
  if (ioPriority !== undefined) steps.push(proc.ioPriorityStep(ioPriority))
  if (nice !== undefined) steps.push(proc.niceStep(nice))
  if (scheduler !== undefined) steps.push(proc.schedulerStep(scheduler))
  if (rlimits !== undefined && rlimits.length > 0) steps.push(proc.limitsStep(rlimits))
  return steps
}

/** While it was parked it had what the whole container has, or what exec() said. */
function composeKeyring(
  { process }: Configuration,
  keyring: proc.Keyring,
  joins: boolean | undefined,
): InitStep[] {
  if (typeof keyring === 'object') return [proc.keyringStep(keyring)]
  const parked = parkedKeyring(joins ? keyring : process?.keyring)
  if (parked === keyring) return []
  if (keyring === 'new') return [proc.keyringStep('new')]
  throw conflict('keyring', "create() has left it: 'inherit' is to be said to process()")
}

function checkAttributes(
  configuration: Configuration,
  { specification, joins, dies = true }: StartOf,
): void {
  const { attributes, init } = specification
  const { scheduler, parentDeathSignal: signal } = attributes ?? {}
  if (init && scheduler?.flags.includes('reset-on-fork'))
    throw conflict('scheduler.flags', 'reset-on-fork would be for the init alone: init is true')
  if (init && scheduler?.policy === 'deadline')
    throw conflict('scheduler.policy', "a process of 'deadline' can't fork, and init is true")
  if (signal === undefined || signal === constants.signals.SIGKILL || init || !dies) return
  // The kernel ends all that is in a PID namespace with its first process.
  if (joins && isolates(configuration, 'pid')) return
  throw conflict(
    'parentDeathSignal',
    'its end with this program, or its keeper, rests on SIGKILL; with init it can have another',
  )
}
