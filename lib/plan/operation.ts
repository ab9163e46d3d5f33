import type { SyscallName } from './wire.js'
import {
  COPY_GID,
  COPY_MODE,
  COPY_UID,
  opcodes,
  TARGET_FILE,
  TARGET_JOURNAL,
  TARGET_PARENT,
  TARGET_STRICT,
} from './wire.js'

/**
 * A descriptor that one operation makes and others use, before anybody knows
 * its number. The encoder gives it a place in the core's table for as long as
 * it is used; after its last use the place, and with it the descriptor, goes
 * to another.
 */
export class Slot {
  constructor(readonly name: string) {}
}

/** A {@link Slot}; `name` is what `explain()` prints. */
export function slot(name: string): Slot {
  return new Slot(name)
}

/** A number that `explain()` prints as the kernel's headers spell it. */
export interface Named {
  value: number | bigint
  text: string
}

/** `named('MNT_DETACH', 2)` */
export function named(text: string, value: number | bigint): Named {
  return { value, text }
}

/** Permission bits, printed in octal. */
export function mode(bits: number): Named {
  return named(`0${bits.toString(8)}`, bits)
}

/** Flags joined with `|`, each below 2^31. */
export function flags(...parts: Named[]): Named {
  if (parts.length === 0) return named('0', 0)
  let value = 0
  for (const part of parts) value |= Number(part.value)
  return named(parts.map(part => part.text).join('|'), value)
}

/** A structure in memory, with the text that `explain()` prints for it. */
export interface Struct {
  bytes: Uint8Array
  text: string
}

/**
 * Text that is filled in for each container, so that a plan is encoded only
 * once. Either an argument, or a string of a list, then with a fixed `prefix`.
 */
export class Placeholder {
  constructor(
    readonly name: string,
    /** Most bytes that the text may have. */
    readonly capacity: number,
    readonly prefix = '',
  ) {}
}

/** Where a system call wants the length of a {@link Placeholder}'s text. */
export class PlaceholderLength {
  constructor(readonly of: Placeholder) {}
}

/**
 * An argument of an operation. A string is passed as the address of its
 * NUL-terminated bytes, a {@link Slot} as its descriptor, a list of strings as
 * a NULL-terminated array. A null pointer is 0.
 */
export type Argument =
  | number
  | bigint
  | string
  | Named
  | Struct
  | Slot
  | Placeholder
  | PlaceholderLength
  | readonly (string | Placeholder)[]

/** One instruction of the core. Make it with {@link call} and its siblings. */
export interface Operation {
  code: number
  /** Name of the system call, or its number on this architecture. */
  call?: SyscallName | number
  args: readonly Argument[]
  /** Takes the descriptor that the operation returns. */
  result?: Slot
  /** Errors that don't matter, as `'ENOENT'`; at most three. */
  tolerate?: readonly string[]
  /** How many of the operations that follow are left out after such an error. */
  skip?: number
  /** How many of them are for such an error, and left out without it. */
  otherwise?: number
  /** Of a mount target: where it lies on the host, if not below the rootfs. */
  onHost?: HostPath
  /** The path that an error names, where the arguments don't say it; or its parts. */
  about?: string | readonly (string | Placeholder)[]
  /** Of a mount target: what is made there, for the host to know it again. */
  makes?: Made
}

/**
 * Something that is made in a directory of the host: `mark` tells it from what
 * somebody else puts in its place. Of a file it is the SHA-256 of its content, of
 * a symbolic link where it leads, of a device its number.
 */
export interface Made {
  kind: 'directory' | 'file' | 'link' | 'device'
  mark?: string
}

/** A path below a directory of the host, resolved without leaving it. */
export interface HostPath {
  root: string
  path: string
}

/** What to do with an operation's result. */
export interface OperationOptions {
  result?: Slot
  tolerate?: readonly string[]
  skip?: number
  otherwise?: number
  about?: NonNullable<Operation['about']>
}

/**
 * A system call, the stuff of which plans are made: what it takes is its
 * manual page's business, and what `explain()` prints is what strace(1) would.
 */
export function call(
  name: SyscallName | number,
  args: readonly Argument[],
  options: OperationOptions = {},
): Operation {
  return { code: opcodes.SYSCALL, call: name, args, ...options }
}

/** Closes what a slot holds, which is empty then; close(2). */
export function close(filled: Slot): Operation {
  return call('close', [filled])
}

/**
 * Opens the place for a mount below `root`, as openat2(2) with
 * `RESOLVE_IN_ROOT`; directories that are missing on the way are made, and at
 * last a directory or, with `file`, an empty file.
 *
 * With `journal` the host hears of it first, and removes it in the end. With
 * `strict` a symbolic link on the way is an error, `ELOOP`; one that leads to
 * the root itself always is. With `makes` the last part is left to the operations
 * that follow, and the result is the directory that it is to be in.
 */
export function target(
  root: Slot,
  path: string,
  result: Slot,
  options: {
    file?: boolean
    journal?: boolean
    strict?: boolean
    onHost?: HostPath
    makes?: Made
  } = {},
): Operation {
  const set: Named[] = []
  if (options.file) set.push(named('FILE', TARGET_FILE))
  if (options.journal) set.push(named('JOURNAL', TARGET_JOURNAL))
  if (options.strict) set.push(named('STRICT', TARGET_STRICT))
  const { onHost, makes } = options
  if (makes !== undefined) set.push(named('PARENT', TARGET_PARENT))
  return {
    code: opcodes.TARGET,
    args: [root, path, flags(...set)],
    result,
    ...(onHost === undefined ? {} : { onHost }),
    ...(makes === undefined ? {} : { makes }),
  }
}

/**
 * Hides `path`: a directory under the empty file system in `empty`, anything
 * else under the file in `nothing`. A path that does not exist is hidden
 * enough.
 */
export function mask(root: Slot, path: string, empty: Slot, nothing: Slot): Operation {
  return { code: opcodes.MASK, args: [root, path, empty, nothing] }
}

/** Stops until the host has done its part of waiting point `point`. */
export function wait(point: number, options: { send?: Slot; result?: Slot } = {}): Operation {
  const { send, result } = options
  return {
    code: opcodes.WAIT,
    args: send === undefined ? [point] : [point, send],
    ...(result === undefined ? {} : { result }),
  }
}

/**
 * What follows is done by a child of the host's, which is in the PID namespace
 * that setns(2) has joined; this process ends. clone3(2) `CLONE_PARENT`
 */
export function sibling(): Operation {
  return { code: opcodes.SIBLING, args: [] }
}

/**
 * What follows is done by a child; this process stays as its init, hands on
 * signals, waits for orphans, and ends with the child's exit code, or 128 and
 * the number of the signal that ended it.
 */
export function child(): Operation {
  return { code: opcodes.CHILD, args: [] }
}

/**
 * What follows is done by a child, in the new namespaces that `flags` name; this
 * process stays outside as its keeper, which answers at the socket `listener`
 * and writes down in `folder` how the child has ended. The child is in the v2 group
 * whose folder is `group`, this process is not.
 */
export function keep(flags: Argument, listener: Slot, folder: Slot, group?: Slot): Operation {
  const args = [flags, listener, folder]
  return { code: opcodes.KEEP, args: group === undefined ? args : [...args, group] }
}

/**
 * Ends the setup half: init waits for the process half, from its maker or from
 * whoever connects to the socket `listener`.
 */
export function park(listener?: Slot): Operation {
  return { code: opcodes.PARK, args: listener === undefined ? [] : [listener] }
}

/** Drops all capabilities but those of the bit set `keep` from the bounding set. */
export function dropBounding(keep: Named): Operation {
  return { code: opcodes.BOUNDING, args: [keep] }
}

/**
 * On the host's side, before there is an init: `operations` may leave the
 * network namespace of the thread that carries them out, by unshare(2) or
 * setns(2), and use socket(2) and ioctl(2) in another one; then it comes back.
 * Of the descriptors only the last operation's result is left.
 */
export function away(...operations: Operation[]): Operation[] {
  return [{ code: opcodes.AWAY, args: [operations.length] }, ...operations]
}

/**
 * Hands on the descriptors in the slots behind those of the standard streams, as
 * 3, 4 and so on. No slot can be used any more.
 */
export function pass(count: number): Operation {
  return { code: opcodes.PASS, args: [count] }
}

/**
 * Writes to `to` what reading `from` gives, at most `most` bytes; `EFBIG` beyond. For
 * files that say something else to somebody else, as many in proc do.
 */
export function copy(from: Slot, to: Slot, most: number): Operation {
  return { code: opcodes.COPY, args: [from, to, most] }
}

/** Writes to `to` what the last {@link call} gave, a number of 8 bytes. */
export function tell(to: Slot): Operation {
  return { code: opcodes.TELL, args: [to] }
}

const treeFlags = {
  uid: named('UID', COPY_UID),
  gid: named('GID', COPY_GID),
  mode: named('MODE', COPY_MODE),
} as const

/**
 * Copies what is in the directory `from` to the empty one `to`, which nobody else can
 * reach yet; and of `from` itself what `own` names. Nothing is followed, and nothing
 * that is mounted is looked into. `ENAMETOOLONG` beyond 64 levels.
 */
export function copyTree(
  from: Slot,
  to: Slot,
  own: readonly (keyof typeof treeFlags)[],
): Operation {
  return { code: opcodes.COPY_TREE, args: [from, to, flags(...own.map(name => treeFlags[name]))] }
}

/** Executes the first of `paths` that exists; the last operation of all. */
export function exec(
  paths: readonly string[],
  argv: readonly string[],
  env: readonly (string | Placeholder)[],
): Operation {
  return { code: opcodes.EXEC, args: [paths, argv, env] }
}
