import { accessSync, constants } from 'node:fs'
import { relative } from 'node:path'
import { invalidOption, textOption } from '../base/index.js'
import { layoutNow } from './layout.js'

/** The group that others are made below, where nothing else is said. */
export const DEFAULT_PARENT = '/cofferdam'

/** Most bytes of one name; limits.h. */
export const NAME_MAX = 255

/** Kernel files of all groups that have no prefix. */
const RESERVED = ['tasks', 'notify_on_release', 'release_agent']

/** Files of a controller begin with its name and a dot; so no group's name may. */
const PREFIXED =
  /^(cgroup|cpu|cpuacct|cpuset|memory|io|blkio|irq|pids|hugetlb|rdma|misc|dmem|devices|freezer|net_cls|net_prio|perf_event|debug)\./

/**
 * A group's path below the hierarchies' mounts: absolute as it is, a relative one below the
 * {@link defaultParent}.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`.
 */
export function groupPath(option: string, value: unknown): string {
  const path = textOption(option, value)
  if (path === '/') return path
  const parts = path.replace(/^\//, '').split('/')
  for (const part of parts) {
    const refuse = (problem: string) => invalidOption(option, `${JSON.stringify(path)} ${problem}`)
    if (part === '') throw refuse('has an empty name in it')
    if (part === '.' || part === '..') throw refuse(`has a '${part}' in it`)
    // It would make /proc/PID/cgroup unreadable, so the kernel takes none.
    if (part.includes('\n')) throw refuse('has a newline in it')
    if (Buffer.byteLength(part) > NAME_MAX)
      throw refuse(`has a name of more than ${NAME_MAX} bytes`)
  }
  const parent = path.startsWith('/') ? '' : defaultParent()
  const whole = `${parent === '/' ? '' : parent}/${parts.join('/')}`
  if (Buffer.byteLength(whole) > 2048) throw invalidOption(option, 'is longer than 2048 bytes')
  return whole
}

/** The same for a group that is to be made: its name may be none of the kernel's files. */
export function newGroupPath(option: string, value: unknown): string {
  const path = groupPath(option, value)
  if (path === '/') throw invalidOption(option, "'/' is there already")
  if (path === DEFAULT_PARENT)
    throw invalidOption(
      option,
      `'${path}' is what other groups are made below, and goes when there are none; '${path}/NAME' can be made`,
    )
  for (const part of path.split('/'))
    if (RESERVED.includes(part) || PREFIXED.test(part))
      throw invalidOption(option, `${JSON.stringify(part)} is a name of files of the kernel's`)
  return path
}

/**
 * What relative paths are below: `/cofferdam`, or, for who may not write there, this
 * program's own group, if that has been delegated to it.
 */
function defaultParent(): string {
  const { hierarchies } = layoutNow()
  if (hierarchies.some(({ mountPoint }) => mayWrite(mountPoint))) return DEFAULT_PARENT
  const own = [...hierarchies].reverse().find(({ writable }) => writable)
  if (own?.ownFolder === undefined) return DEFAULT_PARENT
  return `/${relative(own.mountPoint, own.ownFolder)}`
}

/** Whether entries can be made in a folder, as far as modes tell. access(2) */
export function mayWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
