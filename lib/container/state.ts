import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { CofferdamError } from '../base/index.js'

/**
 * Where containers leave what must outlast the program that made them:
 * `/run/cofferdam`; for an ordinary user below `$XDG_RUNTIME_DIR` or, where
 * nobody has made that, in a folder of its own below that for temporary files.
 */
export function stateFolder(): string {
  const user = process.geteuid?.()
  if (user === 0) return '/run/cofferdam'
  const runtime = process.env.XDG_RUNTIME_DIR
  if (runtime) return `${runtime}/cofferdam`
  return ownFolder(`${tmpdir()}/cofferdam-${user}`, user)
}

/** Anybody could have made it first, to see or to say what stands in it. */
function ownFolder(path: string, user: number | undefined): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const status = lstatSync(path)
  if (!status.isDirectory() || status.uid !== user || (status.mode & 0o077) !== 0)
    throw new CofferdamError(`${path} is not a folder of this user's alone`, {
      code: 'EACCES',
      path,
      hint: 'set XDG_RUNTIME_DIR to one that is',
    })
  return path
}
