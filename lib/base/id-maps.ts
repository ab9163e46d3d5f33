import { writeFileSync } from 'node:fs'
import { CofferdamError, invalidOption } from './errors.js'
import { onlyKeys, show } from './options.js'

// The maps of user namespaces, which those of mounts are made of as well.

/** How many ids there are: (uid_t)-1 is none. */
export const IDS = 0xffffffff

/** One range of ids: `size` of them, from `containerId` inside and `hostId` outside. */
export interface IdMapping {
  /** First id inside, 0 to 2^32 - 2. */
  containerId: number
  /** First id outside, as this program's user namespace has them. */
  hostId: number
  /** How many. Default: 1. */
  size?: number
}

const MOST_LINES = 340 // since Linux 4.15

/**
 * A copy of such ranges. The kernel takes none that overlap, on either side.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for ranges that can't be.
 */
export function checkIdRanges(option: string, mappings: unknown): Required<IdMapping>[] {
  if (!Array.isArray(mappings) || mappings.length === 0 || mappings.length > MOST_LINES)
    throw invalidOption(option, `must be a list of 1 to ${MOST_LINES} ranges`)
  const checked = mappings.map((mapping: IdMapping, i) => {
    const at = `${option}[${i}]`
    onlyKeys(at, mapping, ['containerId', 'hostId', 'size'])
    const { containerId, hostId, size = 1 } = mapping
    for (const [name, id] of Object.entries({ containerId, hostId }))
      if (!Number.isInteger(id) || id < 0 || id >= IDS)
        throw invalidOption(`${at}.${name}`, `${show(id)} is no id`)
    if (!Number.isInteger(size) || size < 1 || Math.max(containerId, hostId) + size > IDS)
      throw invalidOption(`${at}.size`, `${show(size)} is none, or leads beyond the last id`)
    return { containerId, hostId, size }
  })
  for (const side of ['containerId', 'hostId'] as const) {
    const sorted = [...checked].sort((a, b) => a[side] - b[side])
    sorted.forEach((range, i) => {
      const before = sorted[i - 1]
      if (before !== undefined && before[side] + before.size > range[side])
        throw invalidOption(option, `two ranges have ${side} ${range[side]}`)
    })
  }
  return checked
}

/**
 * Writes a map of a user namespace that has none yet: the kernel takes it in one call
 * or not at all.
 *
 * @param path As `/proc/PID/uid_map`.
 * @throws CofferdamError `EPERM` for ids that this program may not give.
 */
export function writeIdMap(path: string, mappings: readonly IdMapping[]): void {
  writeIdFile(path, mapText(mappings))
}

/** The lines of `/proc/PID/uid_map`; user_namespaces(7). */
function mapText(mappings: readonly IdMapping[]): string {
  return mappings
    .map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size ?? 1}\n`)
    .join('')
}

/** Writes one of the files that say which ids a user namespace has. */
export function writeIdFile(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (cause) {
    const { code = 'EIO', errno = 0 } = cause as NodeJS.ErrnoException
    throw new CofferdamError(`${path}: ${code}`, {
      code,
      errno: -errno,
      syscall: 'write',
      path,
      hint:
        code === 'EPERM'
          ? 'ids outside one’s own need CAP_SETUID and CAP_SETGID over them; AppArmor may forbid it altogether'
          : code === 'EINVAL'
            ? 'all lines together must be shorter than a page'
            : undefined,
      cause,
    })
  }
}
