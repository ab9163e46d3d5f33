import { constants } from 'node:fs'
import { flags, type Named, named, type Struct } from './operation.js'

// Flags that more than one subject opens files with. Their values differ
// between architectures, and Node knows this one's. open(2), openat(2)

export const AT_FDCWD = named('AT_FDCWD', -100)
export const AT_EMPTY_PATH = named('AT_EMPTY_PATH', 0x1000)
export const AT_RECURSIVE = named('AT_RECURSIVE', 0x8000)
export const O_RDONLY = named('O_RDONLY', constants.O_RDONLY)
export const O_WRONLY = named('O_WRONLY', constants.O_WRONLY)
export const O_DIRECTORY = named('O_DIRECTORY', constants.O_DIRECTORY)
export const O_CLOEXEC = named('O_CLOEXEC', 0o2000000)
export const O_PATH = named('O_PATH', 0o10000000)
export const O_RDWR = named('O_RDWR', constants.O_RDWR)
export const O_NONBLOCK = named('O_NONBLOCK', constants.O_NONBLOCK)
export const O_NOFOLLOW = named('O_NOFOLLOW', constants.O_NOFOLLOW)
export const O_NOCTTY = named('O_NOCTTY', constants.O_NOCTTY)

/** A second descriptor, with at least the number that comes with it. fcntl(2) */
export const F_DUPFD_CLOEXEC = named('F_DUPFD_CLOEXEC', 1030)

export const RESOLVE_NO_XDEV = named('RESOLVE_NO_XDEV', 0x01)
export const RESOLVE_NO_MAGICLINKS = named('RESOLVE_NO_MAGICLINKS', 0x02)
export const RESOLVE_NO_SYMLINKS = named('RESOLVE_NO_SYMLINKS', 0x04)
export const RESOLVE_BENEATH = named('RESOLVE_BENEATH', 0x08)
export const RESOLVE_IN_ROOT = named('RESOLVE_IN_ROOT', 0x10)

/** `sizeof(struct open_how)`, which openat2(2) is told. */
export const OPEN_HOW_SIZE = 24

/** What openat2(2) takes instead of flags. */
export function openHow(how: readonly Named[], resolve: readonly Named[]): Struct {
  const [open, within] = [flags(...how), flags(...resolve)]
  const bytes = Buffer.alloc(OPEN_HOW_SIZE)
  bytes.writeBigUInt64LE(BigInt(open.value), 0)
  bytes.writeBigUInt64LE(BigInt(within.value), 16)
  return { bytes, text: `{${open.text}, ${within.text}}` }
}
