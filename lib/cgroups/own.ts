import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readPseudoFile } from '../base/index.js'

const parts = (path: string) => path.split('/').filter(part => part !== '')

/**
 * The way from one group down to another, both as one cgroup namespace names them, where
 * `/..` is above its root; undefined if the second is not below, or that can't be told.
 */
export function below(from: string, to: string): string | undefined {
  const [start, end] = [parts(from), parts(to)]
  if (start.some((part, i) => part !== end[i])) return undefined
  const rest = end.slice(start.length)
  return rest.includes('..') ? undefined : rest.join('/')
}

/** As many groups are looked at for one's own. */
const MOST = 10_000

/**
 * The folder of this program's own group where a mount of its hierarchy shows it. From inside
 * a cgroup namespace a mount that was made outside shows a group above the namespace's
 * root, `/../..`, and the names on the way down are known to nobody; so it is looked for, by
 * who is in it. cgroup_namespaces(7)
 */
export function findOwn(
  version: 1 | 2,
  mountPoint: string,
  root: string,
  own: string,
): string | undefined {
  const known = below(root, own)
  if (known !== undefined) return join(mountPoint, known)
  const up = parts(root)
  if (up.some(part => part !== '..')) return undefined
  const down = parts(own)
  if (down.includes('..')) return undefined
  let level = [mountPoint]
  for (let i = 0; i < up.length; i++) level = level.flatMap(subfolders).slice(0, MOST)
  const file = version === 1 ? 'tasks' : 'cgroup.procs'
  const self = `${process.pid}`
  return level
    .map(folder => join(folder, ...down))
    .find(folder => readPseudoFile(join(folder, file))?.split('\n').includes(self))
}

function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => join(folder, entry.name))
  } catch {
    return []
  }
}
