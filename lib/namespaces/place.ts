import { conflict, flagOption, invalidOption, show } from '../base/index.js'
import {
  call,
  flags,
  type InitStep,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  type NamespaceKind,
  named,
  type Step,
  sibling,
  slot,
  step,
} from '../plan/index.js'
import { dieWithHostStep } from '../run/index.js'
import { type Joined, openJoined } from './join.js'
import { checkKinds, type NamespaceReferences } from './reference.js'
import { unshare } from './steps.js'
import { checkTimeOffsets, newTimeWith, openTimeOffsets, type TimeOffsets } from './time.js'
import { checkIdMappings, type IdMappings, newUser, opening, rootStep } from './user.js'

const propagations = {
  private: MS_PRIVATE,
  slave: MS_SLAVE,
  shared: MS_SHARED,
} as const
const MS_NOSUID_NODEV_NOEXEC = named('MS_NOSUID|MS_NODEV|MS_NOEXEC', 0xe)

/** New namespaces for a process, in addition to those that it joins. */
export interface NewNamespaces {
  /**
   * Kinds of which it gets new ones. Those that are neither joined nor new are this
   * program's. unshare(2), clone_namespaces as namespaces(7) has it.
   */
  unshare?: readonly NamespaceKind[]
  /**
   * Ids of a new user namespace; id 0 is among them unless `preserveCredentials` says that
   * nobody is to become root. Default: root inside is this program's user and group, and
   * there is nobody else. Equivalent to: `unshare --map-root-user`
   */
  idMappings?: IdMappings
  /** Clocks of a new time namespace. Default: as they are here. */
  timeOffsets?: TimeOffsets
  /**
   * Whether a process in another user namespace keeps its ids instead of becoming its
   * root. The kernel gives it all capabilities there; it loses them with execve(2) unless
   * its user is 0. Default: false. Equivalent to: `nsenter --preserve-credentials`
   */
  preserveCredentials?: boolean
  /**
   * How the mounts of a new mount namespace take part in what is mounted here and there
   * later on; mount_namespaces(7). Default: `private`. Equivalent to: `unshare
   * --mount --propagation …`
   */
  propagation?: 'private' | 'slave' | 'shared' | 'unchanged'
  /**
   * Mounts the proc of its PID namespace at `/proc`, in a new mount namespace; otherwise
   * `/proc` shows the processes that are seen here. That mount is private, whatever
   * `propagation` says. Default: false. Equivalent to: `unshare --mount-proc`
   */
  mountProc?: boolean
}

/** Names of the options of {@link NewNamespaces}. */
export const newNamespacesKeys = [
  'unshare',
  'idMappings',
  'timeOffsets',
  'preserveCredentials',
  'propagation',
  'mountProc',
] as const

/** How a process gets to where it is to be. */
export interface Place extends Disposable {
  readonly steps: readonly Step[]
  /** What ids its root has outside, where it is root of a user namespace of its own. */
  readonly mappings: IdMappings | undefined
  /** When the process has been made. */
  close(): void
}

/** Checks it all, and opens what is to be joined; nothing has been done yet. */
export function openPlace(
  option: string,
  joined: NamespaceReferences,
  options: NewNamespaces,
): Place {
  const checked = check(options)
  const into = openJoined(option, joined)
  try {
    for (const kind of checked.unshare)
      if (joined[kind] !== undefined)
        throw conflict(
          `unshare`,
          `the ${kind} namespace is to be joined, and can't be a new one too`,
        )
    const mappings = checked.unshare.includes('user') ? checked.idMappings : undefined
    const close = () => into.close()
    return { steps: stepsOf(into, checked), mappings, close, [Symbol.dispose]: close }
  } catch (error) {
    into.close()
    throw error
  }
}

type Checked = ReturnType<typeof check>

function check(options: NewNamespaces) {
  const { unshare: wanted = [], propagation = 'private' } = options
  const fresh = checkKinds('unshare', wanted)
  const needs = (option: keyof NewNamespaces, kind: NamespaceKind) => {
    if (options[option] !== undefined && options[option] !== false && !fresh.includes(kind))
      throw conflict(option, `is about a new ${kind} namespace: unshare must have '${kind}'`)
  }
  needs('idMappings', 'user')
  needs('timeOffsets', 'time')
  needs('propagation', 'mount')
  needs('mountProc', 'mount')
  if (propagation !== 'unchanged' && !Object.hasOwn(propagations, propagation))
    throw invalidOption(
      'propagation',
      `${show(propagation)} is none; ${Object.keys(propagations).join(', ')} and unchanged are`,
    )
  const preserve = flagOption('preserveCredentials', options.preserveCredentials, false)
  return {
    unshare: fresh,
    idMappings:
      options.idMappings === undefined
        ? rootOnly()
        : checkIdMappings('idMappings', options.idMappings, !preserve),
    timeOffsets: checkTimeOffsets('timeOffsets', options.timeOffsets ?? {}),
    preserve,
    propagation,
    mountProc: flagOption('mountProc', options.mountProc, false),
  }
}

/** This program's user is root, and there is nobody else. */
function rootOnly(): IdMappings {
  const only = (hostId: number) => [{ containerId: 0, hostId, size: 1 }]
  return { uid: only(process.geteuid?.() ?? 0), gid: only(process.getegid?.() ?? 0) }
}

/**
 * The order of things. What is joined is entered with the rights that there are here; a
 * new user namespace comes before the other new ones, which are to belong to it.
 */
function stepsOf(joined: Joined, checked: Checked): Step[] {
  const { unshare: fresh, preserve, timeOffsets } = checked
  const entersUser = joined.user.length > 0
  const steps: Step[] = [...joined.host]
  // While `/proc` is this program's. A process that can't be looked into has no right
  // to its own files there unless it is root's.
  const clocks = slot('timens-offsets')
  if (fresh.includes('time'))
    steps.push(step('clocks', opening.open, openTimeOffsets(clocks), opening.close))
  steps.push(...joined.before, ...joined.user)
  if (entersUser) steps.push(preserve ? dieWithHostStep() : rootStep(true, opening.close))
  steps.push(...joined.after)
  if (fresh.includes('user')) steps.push(...userSteps(checked))
  const others = fresh.filter(kind => kind !== 'user' && kind !== 'time')
  if (others.length > 0) steps.push(unshare(others))
  if (fresh.includes('time'))
    steps.push(step('time namespace', ...newTimeWith(clocks, timeOffsets)))
  const is = (kind: NamespaceKind) => fresh.includes(kind) || joined.kinds.includes(kind)
  const forks = is('pid') || fresh.includes('time')
  if (forks) steps.push(step('first process', sibling()))
  // A change of user ends it, and a child does not have it.
  if (forks || is('user')) steps.push(dieWithHostStep())
  if (fresh.includes('mount')) steps.push(...mountSteps(checked))
  return steps
}

function userSteps({ idMappings, preserve }: Checked): Step[] {
  const [make, maps, root] = newUser(idMappings, opening)
  return [make, maps, preserve ? step('user', opening.close) : root]
}

function mountSteps({ propagation, mountProc }: Checked): InitStep[] {
  const steps: InitStep[] = []
  if (propagation !== 'unchanged') {
    const how = flags(MS_REC, propagations[propagation])
    steps.push(step('propagation', call('mount', [0, '/', 0, how, 0])))
  }
  if (mountProc) {
    // Or it would be mounted wherever the mounts here are seen as well.
    const apart = call('mount', [0, '/proc', 0, flags(MS_REC, propagations.private), 0])
    const mount = call('mount', ['proc', '/proc', 'proc', MS_NOSUID_NODEV_NOEXEC, 0])
    steps.push(step('proc', ...(propagation === 'private' ? [] : [apart]), mount))
  }
  return steps
}
