import { constants } from 'node:fs'
import { named } from './operation.js'

// Flags that more than one subject opens files with. Their values differ
// between architectures, and Node knows this one's. open(2), openat(2)

export const AT_FDCWD = named('AT_FDCWD', -100)
export const AT_EMPTY_PATH = named('AT_EMPTY_PATH', 0x1000)
export const AT_RECURSIVE = named('AT_RECURSIVE', 0x8000)
export const O_RDONLY = named('O_RDONLY', constants.O_RDONLY)
export const O_DIRECTORY = named('O_DIRECTORY', constants.O_DIRECTORY)
export const O_CLOEXEC = named('O_CLOEXEC', 0o2000000)
export const O_PATH = named('O_PATH', 0o10000000)
