import type { FileWrite } from '../files.js'
import type { GroupFolders } from '../folders.js'
import { type CheckedLimits, kindNames, kindOf } from './limits.js'
import { writeRaw } from './raw.js'
import { LimitTarget } from './target.js'

/**
 * What to write to a group to set such limits, in an order that the kernel takes. It depends
 * on what holds now (`present`); without that the group is a new one.
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` for what this host can't express, naming the
 * option (which begins with `option`) and the controller; then nothing should be written.
 */
export function limitWrites(
  group: GroupFolders,
  limits: CheckedLimits,
  option = 'limits',
  present?: CheckedLimits,
): FileWrite[] {
  const target = new LimitTarget(group)
  collect(target, limits, option, present)
  return target.writes
}

/**
 * The same for a group that is yet to be made. Undefined when its files would have to be
 * seen first: no group that was written to before has told which there are.
 */
export function plannedWrites(
  group: GroupFolders,
  limits: CheckedLimits,
  option = 'limits',
): FileWrite[] | undefined {
  const target = new LimitTarget(group)
  try {
    collect(target, limits, option)
  } catch (error) {
    if (!target.guesses) throw error
  }
  return target.guesses ? undefined : target.writes
}

function collect(
  target: LimitTarget,
  limits: CheckedLimits,
  option: string,
  present?: CheckedLimits,
): void {
  for (const name of kindNames) {
    const value = limits[name]
    if (value !== undefined)
      kindOf(name).write(target, `${option}.${name}`, value, present?.[name] as never)
  }
  if (limits.raw !== undefined) writeRaw(target, `${option}.raw`, limits.raw)
}
