import {
  flagOption,
  hostPathOption,
  invalidOption,
  onlyKeys,
  parseSize,
  type Size,
  textOption,
} from '../base/index.js'

/** What the caller wants mounted; made by {@link bind} and {@link tmpfs}. */
export type Mount = BindMount | TmpfsMount

/** Options of {@link bind}. */
export interface BindOptions {
  /** Nothing below it can be written, submounts included. Default: false. */
  readonly?: boolean
  /** Submounts of the source come along. Default: true. */
  recursive?: boolean
  /** Set-user-ID programs have no effect on it. Default: true. */
  nosuid?: boolean
  /** Device files on it can't be opened. Default: true. */
  nodev?: boolean
  /** Programs on it can't be executed. Default: false. */
  noexec?: boolean
}

/** A directory or file of the host, seen at another place. */
export interface BindMount extends Required<BindOptions> {
  type: 'bind'
  source: string
  target: string
}

/** Options of {@link tmpfs}. */
export interface TmpfsOptions {
  /** Most that it can hold. Default: 64 MiB. */
  size?: Size
  /** Permission bits of its root directory. Default: 0o1777, as `/tmp` has. */
  mode?: number
  /** Programs on it can be executed. Default: false, as in Docker. */
  exec?: boolean
  /** Nothing can be written to it. Default: false. */
  readonly?: boolean
}

/** An empty file system in memory that goes with the container. */
export interface TmpfsMount {
  type: 'tmpfs'
  target: string
  size: number
  mode: number
  exec: boolean
  readonly: boolean
}

/**
 * Makes the host's `source`, a directory or a file, appear at `target`.
 * open_tree(2), move_mount(2). Equivalent to: `mount --rbind SOURCE TARGET`,
 * `docker run --volume SOURCE:TARGET`
 *
 * A target that does not exist is made, and removed again with the container.
 */
export function bind(source: string, target: string, options: BindOptions = {}): BindMount {
  onlyKeys('bind', options, ['readonly', 'recursive', 'nosuid', 'nodev', 'noexec'])
  return ours({
    type: 'bind',
    source: hostPathOption('bind', source),
    target: checkTarget('bind', target),
    readonly: flagOption('bind.readonly', options.readonly, false),
    recursive: flagOption('bind.recursive', options.recursive, true),
    nosuid: flagOption('bind.nosuid', options.nosuid, true),
    nodev: flagOption('bind.nodev', options.nodev, true),
    noexec: flagOption('bind.noexec', options.noexec, false),
  })
}

/**
 * Mounts an empty file system in memory at `target`. tmpfs(5).
 * Equivalent to: `mount -t tmpfs -o size=… tmpfs TARGET`,
 * `docker run --tmpfs TARGET:size=…`
 */
export function tmpfs(target: string, options: TmpfsOptions = {}): TmpfsMount {
  onlyKeys('tmpfs', options, ['size', 'mode', 'exec', 'readonly'])
  const mode = options.mode ?? 0o1777
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw invalidOption('tmpfs.mode', `${String(mode)} is none; 0 to 0o7777 are`)
  return ours({
    type: 'tmpfs',
    target: checkTarget('tmpfs', target),
    // The kernel takes 0 for "no limit".
    size: parseSize('tmpfs.size', options.size ?? '64MiB', 1),
    mode,
    exec: flagOption('tmpfs.exec', options.exec, false),
    readonly: flagOption('tmpfs.readonly', options.readonly, false),
  })
}

const made = new WeakSet<Mount>()

/** Nobody changes it any more, and it need not be checked again. */
function ours<T extends Mount>(mount: T): T {
  Object.freeze(mount)
  made.add(mount)
  return mount
}

/** A {@link Mount} of unknown make, checked, as one of ours. */
export function checkMount(mount: Mount): Mount {
  if (made.has(mount)) return mount
  if (mount?.type === 'bind') {
    const { type: _, source, target, ...options } = mount
    return bind(source, target, options)
  }
  if (mount?.type === 'tmpfs') {
    const { type: _, target, ...options } = mount
    return tmpfs(target, options)
  }
  throw invalidOption('mount', 'must be made by bind() or tmpfs()')
}

/**
 * A path inside the container: absolute, not the root itself, and without `..`,
 * which would mean one thing to the reader and another where a symbolic link is
 * on the way. Comes back without what means nothing in it (`//`, `/./`).
 */
export function checkTarget(option: string, value: unknown): string {
  const path = textOption(option, value)
  if (!path.startsWith('/'))
    throw invalidOption(option, `${JSON.stringify(path)} is no absolute path in the container`)
  if (Buffer.byteLength(path) > 4095) throw invalidOption(option, 'the path is longer than 4095')
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalidOption(option, `${path} has a '..' in it`)
  if (parts.length === 0)
    throw invalidOption(option, 'the root directory itself is for rootfs() to say')
  return `/${parts.join('/')}`
}
