import { readFile } from 'node:fs/promises'
import { type Membership, parseMembership } from '../base/index.js'

export { type Membership, parseMembership }

/**
 * The groups that a process is in, one for each hierarchy. Reads
 * `/proc/PID/cgroup`; rejects with `ENOENT` when there is no such process.
 * Equivalent to: `cat /proc/PID/cgroup`
 */
export async function membership(pid: number | 'self' = 'self'): Promise<Membership[]> {
  return parseMembership(await readFile(`/proc/${pid}/cgroup`, 'utf8'))
}
