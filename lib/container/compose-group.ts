import {
  type GroupFolders,
  homeOf,
  isFar,
  making,
  mountPointOf,
  type PlannedLimits,
} from '../cgroups/index.js'
import { Placeholder, type Slot, type Step, type WaitingStep } from '../plan/index.js'
import { enterGroups, groupEntry } from '../run/index.js'

// How a container's processes get into its control group.

/** Where the hierarchies are that a container's group is in; the path below is filled in. */
export type GroupMounts = readonly GroupMount[]

interface GroupMount {
  version: 1 | 2
  mountPoint: string
  /** This program can't make processes in it, but has them put there: {@link joinGroupStep}. */
  far?: true
}

/** As many bytes the path of a group may have. */
export const GROUP_PATH_MAX = 384

/** The placeholder of a group's path in the hierarchies of version 1. */
export const GROUP = 'group'

/** Of its path in version 2, where a process may have to go to a group below. */
export const LEAF = 'leaf'

/** The mounts of the hierarchies in which a group has processes. */
export function groupMounts(group: GroupFolders): GroupMounts {
  return homeOf(group).folders.map(folder => ({
    version: folder.version,
    mountPoint: mountPointOf(group, folder),
    ...(folder.version === 2 && isFar(group) ? { far: true as const } : {}),
  }))
}

/** The same for the same mounts. */
export function mountsKey(mounts: GroupMounts | undefined): string {
  return mounts === undefined ? '' : JSON.stringify(mounts)
}

/** What brings a process into the group of a container. */
export interface Entry {
  host: readonly Step[]
  into: Slot | undefined
  steps: readonly Step[]
  /** The folder of version 2, for a keeper to make the process in. */
  unified: Placeholder | undefined
}

/** Of a container that has none of its own. */
export const noEntry: Entry = { host: [], into: undefined, steps: [], unified: undefined }

/**
 * Where the process can't be made in its group, the user's systemd puts it there before it does
 * anything else. What is done is up to the container.
 */
export const joinGroupStep: WaitingStep = {
  side: 'waiting',
  name: 'join group',
  run: () => undefined,
}

/** @param kept The process is made by a keeper, which is not to be in the group. */
export function entryOf(mounts: GroupMounts | undefined, kept: boolean): Entry {
  if (mounts === undefined) return noEntry
  const places = mounts.map(({ version, mountPoint }) => ({
    version,
    path: new Placeholder(version === 1 ? GROUP : LEAF, GROUP_PATH_MAX, mountPoint),
  }))
  if (mounts.some(({ far }) => far)) {
    const steps = [joinGroupStep, ...enterGroups(places)]
    return { host: [], into: undefined, steps, unified: undefined }
  }
  if (!kept) return { ...groupEntry(places), unified: undefined }
  const unified = places.find(({ version }) => version === 2)?.path
  return { host: [], into: undefined, steps: enterGroups(places), unified }
}

/**
 * The same with what makes the group, for a reader: that is done beforehand, by the same
 * system calls.
 */
export function plannedEntry(group: PlannedLimits, kept: boolean): Entry {
  const { host, into, steps } = making(group, group.writes, GROUP)
  return kept
    ? { ...entryOf(groupMounts(group), true), host }
    : { host, into, steps, unified: undefined }
}
