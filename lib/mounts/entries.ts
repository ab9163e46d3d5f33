import { createHash } from 'node:crypto'
import {
  conflict,
  flagOption,
  hostPathOption,
  invalidOption,
  onlyKeys,
  textOption,
  wordOption,
} from '../base/index.js'
import { checkTarget, modeOption, numberOption, ours, ownerOption, without } from './made.js'

// What is made of a root's tree besides mounts, so that one can be built from
// nothing: directories, files from data, symbolic links, device files.

/** Whose something is that is made, as the container has the ids. */
export interface Ownership {
  /** Default: 0. */
  uid?: number
  gid?: number
}

/** Options of {@link directory}. */
export interface DirectoryOptions extends Ownership {
  /** Permission bits. Default: 0o755. */
  mode?: number
}

/** A directory that is to be there. */
export interface DirectoryEntry extends Ownership {
  type: 'directory'
  target: string
  mode: number
}

/**
 * Makes a directory, and those on the way to it. One that is there already is left
 * as it is. mkdirat(2). Equivalent to: `mkdir -p TARGET`, `bwrap --dir TARGET`
 *
 * What is made in a directory of the host is removed again with the container, if
 * it is empty then. `ENOTDIR` when it is there and none.
 */
export function directory(target: string, options: DirectoryOptions = {}): DirectoryEntry {
  onlyKeys('directory', options, ['mode', 'uid', 'gid'])
  return ours(
    without({
      type: 'directory' as const,
      target: checkTarget('directory', target),
      mode: modeOption('directory.mode', options.mode, 0o755),
      ...ownership('directory', options),
    }),
  ) as DirectoryEntry
}

/** Options of {@link symlink}. */
export type SymlinkOptions = Ownership

/** A symbolic link that is to be made. */
export interface SymlinkEntry extends Ownership {
  type: 'symlink'
  target: string
  to: string
}

/**
 * Makes a symbolic link at `target` that leads to `to`, which may be any text.
 * symlinkat(2). `EEXIST` when something is there. Equivalent to:
 * `ln -s TO TARGET`, `bwrap --symlink TO TARGET`
 */
export function symlink(target: string, to: string, options: SymlinkOptions = {}): SymlinkEntry {
  onlyKeys('symlink', options, ['uid', 'gid'])
  if (Buffer.byteLength(textOption('symlink', to)) > 4095)
    throw invalidOption('symlink', 'where it leads is longer than 4095 bytes')
  return ours(
    without({
      type: 'symlink' as const,
      target: checkTarget('symlink', target),
      to,
      ...ownership('symlink', options),
    }),
  ) as SymlinkEntry
}

/** Options of {@link file}. */
export interface FileOptions extends Ownership {
  /** Permission bits. Default: 0o644. */
  mode?: number
  /**
   * It is a file in memory, mounted over the one at `target`, which is covered if
   * there is one, and not touched. Default: false.
   */
  mount?: boolean
  /** Nothing can be written to it. Needs `mount`. Default: false. */
  readonly?: boolean
}

/** A file that is to be made from data. */
export interface FileEntry extends Ownership {
  type: 'file'
  target: string
  /** Its content: text, or any bytes as base64. */
  content: { text: string } | { base64: string }
  mode: number
  mount: boolean
  readonly: boolean
}

/** Above it a plan would be too large to be sent. */
const MOST_CONTENT = 8 << 20

/**
 * Makes a file with the given content, at most 8 MiB. openat(2) with `O_EXCL`:
 * `EEXIST` when something is there, a symbolic link too. With `mount` it covers
 * what is there. Equivalent to: `bwrap --file FD TARGET`, or `--bind-data` and
 * `--ro-bind-data`
 *
 * What is made in a directory of the host is removed again with the container, if
 * it has the same content then.
 */
export function file(
  target: string,
  content: string | Uint8Array,
  options: FileOptions = {},
): FileEntry {
  onlyKeys('file', options, ['mode', 'uid', 'gid', 'mount', 'readonly'])
  if (typeof content !== 'string' && !(content instanceof Uint8Array))
    throw invalidOption('file', 'its content must be a text or a Uint8Array')
  const mount = flagOption('file.mount', options.mount, false)
  const readonly = flagOption('file.readonly', options.readonly, false)
  if (readonly && !mount) throw conflict('file.readonly', 'needs mount: true')
  const made = ours(
    without({
      type: 'file' as const,
      target: checkTarget('file', target),
      content:
        typeof content === 'string'
          ? { text: content }
          : { base64: Buffer.from(content).toString('base64') },
      mode: modeOption('file.mode', options.mode, 0o644),
      mount,
      readonly,
      ...ownership('file', options),
    }),
  ) as FileEntry
  if (contentOf(made).length > MOST_CONTENT) throw invalidOption('file', 'has more than 8 MiB')
  return made
}

/** The bytes of a file that is to be made. */
export function contentOf({ content }: FileEntry): Buffer {
  return 'text' in content ? Buffer.from(content.text) : Buffer.from(content.base64, 'base64')
}

/** By which a file's content is known again. */
export function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Options of {@link device}. */
export interface DeviceOptions extends Ownership {
  /** `'c'`, a character device, as most are; or `'b'`, a block device. Default: `'c'`. */
  type?: 'b' | 'c'
  major: number
  minor: number
  /** Permission bits. Default: 0o666. */
  mode?: number
  /** Path of the host's file of the device. Default: the target's. */
  source?: string
}

/** A device file that is to be there. */
export interface DeviceEntry extends Ownership {
  type: 'device'
  target: string
  kind: 'b' | 'c'
  major: number
  minor: number
  mode: number
  source: string
}

/**
 * Makes a device file. mknodat(2). Where that is not permitted, as in a user
 * namespace, the host's file at `source` is bound there, if it is that device;
 * its owner and mode then are what they are. Equivalent to:
 * `mknod -m MODE TARGET c MAJOR MINOR`, `docker run --device`
 */
export function device(target: string, options: DeviceOptions): DeviceEntry {
  onlyKeys('device', options, ['type', 'major', 'minor', 'mode', 'uid', 'gid', 'source'])
  const path = checkTarget('device', target)
  return ours(
    without({
      type: 'device' as const,
      target: path,
      kind: wordOption('device.type', options.type ?? 'c', ['b', 'c']),
      // mknod(2) takes 32 bits: 12 and 20 of them.
      major: numberOption('device.major', options.major, 0xfff),
      minor: numberOption('device.minor', options.minor, 0xfffff),
      mode: modeOption('device.mode', options.mode, 0o666),
      source: hostPathOption('device.source', options.source ?? path),
      ...ownership('device', options),
    }),
  ) as DeviceEntry
}

/** The number of a device as mknod(2) and stat(2) have it; makedev(3), 32 bits. */
export function deviceNumber({ major, minor }: Pick<DeviceEntry, 'major' | 'minor'>): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}

function ownership(option: string, { uid, gid }: Ownership): Ownership {
  const [user, group] = [ownerOption(`${option}.uid`, uid), ownerOption(`${option}.gid`, gid)]
  return {
    ...(user === undefined ? {} : { uid: user }),
    ...(group === undefined ? {} : { gid: group }),
  }
}
