import { conflict, ignoredSignals } from '../base/index.js'
import { boundingSet, defaults, toBits } from '../capabilities/index.js'
import { lockStep } from '../mounts/index.js'
import { hostname, joinProcess, type NamespaceKind } from '../namespaces/index.js'
import { type InitStep, type Plan, park, type Slot, type Step, step } from '../plan/index.js'
import * as proc from '../process/index.js'
import { recordStep } from '../run/index.js'
import { checkCapabilities, resolveCapabilities } from './capabilities.js'
import { composeJoining, composeMaking, parkedKeyring } from './compose-attributes.js'
import { type Entry, noEntry } from './compose-group.js'
import { keeperStep, listenStep, parkListeningStep, startSocketStep } from './compose-kept.js'
import {
  checkRootfs,
  composeMounts,
  type Inspected,
  lockedDirectories,
  rootAgain,
} from './compose-mounts.js'
import {
  beginsPid,
  clonesPid,
  composeInAdvance,
  composeNamespaces,
  joinsUser,
  namespacesApart,
} from './compose-namespaces.js'
import { composeProcess, type ProcessRequest } from './compose-process.js'
import {
  checkSysctls,
  composeDomainname,
  composeHostSysctls,
  composeSysctls,
} from './compose-sysctls.js'
import { type Configuration, isolates } from './configuration.js'
import { insertHooks } from './hooks.js'
import { insertSteps } from './insert.js'
import { opensToHost, rootAgainSteps } from './user-namespace.js'

// Steps that are the same for all containers are made once, since making them
// is most of what a new configuration costs.
const detach = proc.detachStep()
const detachForGood = proc.detachStep(false)
const sessions = { new: proc.sessionStep(), inherit: proc.sessionStep('inherit') }
const defaultBounding = boundingSet({ bounding: toBits('capabilities', defaults) })
let signals: InitStep | undefined
const setHostname = hostname()

/**
 * The plan of a configuration: which steps, in which order. This is where the
 * order of things is decided, and the reason for each place is here.
 */
export function compose(
  configuration: Configuration,
  inspected: Inspected,
  process: ProcessRequest,
  entry: Entry = noEntry,
): Plan {
  const steps = composeSetup(configuration, inspected, entry)
  return {
    clone: clonesPid(configuration) ? ['pid'] : [],
    into: entry.into,
    setup: steps,
    parked: configuration.lifetime === 'attached' ? composeParked(configuration) : [],
    process: composeProcess(configuration, process),
  }
}

/** The setup half, with what brings init into its group. */
export function composeSetup(
  configuration: Configuration,
  inspected: Inspected,
  entry: Entry = noEntry,
): Step[] {
  const steps: Step[] = []
  const { lifetime } = configuration
  // Its cgroup namespace begins where it is when it leaves the host's.
  steps.push(...entry.host)
  for (const directory of lockedDirectories(configuration)) steps.push(lockStep(directory))
  steps.push(...composeInAdvance(configuration))
  if (lifetime === 'detached') steps.push(keeperStep(beginsPid(configuration), entry.unified))
  steps.push(...entry.steps, lifetime === 'released' ? detachForGood : detach)
  if (lifetime !== 'attached') steps.push(startSocketStep)
  steps.push(...composeMaking(configuration), ...composeHostSysctls(configuration))
  steps.push(...composeNamespaces(configuration))
  if (isolates(configuration, 'uts')) steps.push(setHostname)
  steps.push(...composeDomainname(configuration))

  if (isolates(configuration, 'mount')) steps.push(...composeMounts(configuration, inspected))
  else steps.push(...rootAgain(configuration))
  if (opensToHost(configuration) && joinsUser(configuration)) steps.push(proc.openToHostStep())
  const all = insertHooks(insertSteps(steps, configuration, 'setup'), configuration)
  all.push(...composeSysctls(configuration))
  // Whoever connects finds it whole, and its maker has written down which it is.
  if (lifetime !== 'attached') all.push(...composeParked(configuration), listenStep, recordStep)
  return all
}

/**
 * What init does while it is parked: all that takes its time, and that neither
 * the setup half needs nor the process half changes. When it fails, `start()`
 * says so.
 */
function composeParked(
  configuration: Configuration,
  keyring = configuration.process?.keyring,
): InitStep[] {
  signals ??= proc.signalsStep(ignoredSignals())
  const { capabilities } = configuration
  // Needs CAP_SETPCAP, which the change of user may take away.
  const bounding =
    capabilities === undefined ? defaultBounding : boundingSet(resolveCapabilities(configuration))
  return [sessions[parkedKeyring(keyring)], bounding, signals]
}

/**
 * The setup half of a process that joins a container, of which this is a pidfd;
 * with what is to be so before it does.
 */
export function composeExec(
  configuration: Configuration,
  container: Slot,
  attributes?: proc.Attributes,
  entry: Entry = noEntry,
): Step[] {
  const apart = namespacesApart(configuration)
  return [
    ...entry.host,
    ...entry.steps,
    detach,
    ...composeJoining(attributes),
    ...(apart.length > 0 ? [joinProcess(container, apart)] : []),
    ...(apart.includes('user') ? rootAgainSteps(configuration) : []),
    ...rootAgain(configuration),
    parkStep,
    ...composeParked(configuration, attributes?.keyring),
  ]
}

/** Ends the setup half of what dies with this program. */
export const parkStep: InitStep = step('park', park())

/** Ends the setup half. One that is bound to its maker does the rest while it is parked. */
export function composePark(configuration: Configuration): InitStep[] {
  if (configuration.lifetime !== 'attached') return [parkListeningStep]
  return [parkStep, ...composeParked(configuration)]
}

/** Refuses what contradicts itself, before anything is done. */
export function checkConfiguration(configuration: Configuration): void {
  const { isolation } = configuration
  if (configuration.timeOffsets !== undefined && typeof isolation?.time === 'object')
    throw conflict('timeOffsets', 'the time namespace that is joined has offsets already')
  const own = (kind: NamespaceKind) => isolates(configuration, kind)
  checkRootfs(configuration)
  if (configuration.mounts.length > 0 && !own('mount'))
    throw conflict('mount', "needs a mount namespace: isolate('mount')")
  checkCapabilities(configuration)
  checkSysctls(configuration)
  if (configuration.hostname !== undefined && !own('uts'))
    throw conflict('hostname', "needs a UTS namespace: isolate('uts')")
  for (const option of ['maskedPaths', 'readonlyPaths'] as const) {
    if ((configuration[option]?.length ?? 0) > 0 && !own('mount'))
      throw conflict(option, "needs a mount namespace: isolate('mount')")
  }
}
