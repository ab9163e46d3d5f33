import { statfsSync } from 'node:fs'

// linux/magic.h
const CGROUP_SUPER_MAGIC = 0x27e0eb
const CGROUP2_SUPER_MAGIC = 0x63677270

/**
 * Of which version the control groups are that a path is in; undefined for another file
 * system. statfs(2), whose errors are thrown as node:fs has them.
 */
export function groupVersionAt(path: string): 1 | 2 | undefined {
  const { type } = statfsSync(path)
  if (type === CGROUP_SUPER_MAGIC) return 1
  return type === CGROUP2_SUPER_MAGIC ? 2 : undefined
}
