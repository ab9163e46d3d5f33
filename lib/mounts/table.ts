import { invalidOption, type MountInfo, mountsOption, textOption } from '../base/index.js'

/** A mount and those that are on it. */
export interface MountTree {
  mount: MountInfo
  /** In the order of their numbers. */
  children: MountTree[]
}

/**
 * The trees that mounts make up: one, as a rule; more when the process's root
 * directory is no mount point, and so the mount that it is on is not in the
 * list. Equivalent to: `findmnt`
 */
export function tree(mounts: readonly MountInfo[]): MountTree[] {
  mountsOption('mounts', mounts)
  const nodes = new Map<number, MountTree>()
  for (const mount of mounts) nodes.set(mount.id, { mount, children: [] })
  const roots: MountTree[] = []
  const placed = new Set<MountTree>()
  for (const node of [...nodes.values()].sort((a, b) => a.mount.id - b.mount.id)) {
    const parent = isRound(nodes, node, placed) ? undefined : nodes.get(node.mount.parent)
    const siblings = parent?.children ?? roots
    siblings.push(node)
  }
  return roots
}

/**
 * Whether the way up from a mount comes back to it, as in a table that was read
 * while it changed, or in one that is made up. Those `placed` are known to end.
 */
function isRound(nodes: Map<number, MountTree>, node: MountTree, placed: Set<MountTree>): boolean {
  const way = new Set<MountTree>()
  let up: MountTree | undefined = node
  for (; up !== undefined && !placed.has(up); up = nodes.get(up.mount.parent)) {
    if (way.has(up)) break
    way.add(up)
  }
  const round = up === node && way.has(node)
  if (round) placed.add(node)
  else if (up === undefined || placed.has(up)) for (const known of way) placed.add(known)
  return round
}

/**
 * The mount that a path is on: where one covers another, the one that is seen.
 * Of a mount point it is the topmost mount there, so `find(mounts, '/tmp')`
 * tells what is mounted on `/tmp` if its `mountPoint` is that. Undefined when
 * none of these mounts is where the path leads. Equivalent to:
 * `findmnt --target PATH`
 *
 * @param path Absolute, as the process sees it, and without symbolic links,
 * which only the kernel can follow; see realpath(3).
 * @throws CofferdamError `ERR_INVALID_OPTION`
 */
export function find(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  mountsOption('mounts', mounts)
  if (!textOption('path', path).startsWith('/'))
    throw invalidOption('path', `${JSON.stringify(path)} is not absolute`)
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalidOption('path', `${path} has a '..' in it`)
  const wanted = `/${parts.join('/')}`
  const ids = new Set(mounts.map(({ id }) => id))
  const on = new Map<number | undefined, MountInfo[]>()
  for (const mount of mounts) {
    if (!isBelow(wanted, mount.mountPoint)) continue
    const parent = ids.has(mount.parent) && mount.parent !== mount.id ? mount.parent : undefined
    const others = on.get(parent)
    if (others === undefined) on.set(parent, [mount])
    else others.push(mount)
  }
  // On the way down the first mount point is entered, and again what is on that.
  let found: MountInfo | undefined
  for (let left = mounts.length; left > 0; left--) {
    const next = on.get(found?.id)?.reduce((a, b) => (depth(a) <= depth(b) ? a : b))
    if (next === undefined) break
    found = next
  }
  return found
}

const depth = ({ mountPoint }: MountInfo) => (mountPoint === '/' ? 0 : mountPoint.length)

function isBelow(path: string, mountPoint: string): boolean {
  if (mountPoint === '/' || path === mountPoint) return true
  return path.startsWith(mountPoint) && path[mountPoint.length] === '/'
}
