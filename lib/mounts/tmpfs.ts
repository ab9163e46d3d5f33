import { conflict, flagOption, onlyKeys, parseSize, type Size, wordOption } from '../base/index.js'
import {
  type AttributeSettings,
  type Attributes,
  attributeNames,
  attributeSettings,
  fresh,
} from './attributes.js'
import { checkTarget, modeOption, numberOption, ours, ownerOption, without } from './made.js'
import type { FileSystemOptions } from './operations.js'
import { type PropagationMode, type PropagationOption, propagationOption } from './propagation.js'

const hugeModes = ['never', 'always', 'within_size', 'advise'] as const

/** Options of {@link tmpfs}. */
export interface TmpfsOptions extends Attributes {
  /** Most that it can hold. Default: 64 MiB. */
  size?: Size
  /** Permission bits of its root directory. Default: 0o1777, as `/tmp` has; of a root 0o755. */
  mode?: number
  /** Whose its root directory is, as the container has the ids. Default: 0. */
  uid?: number
  gid?: number
  /** Most files that it can hold; 0 for any number. Default: the kernel's. */
  inodes?: number
  /** Whether it uses huge pages. Default: the kernel's, mostly `'never'`. */
  huge?: (typeof hugeModes)[number]
  /** It is never swapped out. Linux 6.4. Default: false. */
  noswap?: boolean
  /** Programs on it can be executed. Default: false, as in Docker; of a root true. */
  exec?: boolean
  /** Which mounts it hears of, and tells others of. Default: none. */
  propagation?: PropagationOption
  /**
   * It begins as a copy of the directory that it covers: files, links, FIFOs, sockets
   * and devices, with owners, modes, times and extended attributes, and in place of
   * `mode`, `uid` and `gid` what that directory has. Nothing is followed; what is
   * mounted below stays an empty directory or file. Names of one file become files of
   * their own, and holes are filled. All of it has to be readable and to fit (`ENOSPC`),
   * an owner that has no id in the container becomes nobody, 65534, which has to be one
   * there (`EINVAL`), devices need a container without a user namespace (`EPERM`), and
   * there may be 64 levels (`ENAMETOOLONG`): else the container is not made. Default: false.
   * Equivalent to: the mount option `tmpcopyup` of the OCI runtimes
   */
  copyUp?: boolean
}

/** An empty file system in memory that goes with the container. */
export interface TmpfsMount extends AttributeSettings {
  type: 'tmpfs'
  target: string
  size: number
  /** Left out with `copyUp`, it is that of what it covers. */
  mode?: number
  uid?: number
  gid?: number
  inodes?: number
  huge?: (typeof hugeModes)[number]
  noswap?: boolean
  copyUp?: boolean
  propagation: readonly PropagationMode[]
}

const own = ['size', 'mode', 'uid', 'gid', 'inodes', 'huge', 'noswap', 'exec', 'propagation']
const rootOptions: readonly string[] = [...attributeNames, ...own]
const tmpfsOptions: readonly string[] = [...rootOptions, 'copyUp']

/**
 * Mounts an empty file system in memory at `target`. tmpfs(5).
 * Equivalent to: `mount -t tmpfs -o size=… tmpfs TARGET`,
 * `docker run --tmpfs TARGET:size=…`
 */
export function tmpfs(target: string, options: TmpfsOptions = {}): TmpfsMount {
  return inMemory('tmpfs', checkTarget('tmpfs', target), options, tmpfsOptions)
}

/** A root that is empty; made by {@link emptyRoot}. */
export interface EmptyRoot extends TmpfsMount {
  target: '/'
}

/**
 * A root for `rootfs()` that is empty but for `/proc`, `/sys` and `/dev`, to be filled
 * with `bind()`, `symlink()` and their like. It is in memory, and goes with the
 * container. tmpfs(5). Equivalent to: what `bwrap` begins with
 */
export function emptyRoot(options: Omit<TmpfsOptions, 'copyUp'> = {}): EmptyRoot {
  return inMemory('emptyRoot', '/', options, rootOptions) as EmptyRoot
}

function inMemory(
  name: string,
  target: string,
  options: TmpfsOptions,
  known: readonly string[],
): TmpfsMount {
  onlyKeys(name, options, known)
  const copyUp = flagOption(`${name}.copyUp`, options.copyUp, false)
  const { inodes, huge, noswap } = options
  if (options.exec !== undefined && options.noexec !== undefined)
    throw conflict(`${name}.exec`, 'says the same as noexec: give one of them')
  const root = target === '/'
  const defaults = { ...fresh, noexec: !root }
  if (options.exec !== undefined) defaults.noexec = !flagOption(`${name}.exec`, options.exec, false)
  return ours(
    without({
      type: 'tmpfs' as const,
      target,
      // The kernel takes 0 for "no limit".
      size: parseSize(`${name}.size`, options.size ?? '64MiB', 1),
      mode:
        copyUp && options.mode === undefined
          ? undefined
          : modeOption(`${name}.mode`, options.mode, root ? 0o755 : 0o1777),
      uid: ownerOption(`${name}.uid`, options.uid),
      gid: ownerOption(`${name}.gid`, options.gid),
      inodes: inodes === undefined ? inodes : numberOption(`${name}.inodes`, inodes, 2 ** 53 - 1),
      huge: huge === undefined ? huge : wordOption(`${name}.huge`, huge, hugeModes),
      noswap: noswap === undefined ? noswap : flagOption(`${name}.noswap`, noswap, false),
      copyUp: copyUp || undefined,
      ...attributeSettings(name, options, defaults),
      propagation: propagationOption(`${name}.propagation`, options.propagation),
    }),
  ) as TmpfsMount
}

/** Its options as the kernel spells them; tmpfs(5). */
export function tmpfsData(mount: TmpfsMount): FileSystemOptions {
  const data: Record<string, string | true> = {
    size: `${mount.size}`,
  }
  if (mount.mode !== undefined) data.mode = mount.mode.toString(8)
  if (mount.uid !== undefined) data.uid = `${mount.uid}`
  if (mount.gid !== undefined) data.gid = `${mount.gid}`
  if (mount.inodes !== undefined) data.nr_inodes = `${mount.inodes}`
  if (mount.huge !== undefined) data.huge = mount.huge
  if (mount.noswap) data.noswap = true
  return data
}
