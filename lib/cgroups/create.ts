import { type DeviceRecipe, type Devices, setFirstDevices } from './devices.js'
import { type FileWrite, writeFiles } from './files.js'
import type { GroupFolders } from './folders.js'
import {
  type CheckedLimits,
  limitControllers,
  limitWrites,
  plannedWrites,
  verifyLimits,
} from './limits/index.js'
import { type Making, makeGroup, type PlannedGroup, planGroup } from './make.js'
import { removeGroup } from './remove.js'

/** Where a group's folders will be, and what is to be written there, as far as that is known. */
export interface PlannedLimits extends PlannedGroup {
  readonly writes: readonly FileWrite[]
  /** What its files are decides over the rest. */
  readonly guesses: boolean
}

/**
 * Before anything is done.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` for what this host has not, `EACCES` and `EROFS`
 * where this program may make none.
 */
export function planLimits(
  path: string,
  making: Omit<Making, 'needed'>,
  limits: CheckedLimits = {},
  option = 'cgroup.limits',
  others: readonly string[] = [],
): PlannedLimits {
  const needed = [...limitControllers(limits), ...others]
  const { controllers } = making
  const planned = planGroup(path, {
    ...making,
    controllers: controllers && [...new Set([...controllers, ...needed])],
    needed,
  })
  const writes = plannedWrites(planned, limits, option)
  return { ...planned, writes: writes ?? [], guesses: writes === undefined }
}

/** A new group, and what has made it. */
export interface Created {
  group: GroupFolders
  planned: PlannedLimits
  /** None where there was more to it than can be done again without looking. */
  recipe: DeviceRecipe | undefined
}

/**
 * Makes a group with limits, in one go where it is known which files it will have; or nothing
 * stays of it.
 */
export async function createGroup(
  path: string,
  making: Omit<Making, 'needed'>,
  limits: CheckedLimits = {},
  devices?: Devices,
): Promise<Created> {
  const option = 'cgroup.limits'
  const planned = planLimits(path, making, limits, option, devices === undefined ? [] : ['devices'])
  const group = await makeGroup(planned, planned.writes)
  try {
    if (planned.guesses) await writeFiles(limitWrites(group, limits, option))
    await verifyLimits(group, limits, option)
    const recipe = devices === undefined ? { writes: [] } : await setFirstDevices(group, devices)
    const isLooked = limits.memory?.kernel !== undefined || limits.cpuset?.partition !== undefined
    return { group, planned, recipe: isLooked ? undefined : recipe }
  } catch (error) {
    await removeGroup(group, true)
    throw error
  }
}
