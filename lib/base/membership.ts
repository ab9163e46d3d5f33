/** A process's group in one hierarchy: a line of `/proc/PID/cgroup`. */
export interface Membership {
  /** Number of the hierarchy; 0 for the unified one (v2). */
  hierarchy: number
  /** Controllers of a v1 hierarchy, as `['cpu', 'cpuacct']`; empty for v2. */
  controllers: string[]
  /** Path of the group below the hierarchy's root, seen from the reader's cgroup namespace. */
  path: string
}

/** Parses `/proc/PID/cgroup`. Lines that it does not understand are skipped. */
export function parseMembership(text: string): Membership[] {
  const memberships: Membership[] = []
  for (const line of text.split('\n')) {
    const match = /^(\d+):([^:]*):(\/.*)$/.exec(line)
    if (match === null) continue
    const [, hierarchy, controllers, path] = match as unknown as [string, string, string, string]
    memberships.push({
      hierarchy: Number(hierarchy),
      controllers: controllers === '' ? [] : controllers.split(','),
      path,
    })
  }
  return memberships
}
