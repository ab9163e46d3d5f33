import {
  type Argument,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  call,
  F_DUPFD_CLOEXEC,
  flags,
  type Named,
  named,
  O_CLOEXEC,
  O_PATH,
  OPEN_HOW_SIZE,
  type Operation,
  type OperationOptions,
  openHow,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  type Slot,
  slot,
} from '../plan/index.js'

// The mount API that works on descriptors (Linux 5.2): a file system is made
// or cloned while it is nowhere attached, and then placed on an open directory
// that nobody can exchange meanwhile. fsopen(2), open_tree(2), move_mount(2)

export const MOUNT_ATTR = {
  readonly: named('MOUNT_ATTR_RDONLY', 0x1),
  nosuid: named('MOUNT_ATTR_NOSUID', 0x2),
  nodev: named('MOUNT_ATTR_NODEV', 0x4),
  noexec: named('MOUNT_ATTR_NOEXEC', 0x8),
  nodiratime: named('MOUNT_ATTR_NODIRATIME', 0x80),
  nosymfollow: named('MOUNT_ATTR_NOSYMFOLLOW', 0x200000),
  strictatime: named('MOUNT_ATTR_STRICTATIME', 0x20),
} as const

/** The same as mount(2) takes them; linux/mount.h */
export const MS = {
  readonly: named('MS_RDONLY', 1),
  nosuid: named('MS_NOSUID', 2),
  nodev: named('MS_NODEV', 4),
  noexec: named('MS_NOEXEC', 8),
  nosymfollow: named('MS_NOSYMFOLLOW', 256),
  nodiratime: named('MS_NODIRATIME', 2048),
} as const

/** Of a mount whose owners are mapped; it has no opposite. */
export const MOUNT_ATTR_IDMAP = named('MOUNT_ATTR_IDMAP', 0x100000)

const FSOPEN_CLOEXEC = named('FSOPEN_CLOEXEC', 1)
const FSMOUNT_CLOEXEC = named('FSMOUNT_CLOEXEC', 1)
const FSCONFIG_SET_FLAG = named('FSCONFIG_SET_FLAG', 0)
const FSCONFIG_SET_STRING = named('FSCONFIG_SET_STRING', 1)
const FSCONFIG_CMD_CREATE = named('FSCONFIG_CMD_CREATE', 6)
const FSCONFIG_CMD_RECONFIGURE = named('FSCONFIG_CMD_RECONFIGURE', 7)
const FSPICK_CLOEXEC = named('FSPICK_CLOEXEC', 1)
const FSPICK_EMPTY_PATH = named('FSPICK_EMPTY_PATH', 8)
const OPEN_TREE_CLONE = named('OPEN_TREE_CLONE', 1)
const OPEN_TREE_CLOEXEC = named('OPEN_TREE_CLOEXEC', O_CLOEXEC.value)
const MOVE_MOUNT_F_EMPTY_PATH = named('MOVE_MOUNT_F_EMPTY_PATH', 0x4)
const MOVE_MOUNT_T_EMPTY_PATH = named('MOVE_MOUNT_T_EMPTY_PATH', 0x40)

/** Options as a file system spells them; `true` for one without a value. */
export type FileSystemOptions = Readonly<Record<string, string | true>>

/** Makes a new, detached instance of a file system, whose source is its name. */
export function newFileSystem(
  type: string,
  context: Slot,
  result: Slot,
  options: FileSystemOptions = {},
  ...attributes: Named[]
): Operation[] {
  return newFileSystemFrom(type, type, context, result, options, ...attributes)
}

/** The same of a source: a block device, or what else the file system takes. */
export function newFileSystemFrom(
  source: string,
  type: string,
  context: Slot,
  result: Slot,
  options: FileSystemOptions,
  ...attributes: Named[]
): Operation[] {
  return [
    call('fsopen', [type, FSOPEN_CLOEXEC], { result: context }),
    call('fsconfig', [context, FSCONFIG_SET_STRING, 'source', source, 0]),
    ...configure(context, options),
    call('fsconfig', [context, FSCONFIG_CMD_CREATE, 0, 0, 0]),
    call('fsmount', [context, FSMOUNT_CLOEXEC, flags(...attributes)], { result }),
  ]
}

function configure(context: Slot, options: FileSystemOptions): Operation[] {
  return Object.entries(options).map(([key, value]) =>
    value === true
      ? call('fsconfig', [context, FSCONFIG_SET_FLAG, key, 0, 0])
      : call('fsconfig', [context, FSCONFIG_SET_STRING, key, value, 0]),
  )
}

/**
 * Changes options of the file system that is mounted in `tree`, wherever else it
 * is mounted too. fspick(2). Equivalent to: `mount -o remount,…`
 */
export function reconfigure(tree: Slot, options: FileSystemOptions): Operation[] {
  const context = slot('fs')
  const how = flags(FSPICK_CLOEXEC, FSPICK_EMPTY_PATH)
  return [
    call('fspick', [tree, '', how], { result: context }),
    ...configure(context, options),
    call('fsconfig', [context, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0]),
  ]
}

/** A detached copy of the mount at `path`, with all mounts below it if `recursive`. */
export function cloneTree(
  from: Slot | Named,
  path: string,
  result: Slot,
  recursive: boolean,
): Operation {
  const set = [OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC]
  if (recursive) set.push(AT_RECURSIVE)
  if (path === '') set.push(AT_EMPTY_PATH)
  return call('open_tree', [from, path, flags(...set)], { result })
}

/** Changes the attributes of a mount; the ones not named stay as they are. mount_setattr(2) */
export function setAttributes(
  tree: Slot,
  options: {
    set?: Named[]
    clear?: Named[]
    propagation?: Named
    /** Of MOUNT_ATTR_IDMAP: number of the descriptor of a user namespace. */
    namespace?: number
    recursive?: boolean
  },
): Operation {
  const set = flags(...(options.set ?? []))
  const clear = flags(...(options.clear ?? []))
  const { propagation } = options
  const bytes = Buffer.alloc(32) // struct mount_attr
  bytes.writeBigUInt64LE(BigInt(set.value), 0)
  bytes.writeBigUInt64LE(BigInt(clear.value), 8)
  bytes.writeBigUInt64LE(BigInt(propagation?.value ?? 0), 16)
  bytes.writeBigUInt64LE(BigInt(options.namespace ?? 0), 24)
  const text =
    propagation === undefined
      ? `{set: ${set.text}, clear: ${clear.text}}`
      : `{propagation: ${propagation.text}}`
  return call('mount_setattr', [
    tree,
    '',
    options.recursive ? flags(AT_EMPTY_PATH, AT_RECURSIVE) : AT_EMPTY_PATH,
    { bytes, text },
    bytes.length,
  ])
}

/** Attaches a detached tree to the directory or file that `place` holds open. */
export function attach(tree: Slot, place: Slot): Operation {
  return call('move_mount', [
    tree,
    '',
    place,
    '',
    flags(MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH),
  ])
}

/** Attaches a detached tree to a path of a file system that nobody else can write to. */
export function attachAt(tree: Slot, directory: Slot | Named, path: string): Operation {
  return call('move_mount', [tree, '', directory as Argument, path, MOVE_MOUNT_F_EMPTY_PATH])
}

/**
 * Attaches a tree on top of the root directory. The process's own root stays
 * the one underneath, so that paths of the host can still be opened.
 */
export function attachOverRoot(tree: Slot): Operation {
  return attachAt(tree, AT_FDCWD, '/')
}

/**
 * Opens a path below `root`, as a descriptor without access rights. Symbolic
 * links and `..` are hostile there: they can't lead outside. openat2(2)
 */
export function openInRoot(
  root: Slot,
  path: string,
  result: Slot = slot('path'),
  options: OperationOptions = {},
  ...also: Named[]
): Operation {
  const how = openHow([O_PATH, O_CLOEXEC, ...also], [RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS])
  return call('openat2', [root, path, how, OPEN_HOW_SIZE], { result, ...options })
}

/**
 * Closes what is in the slot `held`, which would be open for some time yet: a
 * descriptor of `other` takes its place.
 */
export function letGo(held: Slot, other: Slot): Operation {
  return call('fcntl', [other, F_DUPFD_CLOEXEC, 3], { result: held })
}
