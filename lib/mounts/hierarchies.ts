import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CofferdamError,
  type Duration,
  type MountInfo,
  onlyKeys,
  parseDuration,
  parseMembership,
  parseOptions,
  readPseudoFile,
  signalOption,
} from '../base/index.js'
import { apply } from './apply.js'
import { type CgroupHierarchy, cgroup } from './cgroup.js'
import { unmount } from './changes.js'
import { checkTarget } from './made.js'
import { list } from './mount-table.js'

/** Options of {@link removeHierarchy}. */
export interface RemoveHierarchyOptions {
  /** A process in whose mount namespace it is mounted. Default: this program. */
  namespace?: { pid: number }
  /** Default: 5 seconds. */
  timeout?: Duration
  /** Gives up. */
  signal?: AbortSignal
}

/** First and last pause between tries, in milliseconds. */
const [SHORTEST, LONGEST] = [2, 100]

/**
 * Unmounts a hierarchy of version 1 that {@link cgroup} has mounted, and sees to it that the
 * kernel forgets it. That it does at the last unmount, if no group is left in it; but a group that
 * has been removed counts for some milliseconds more, and then the hierarchy stays, mounted
 * nowhere. So it is mounted and unmounted again, with pauses from 2 to 100 ms, until it is gone:
 * the kernel tells nobody. Equivalent to: `umount TARGET`
 *
 * @throws CofferdamError `EBUSY` when there are groups in it, and nothing is done; `EINVAL` when
 * the target is no such mount; `ETIMEDOUT` when it is still there, as one that is mounted elsewhere
 * too; or of the operation that failed.
 */
export async function removeHierarchy(
  target: string,
  options: RemoveHierarchyOptions = {},
): Promise<void> {
  onlyKeys('removeHierarchy', options, ['namespace', 'timeout', 'signal'])
  const at = checkTarget('removeHierarchy', target)
  const end = performance.now() + parseDuration('removeHierarchy.timeout', options.timeout ?? '5s')
  const signal = signalOption('removeHierarchy.signal', options.signal)
  const how = {
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    ...(signal === undefined ? {} : { signal }),
  }
  const process = options.namespace?.pid ?? 'self'
  const table = await list(process)
  const mount = table.findLast(({ mountPoint, fsType }) => mountPoint === at && fsType === 'cgroup')
  if (mount === undefined) throw failure('EINVAL', at, 'no hierarchy of version 1 is mounted there')
  const groups = readdirSync(`/proc/${process}/root${at}`, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(({ name }) => name)
  if (groups.length > 0) throw failure('EBUSY', at, `there are groups in it: ${groups.join(', ')}`)
  const hierarchy = hierarchyOf(mount)
  await apply([unmount(at)], how)
  for (let pause = SHORTEST; isKnown(hierarchy); pause = Math.min(2 * pause, LONGEST)) {
    if (performance.now() > end) throw failure('ETIMEDOUT', at, 'it is mounted elsewhere too')
    await sleep(pause, undefined, how)
    if (isKnown(hierarchy))
      await apply([cgroup(at, { hierarchy }), unmount(at)], how).catch(error => {
        // It is just going, or its last group is.
        if (error.code !== 'EBUSY' || error.syscall !== 'fsconfig') throw error
      })
  }
}

function failure(code: string, path: string, hint: string): CofferdamError {
  return new CofferdamError(`${path}: the hierarchy can't be removed: ${code}`, {
    code,
    path,
    hint,
  })
}

/** Options of the mount that are controllers. */
const NO_CONTROLLERS =
  /^(rw|ro|noprefix|clone_children|cpuset_v2_mode|xattr|favordynmods|seclabel)$/

function hierarchyOf({ superOptions }: MountInfo): Exclude<CgroupHierarchy, string> {
  const all = parseOptions(superOptions)
  const name = all.find(([option]) => option === 'name')?.[1]
  const controllers = all.flatMap(([option, value]) =>
    value === true && !NO_CONTROLLERS.test(option) ? option : [],
  )
  return {
    ...(controllers.length > 0 ? { controllers } : {}),
    ...(typeof name === 'string' ? { name } : {}),
  }
}

/** Whether the kernel still has it: every process is in one of its groups. */
function isKnown({ controllers = [], name }: Exclude<CgroupHierarchy, string>): boolean {
  const wanted = name === undefined ? [...controllers] : [...controllers, `name=${name}`]
  return parseMembership(readPseudoFile('/proc/self/cgroup') ?? '').some(
    each => each.controllers.length > 0 && wanted.every(one => each.controllers.includes(one)),
  )
}
