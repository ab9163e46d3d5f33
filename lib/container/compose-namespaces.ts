import {
  join,
  kinds,
  type NamespaceKind,
  type NamespaceReference,
  newNetwork,
  newTime,
  opening,
  unshare,
} from '../namespaces/index.js'
import { loopbackUp } from '../netlink/index.js'
import { type HostStep, type InitStep, type Step, sibling, step } from '../plan/index.js'
import { dieWithHostStep } from '../run/index.js'
import { type Configuration, isolates } from './configuration.js'
import { hasUserNamespace, opensToHost, userSteps } from './user-namespace.js'

// How init gets into its namespaces: which it makes, which it joins, and in which order.

const [networkInAdvance, network] = newNetwork(loopbackUp())

/**
 * Whether clone3 makes the PID namespace: not when it is to belong to a new user
 * namespace, or its first process is to be a keeper's child.
 */
export function clonesPid(configuration: Configuration): boolean {
  return beginsPid(configuration) && configuration.lifetime !== 'detached'
}

/** Whether the PID namespace comes with a process that is made anyway, init or a keeper's child. */
export function beginsPid(configuration: Configuration): boolean {
  return isolates(configuration, 'pid') && !forks(configuration)
}

/**
 * Whether init goes on in another process: of PID and time namespaces that it
 * makes or joins only its children are. The first process of a PID namespace can
 * make none that takes its place (clone(2), CLONE_PARENT), so with one of these
 * the other comes about in the same way.
 */
function forks(configuration: Configuration): boolean {
  const { isolation } = configuration
  if (isolates(configuration, 'time') || typeof isolation?.pid === 'object') return true
  return isolates(configuration, 'pid') && hasUserNamespace(configuration)
}

/** What the host makes in advance. */
export function composeInAdvance(configuration: Configuration): HostStep[] {
  const makes = isolates(configuration, 'network') && !hasUserNamespace(configuration)
  return makes ? [networkInAdvance] : []
}

/** Brings init into its namespaces, its first process or another one that goes on in its place. */
export function composeNamespaces(configuration: Configuration): Step[] {
  const steps: Step[] = []
  // Joined namespaces are found by the host's paths, so before a new mount
  // namespace is entered, and the mount namespace itself last of all; and with
  // the host's privileges, so before a new user namespace. One that is joined
  // may be what it takes to join the others.
  const joined = joins(configuration)
  if (!joinsUser(configuration)) for (const one of joined) steps.push(...join(...one))
  // All others are to belong to a user namespace, so they come after it.
  if (hasUserNamespace(configuration))
    steps.push(...userSteps(configuration, joined), ...unshareAsUser(configuration))
  else steps.push(...unshareAll(configuration))
  return steps
}

const unshared = new Map<string, InitStep>()

/** New namespaces of these kinds: a step that is made once, as most containers have the same. */
function unshareKinds(all: readonly NamespaceKind[]): InitStep {
  const key = all.join()
  const made = unshared.get(key) ?? unshare(all)
  unshared.set(key, made)
  return made
}

/** The new ones that it can have without a user namespace. */
function unshareAll(configuration: Configuration): Step[] {
  const own = (kind: NamespaceKind) => isolates(configuration, kind)
  const steps: Step[] = []
  if (own('network')) steps.push(network)
  const created = (['mount', 'uts', 'ipc', 'cgroup'] as const).filter(own)
  const all = own('pid') && forks(configuration) ? [...created, 'pid' as const] : created
  if (all.length > 0) steps.push(unshareKinds(all))
  if (forks(configuration))
    steps.push(...forkSteps(configuration, configuration.lifetime !== 'released'))
  return steps
}

/** The namespaces that go with a new user namespace, the PID namespace among them. */
function unshareAsUser(configuration: Configuration): InitStep[] {
  const all = (['mount', 'uts', 'ipc', 'network', 'cgroup', 'pid'] as const).filter(kind =>
    isolates(configuration, kind),
  )
  const steps: InitStep[] = []
  if (all.length > 0) steps.push(unshareKinds(all))
  const open = opensToHost(configuration) && !joinsUser(configuration)
  const dies = configuration.lifetime !== 'released'
  if (forks(configuration)) steps.push(...forkSteps(configuration, dies, open))
  // It ends with a change of user.
  else steps.push(dieWithHostStep(open, dies))
  if (all.includes('network')) steps.push(step('loopback', ...loopbackUp()))
  return steps
}

/** Another process goes on, as the first one of its namespaces. */
function forkSteps(configuration: Configuration, dies: boolean, openToHost = false): InitStep[] {
  const offsets = configuration.timeOffsets ?? {}
  const asUser = hasUserNamespace(configuration)
  return [
    ...(isolates(configuration, 'time') ? [newTime(offsets, asUser ? opening : undefined)] : []),
    step(isolates(configuration, 'pid') ? 'first process' : 'process', sibling()),
    // A child does not have it.
    dieWithHostStep(openToHost, dies),
  ]
}

/** The kinds of namespaces in which it may not be where this program is. */
export function namespacesApart(configuration: Configuration): NamespaceKind[] {
  const { isolation = {} } = configuration
  return (Object.keys(kinds) as NamespaceKind[]).filter(
    kind => isolates(configuration, kind) || isolation[kind] !== undefined,
  )
}

/** Whether it joins a user namespace. */
export function joinsUser({ isolation }: Configuration): boolean {
  return typeof isolation?.user === 'object'
}

function joins({ isolation = {} }: Configuration): [NamespaceKind, NamespaceReference][] {
  const all: [NamespaceKind, NamespaceReference][] = []
  for (const kind of ['network', 'ipc', 'uts', 'cgroup', 'time', 'pid', 'mount'] as const) {
    const how = isolation[kind]
    if (typeof how === 'object') all.push([kind, how.join])
  }
  return all
}
