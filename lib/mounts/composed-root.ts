import { accessSync, constants, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { parseMountInfo } from '../base/index.js'
import {
  AT_FDCWD,
  call,
  flags,
  type InitStep,
  mode,
  named,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  type Operation,
  type Slot,
  slot,
  step,
} from '../plan/index.js'
import {
  attachAt,
  attachOverRoot,
  cloneTree,
  MOUNT_ATTR,
  MS,
  newFileSystem,
  setAttributes,
} from './operations.js'
import { type OverlayRoot, overlayText } from './overlay.js'

// In a user namespace the kernel takes no overlay of the root directory: what
// other mounts cover there could be seen through it (mount_namespaces(7),
// "locked"). So the root is put together of what may be had of it.

/** What is made of something in the root directory. */
export interface RootEntry {
  name: string
  /**
   * `'overlay'`: a copy-on-write view. `'bind'`: seen as it is, read-only, for
   * what has other mounts below it, and for files. `'empty'`: an empty
   * directory, for what this program's user can't read.
   */
  how: 'overlay' | 'bind' | 'empty' | 'link'
  file: boolean
  /** Permission bits. */
  mode: number
  /** Of a symbolic link: where it leads. */
  to: string
}

/** What every container has of its own. */
const standard = ['proc', 'sys', 'dev']

/** Looks at the root directory, and decides. */
export function lookAtRoot(): RootEntry[] {
  const covered = mountsBelow()
  const entries: RootEntry[] = []
  for (const found of readdirSync('/', { withFileTypes: true })) {
    const { name } = found
    const path = `/${name}`
    if (standard.includes(name)) continue
    const entry = { name, file: false, mode: 0o777, to: '' }
    if (found.isSymbolicLink()) entries.push({ ...entry, how: 'link', to: readlinkSync(path) })
    else if (found.isFile()) entries.push({ ...entry, how: 'bind', file: true })
    else if (found.isDirectory()) {
      const how = !isReadable(path) ? 'empty' : covered.has(name) ? 'bind' : 'overlay'
      entries.push({ ...entry, how, mode: statSync(path).mode & 0o7777 })
    }
  }
  return entries
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Names in the root directory that have mounts somewhere below them; proc_pid_mountinfo(5). */
function mountsBelow(): Set<string> {
  const names = new Set<string>()
  for (const { mountPoint } of parseMountInfo(readFileSync('/proc/self/mountinfo'))) {
    const [, name, below] = mountPoint.split('/')
    if (name && below !== undefined) names.add(name)
  }
  return names
}

/**
 * Composes the root of a tmpfs, an overlay for each directory that permits it,
 * and read-only binds of the rest, and opens it as `root`. mount(2), open_tree(2)
 *
 * Whether an overlay is permitted the kernel says, `EINVAL`: there are reasons
 * besides other mounts, as that it lies on two overlays already.
 */
export function composedRootStep(
  spec: OverlayRoot,
  entries: readonly RootEntry[],
  root: Slot,
  nodev: boolean,
): InitStep {
  const base = slot('base')
  const here = slot('root')
  return step(
    'rootfs',
    ...newFileSystem('tmpfs', slot('fs'), base, { size: `${spec.size}`, mode: '755' }),
    attachOverRoot(base),
    ...['root', 'upper', 'work'].map(name => call('mkdirat', [base, name, mode(0o755)])),
    // pivot_root wants a mount; by this one all is limited by one size.
    cloneTree(base, 'root', here, false),
    attachAt(here, base, 'root'),
    // Relative paths, since nothing else names what lies on the new root.
    call('fchdir', [base]),
    call('openat', [AT_FDCWD, 'root', flags(O_PATH, O_DIRECTORY, O_CLOEXEC)], { result: root }),
    ...entries.flatMap(entry => makeEntry(entry, nodev, base, root)),
  )
}

function makeEntry(entry: RootEntry, nodev: boolean, base: Slot, root: Slot): Operation[] {
  const { name, how, to } = entry
  const bits = mode(entry.mode)
  if (how === 'link') return [call('symlinkat', [to, root, name])]
  const place = entry.file
    ? call('mknodat', [root, name, named('S_IFREG|0444', 0o100444), 0])
    : call('mkdirat', [root, name, bits])
  const tree = slot('tree')
  const set = [MOUNT_ATTR.readonly, ...(nodev ? [MOUNT_ATTR.nodev] : [])]
  const bind = [
    cloneTree(AT_FDCWD, `/${name}`, tree, true),
    setAttributes(tree, { set, recursive: true }),
    attachAt(tree, root, name),
  ]
  if (how === 'empty') return [place]
  if (how === 'bind') return [place, ...bind]
  // `userxattr`: who is root of a user namespace only may write no other attributes.
  const layers = { lower: [`/${name}`], userxattr: true }
  const options = overlayText(layers, `upper/${name}`, `work/${name}`)
  return [
    place,
    call('mkdirat', [base, `upper/${name}`, bits]),
    call('mkdirat', [base, `work/${name}`, mode(0o700)]),
    call('mount', ['overlay', `root/${name}`, 'overlay', nodev ? MS.nodev : 0, options], {
      tolerate: ['EINVAL'],
      otherwise: bind.length,
    }),
    ...bind,
  ]
}
