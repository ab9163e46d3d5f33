import { isAscii } from 'node:buffer'
import { fromBinary, toBytes, unmangle } from './bytes.js'
import { invalidOption } from './errors.js'
import { show } from './options.js'

/** How mounts and unmounts spread from and to a mount; mount_namespaces(7). */
export interface Propagation {
  /** Peer group that it shares them with: it is shared. */
  shared?: number
  /** Peer group that it gets them from: it is a slave. */
  master?: number
  /** Nearest group on the way from the master that this process sees, if that is another. */
  propagateFrom?: number
  /** It can't be bound elsewhere. */
  unbindable: boolean
}

/**
 * A mount: a line of `/proc/PID/mountinfo`, proc_pid_mountinfo(5). Names that
 * are no UTF-8 are as {@link fromBytes} has them.
 */
export interface MountInfo {
  /** Number of the mount. Once it is gone, another one may get it. */
  id: number
  /** Of the mount that it is on; of the topmost one, a number that is not in the list. */
  parent: number
  /** The file system's device: `st_dev` of files in it. */
  major: number
  minor: number
  /**
   * The directory of its file system that is mounted; `/` unless it is a bind.
   * One that was removed since ends in `//deleted`.
   */
  root: string
  /** Where it is, seen from the root directory of the process. */
  mountPoint: string
  /** Of the mount, as the kernel prints them: `'rw,nosuid,relatime'`; see {@link parseOptions}. */
  options: string
  propagation: Propagation
  /** With the subtype, if there is one: `'fuse.sshfs'`. */
  fsType: string
  /** What was mounted: a device, or whatever the file system makes of it; `'none'` for nothing. */
  source: string
  /** Of the file system, as the kernel prints them, escapes included; see {@link parseOptions}. */
  superOptions: string
}

/** Refuses what is no list of mounts; each is taken for one. */
export function mountsOption(option: string, mounts: unknown): void {
  if (!Array.isArray(mounts)) throw invalidOption(option, `${show(mounts)} is no list of mounts`)
}

const SPACE = 0x20
const NEWLINE = 0x0a
const BACKSLASH = 0x5c
const HYPHEN = 0x2d
const COLON = 0x3a

/** Before the `-`: id, parent, device, root, mount point, options. */
const FIXED = 6
/** More fields than the kernel has are no line of it; there are at most four optional ones. */
const MOST = 32

const isPrivate: Propagation = Object.freeze({ unbindable: false })

/** Where the spaces of the present line are. */
const spaces = new Int32Array(MOST)

/**
 * Parses `/proc/PID/mountinfo`. Lines and optional fields that it does not
 * understand are skipped. Of names that are no UTF-8 only a `Buffer` has all.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what is neither text nor bytes.
 */
export function parseMountInfo(text: string | Uint8Array): MountInfo[] {
  if (typeof text !== 'string' && !(text instanceof Uint8Array))
    throw invalidOption('text', 'is neither text nor bytes')
  const bytes = typeof text === 'string' ? toBytes(text) : text
  const length = bytes.length
  // Bytes are looked at in one and cut out of the other, each where it is fast.
  const binary = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1')
  const ascii = length > 0 && isAscii(bytes)
  const mounts: MountInfo[] = []
  for (let start = 0, end = 0; start < length; start = end + 1) {
    let count = 0
    let hyphen = 0
    let plain = ascii
    // All but the last field, where only the end is of interest.
    for (end = start; end < length && (hyphen === 0 || count < hyphen + 3); end++) {
      const byte = bytes[end] as number
      if (byte > BACKSLASH) continue
      if (byte === SPACE) {
        // The first field that is nothing but a hyphen, where one may be.
        if (hyphen === 0 && count >= FIXED && bytes[end - 1] === HYPHEN)
          if (spaces[count - 1] === end - 2) hyphen = count
        if (count < MOST) spaces[count++] = end
        else break
      } else if (byte === NEWLINE) break
      else if (byte === BACKSLASH) plain = false
    }
    if (bytes[end] !== NEWLINE) end = binary.indexOf('\n', end)
    if (end < 0) end = length
    if (hyphen === 0 || count < hyphen + 3) continue
    const mount = parseLine(bytes, binary, start, end, hyphen, plain)
    if (mount !== undefined) mounts.push(mount)
  }
  return mounts
}

/** `hyphen` is the number of that field; `plain`: nothing needs decoding. */
function parseLine(
  bytes: Uint8Array,
  binary: string,
  start: number,
  end: number,
  hyphen: number,
  plain: boolean,
): MountInfo | undefined {
  let colon = begin(2)
  while (colon < finish(2) && bytes[colon] !== COLON) colon++
  const id = decimal(bytes, start, finish(0))
  const parent = decimal(bytes, begin(1), finish(1))
  const major = decimal(bytes, begin(2), colon)
  const minor = decimal(bytes, colon + 1, finish(2))
  if (id < 0 || parent < 0 || major < 0 || minor < 0) return undefined
  const mount: MountInfo = {
    id,
    parent,
    major,
    minor,
    root: cut(binary, 3),
    mountPoint: cut(binary, 4),
    options: cut(binary, 5),
    propagation: hyphen === FIXED ? isPrivate : propagationOf(bytes, hyphen),
    fsType: cut(binary, hyphen + 1),
    source: cut(binary, hyphen + 2),
    superOptions: binary.slice(begin(hyphen + 3), end),
  }
  if (!plain) decode(mount)
  return mount
}

const begin = (field: number) => (spaces[field - 1] as number) + 1
const finish = (field: number) => spaces[field] as number
const cut = (binary: string, field: number) => binary.slice(begin(field), finish(field))

/** A number; -1 for what is none, or is more than a number can be. */
function decimal(bytes: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return to > from && value <= Number.MAX_SAFE_INTEGER ? value : -1
}

/** The optional fields, those from the sixth to the hyphen. */
function propagationOf(bytes: Uint8Array, hyphen: number): Propagation {
  let shared: number | undefined
  let master: number | undefined
  let propagateFrom: number | undefined
  let unbindable = false
  for (let field = FIXED; field < hyphen; field++) {
    const from = begin(field)
    const to = finish(field)
    let colon = from
    while (colon < to && bytes[colon] !== COLON) colon++
    const group = decimal(bytes, colon + 1, to)
    if (group < 0) unbindable ||= is(bytes, from, to, 'unbindable')
    else if (is(bytes, from, colon, 'shared')) shared = group
    else if (is(bytes, from, colon, 'master')) master = group
    else if (is(bytes, from, colon, 'propagate_from')) propagateFrom = group
  }
  // Made at once: an object that grows takes twice the memory.
  if (propagateFrom === undefined) {
    if (shared !== undefined && master === undefined) return { shared, unbindable }
    if (shared === undefined && master !== undefined) return { master, unbindable }
  }
  const propagation: Propagation = { unbindable }
  if (shared !== undefined) propagation.shared = shared
  if (master !== undefined) propagation.master = master
  if (propagateFrom !== undefined) propagation.propagateFrom = propagateFrom
  return propagation
}

function is(bytes: Uint8Array, from: number, to: number, name: string): boolean {
  if (to - from !== name.length) return false
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false
  return true
}

function decode(mount: MountInfo): void {
  mount.root = fromBinary(unmangle(mount.root))
  mount.mountPoint = fromBinary(unmangle(mount.mountPoint))
  mount.fsType = fromBinary(unmangle(mount.fsType))
  mount.source = fromBinary(unmangle(mount.source))
  mount.options = fromBinary(mount.options)
  // What is escaped in them may be a comma.
  mount.superOptions = fromBinary(mount.superOptions)
}

/**
 * Options of a mount or of its file system one by one, in their order: `'ro'`
 * is `['ro', true]`, `'size=64k'` is `['size', '64k']`. `new Map()` takes them,
 * where none is given twice.
 */
export function parseOptions(options: string): [name: string, value: string | true][] {
  if (typeof options !== 'string') throw invalidOption('options', 'is no text')
  return splitOptions(options).map(option => {
    const equals = option.indexOf('=')
    if (equals < 0) return [decodeOption(option), true]
    const value = decodeOption(option.slice(equals + 1))
    const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"')
    return [decodeOption(option.slice(0, equals)), quoted ? value.slice(1, -1) : value]
  })
}

/** A security context that has commas is in quotes; security_sb_show_options() of the kernel. */
function splitOptions(options: string): string[] {
  const found: string[] = []
  let start = 0
  for (let at = 0, quotes = true; at <= options.length; at++) {
    if (quotes && options[at] === '"') {
      const end = options.indexOf('"', at + 1)
      if (end >= 0) at = end
      else quotes = false // the last one, which is none
    } else if (at === options.length || options[at] === ',') {
      if (at > start) found.push(options.slice(start, at))
      start = at + 1
    }
  }
  return found
}

function decodeOption(text: string): string {
  return text.includes('\\') ? fromBinary(unmangle(toBytes(text).toString('latin1'))) : text
}
