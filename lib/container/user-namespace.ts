import { CofferdamError, conflict, invalidOption, privileges, userName } from '../base/index.js'
import {
  deniesGroups,
  hostId,
  type IdMappings,
  isOwn,
  joinUser,
  type NamespaceKind,
  type NamespaceReference,
  newUser,
  opening,
  ownMappings,
  readMap,
  rootStep,
  subordinateIds,
} from '../namespaces/index.js'
import type { Step } from '../plan/index.js'
import { dieWithHostStep, dumpable, type ProcessSpecification } from '../process/index.js'
import type { Ids } from '../run/index.js'
import { type Configuration, isolates } from './configuration.js'

// What a container with a user namespace of its own has that others have not.

// An ordinary user's init stays open to the host, which is to find its
// namespaces in proc, and joins them. Nobody else is in a new user namespace
// before the first process, nor has power over it but who has it over the host.
const staysOpen = { open: dumpable(true), close: dumpable(true) }

/** Whether it has another user namespace than this program: a new one, or a joined one. */
export function hasUserNamespace(configuration: Configuration): boolean {
  return isolates(configuration, 'user') || configuration.isolation?.user !== undefined
}

/**
 * Whether its mounts belong to another user namespace than the first one, so
 * that the kernel trusts who makes them less: no device files, and nothing
 * uncovered that other mounts cover. mount_namespaces(7)
 */
export function mountsAsUser(configuration: Configuration): boolean {
  return hasUserNamespace(configuration) || !privileges().initialUsers
}

/**
 * Whether this program needs init's leave to find its namespaces and to join
 * them: setns(2) with a pidfd is a matter of ptrace(2).
 */
export function opensToHost(configuration: Configuration): boolean {
  return hasUserNamespace(configuration) && !privileges().admin
}

/**
 * The configuration with the user namespace that it needs: the caller's, or one
 * that is added since without CAP_SYS_ADMIN there are no others to be had.
 */
export function withUserNamespace(described: Configuration): Configuration {
  if (typeof described.isolation?.user === 'object' && described.idMappings !== undefined)
    throw conflict('idMappings', 'the user namespace that is joined has maps already')
  const configuration = withoutOwn(described)
  const { isolation, idMappings } = configuration
  if (idMappings !== undefined || isolation?.user !== undefined) {
    return idMappings === undefined && isolates(configuration, 'user')
      ? { ...configuration, idMappings: defaultMappings() }
      : configuration
  }
  return privileges().admin ? configuration : { ...configuration, idMappings: defaultMappings() }
}

/**
 * Without those to be joined that this program is in anyway, as some of another process
 * may be. Who is not root and names its own user namespace is told of it by the kernel,
 * since there is no other to be had then.
 */
function withoutOwn(configuration: Configuration): Configuration {
  const { isolation } = configuration
  if (isolation === undefined) return configuration
  const all = Object.entries(isolation)
  const others = all.filter(([kind, how]) => {
    if (how === 'new' || (kind === 'user' && !privileges().admin)) return true
    return !isOwn(`isolate.${kind}`, kind as NamespaceKind, how.join)
  })
  if (others.length === all.length) return configuration
  return { ...configuration, isolation: Object.fromEntries(others) }
}

/** Which ids a user namespace has when the caller does not say. */
function defaultMappings(): IdMappings {
  const name = userName()
  if (!privileges().admin) return ownMappings(name)
  const id = process.geteuid?.() ?? 0
  const who = name ?? `${id}`
  const uid = subordinateIds('/etc/subuid', who, id)
  const gid = subordinateIds('/etc/subgid', who, id)
  if (uid === undefined || gid === undefined)
    throw new CofferdamError(`isolate.user: ${who} has no subordinate ids to map`, {
      code: 'ERR_INVALID_OPTION',
      option: 'isolate.user',
      hint: `say which with idMappings(), or add ${who} to /etc/subuid and /etc/subgid`,
    })
  return { uid, gid }
}

/**
 * The steps that bring init into the user namespace, as its root, and into the
 * namespaces that it joins with what it may there.
 */
export function userSteps(
  configuration: Configuration,
  joins: readonly [NamespaceKind, NamespaceReference][],
): Step[] {
  const { isolation, idMappings } = configuration
  const how = isolation?.user
  if (typeof how === 'object') return joinUser(how.join, joins, opening)
  return newUser(idMappings as IdMappings, opensToHost(configuration) ? staysOpen : opening)
}

/** The same for a process that has joined the container. */
export function rootAgainSteps({ idMappings }: Configuration) {
  return [
    rootStep(idMappings === undefined || deniesGroups(idMappings), opening.close),
    // It ends with a change of user.
    dieWithHostStep(),
  ]
}

/** Whether its processes may be unable to change their groups. */
export function keepsGroups(configuration: Configuration): boolean {
  const { idMappings } = configuration
  if (idMappings !== undefined) return deniesGroups(idMappings)
  return hasUserNamespace(configuration) || !privileges().groups
}

/** Refuses users and groups that the user namespace does not have. */
export function checkUser(
  { idMappings }: Configuration,
  { uid, gid, groups }: ProcessSpecification,
): void {
  if (idMappings === undefined) return
  for (const [id, mapped] of [
    [uid, idMappings.uid],
    ...[gid, ...groups].map(group => [group, idMappings.gid] as const),
  ] as const)
    if (hostId(mapped, id) === undefined)
      throw invalidOption('user', `there is no id ${id} in the container's user namespace`)
  if (groups.length > 0 && deniesGroups(idMappings))
    throw invalidOption('user', 'who maps only the own group can not have others changed')
}

/**
 * To whom the pipes of a process are to belong, as this program has the ids, so
 * that the container's root can open them by their paths: to that root. Nobody
 * when it is this program's user anyway, or there is no right to give them away.
 */
export function pipeOwner(configuration: Configuration, pid: number | undefined): Ids | undefined {
  if (!hasUserNamespace(configuration) || !privileges().admin || pid === undefined) return undefined
  try {
    const { idMappings = { uid: readMap(pid, 'uid'), gid: readMap(pid, 'gid') } } = configuration
    const [uid, gid] = [hostId(idMappings.uid, 0), hostId(idMappings.gid, 0)]
    return uid === undefined || gid === undefined ? undefined : [uid, gid]
  } catch {
    return undefined // it has ended, and the start will say so
  }
}
