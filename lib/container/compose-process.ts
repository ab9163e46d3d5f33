import { conflict } from '../base/index.js'
import { keepCapabilities } from '../capabilities/index.js'
import type { Step } from '../plan/index.js'
import * as proc from '../process/index.js'
import { capabilitySteps } from './capabilities.js'
import { composeAttributes } from './compose-attributes.js'
import { type Configuration, isolates } from './configuration.js'
import { insertSteps } from './insert.js'
import { checkUser, keepsGroups, opensToHost } from './user-namespace.js'

/** What runs in the container, with what its start adds. */
export interface ProcessRequest {
  specification: proc.ProcessSpecification
  /** Which of the standard streams are pipes of ours. */
  pipes: readonly number[]
  /** How many descriptors there are besides the standard streams. */
  further?: number
  /** It dies with the program that starts it; default: true. */
  dies?: boolean
  /** It joins a container that runs. */
  joins?: boolean
  /** Its own, within those of the container. */
  capabilities?: NonNullable<Configuration['capabilities']> | undefined
}

/** The process half. */
export function composeProcess(
  configuration: Configuration,
  { specification, pipes, further = 0, dies, joins, capabilities }: ProcessRequest,
): Step[] {
  const { before, after } = capabilitySteps(configuration, specification.uid, capabilities)
  const { uid, gid, terminal } = specification
  checkUser(configuration, specification)
  const steps: Step[] = []
  if (terminal === undefined) {
    steps.push(proc.streamsStep)
    if (uid !== 0 && pipes.length > 0) steps.push(proc.streamOwnerStep(pipes, uid, gid))
  } else {
    steps.push(...proc.terminalSteps(terminal, uid))
  }
  // It ends the use of slots, and takes descriptors that a limit may forbid.
  if (further > 0) steps.push(proc.passStep(further))
  steps.push(...composeAttributes(configuration, { specification, dies, joins }))
  const groupsKept = specification.groups.length === 0 && keepsGroups(configuration)
  steps.push(...before, proc.userStep(specification, keepCapabilities(), groupsKept), after)
  if (configuration.noNewPrivileges) steps.push(proc.noNewPrivilegesStep())
  steps.push(proc.readyStep(specification, dies))
  if (specification.init) {
    if (!isolates(configuration, 'pid'))
      throw conflict('init', "needs a PID namespace: isolate('pid')")
    const signal = specification.attributes?.parentDeathSignal
    steps.push(proc.initStep(opensToHost(configuration), signal))
  }
  // A label for what is executed, of SELinux or AppArmor, would be written here, to
  // /proc/self/attr/exec: nothing but execve comes after it.
  steps.push(proc.execStep(specification))
  return insertSteps(steps, configuration, 'process')
}
