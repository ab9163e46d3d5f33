import {
  type Argument,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  call,
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
  strictatime: named('MOUNT_ATTR_STRICTATIME', 0x20),
} as const

const FSOPEN_CLOEXEC = named('FSOPEN_CLOEXEC', 1)
const FSMOUNT_CLOEXEC = named('FSMOUNT_CLOEXEC', 1)
const FSCONFIG_SET_FLAG = named('FSCONFIG_SET_FLAG', 0)
const FSCONFIG_SET_STRING = named('FSCONFIG_SET_STRING', 1)
const FSCONFIG_CMD_CREATE = named('FSCONFIG_CMD_CREATE', 6)
const OPEN_TREE_CLONE = named('OPEN_TREE_CLONE', 1)
const OPEN_TREE_CLOEXEC = named('OPEN_TREE_CLOEXEC', O_CLOEXEC.value)
const MOVE_MOUNT_F_EMPTY_PATH = named('MOVE_MOUNT_F_EMPTY_PATH', 0x4)
const MOVE_MOUNT_T_EMPTY_PATH = named('MOVE_MOUNT_T_EMPTY_PATH', 0x40)

/**
 * Makes a new, detached instance of a file system. Options are given as the
 * file system spells them; `true` for one without a value.
 */
export function newFileSystem(
  type: string,
  context: Slot,
  result: Slot,
  options: Record<string, string | true> = {},
  ...attributes: Named[]
): Operation[] {
  return [
    call('fsopen', [type, FSOPEN_CLOEXEC], { result: context }),
    call('fsconfig', [context, FSCONFIG_SET_STRING, 'source', type, 0]),
    ...Object.entries(options).map(([key, value]) =>
      value === true
        ? call('fsconfig', [context, FSCONFIG_SET_FLAG, key, 0, 0])
        : call('fsconfig', [context, FSCONFIG_SET_STRING, key, value, 0]),
    ),
    call('fsconfig', [context, FSCONFIG_CMD_CREATE, 0, 0, 0]),
    call('fsmount', [context, FSMOUNT_CLOEXEC, flags(...attributes)], { result }),
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
  options: { set?: Named[]; clear?: Named[]; recursive?: boolean },
): Operation {
  const set = flags(...(options.set ?? []))
  const clear = flags(...(options.clear ?? []))
  const bytes = Buffer.alloc(32) // struct mount_attr
  bytes.writeBigUInt64LE(BigInt(set.value), 0)
  bytes.writeBigUInt64LE(BigInt(clear.value), 8)
  return call('mount_setattr', [
    tree,
    '',
    options.recursive ? flags(AT_EMPTY_PATH, AT_RECURSIVE) : AT_EMPTY_PATH,
    { bytes, text: `{set: ${set.text}, clear: ${clear.text}}` },
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
): Operation {
  const how = openHow([O_PATH, O_CLOEXEC], [RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS])
  return call('openat2', [root, path, how, OPEN_HOW_SIZE], { result, ...options })
}
