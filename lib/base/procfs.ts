import { readFileSync, statfsSync } from 'node:fs'
import { CofferdamError } from './errors.js'
import { native } from './native.js'

/**
 * Numbers of the signals that this process ignores, which execve would hand on
 * to its children; `SigIgn` of proc_pid_status(5). Node itself ignores SIGPIPE
 * and SIGXFSZ. None where there is no proc to ask.
 */
export function ignoredSignals(): number[] {
  const status = readPseudoFile('/proc/self/status') ?? ''
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return Array.from({ length: 64 }, (_, i) => i + 1).filter(
    number => (mask >> BigInt(number - 1)) & 1n,
  )
}

/** What tells a process from every other, also from one that gets its pid later. */
export interface ProcessIdentity {
  pid: number
  /** When it started, in clock ticks since boot. */
  startTime: number
  /**
   * Two can start within one tick: a number that the kernel gives no other process
   * of this boot, or 0 where it has none.
   */
  number: number
  /** Which boot that is. */
  bootId: string
}

let bootId: string | undefined

/** Of a process that has not ended; undefined when there is none. proc_pid_stat(5) */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readPseudoFile(`/proc/${pid}/stat`)
  // The name, in brackets, may have any character in it.
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  if (state === undefined || state === 'Z' || state === 'X') return undefined
  bootId ??= readPseudoFile('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
  return { pid, startTime: Number(fields[18]), number: native().processNumber(pid), bootId }
}

/** Whether this very process has not ended. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid)
  return (
    now?.startTime === identity.startTime &&
    now.number === identity.number &&
    now.bootId === identity.bootId
  )
}

/** A file of a pseudo file system; undefined when it is missing, as a feature may be. */
export function readPseudoFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

const PROC_SUPER_MAGIC = 0x9fa0 // linux/magic.h

/**
 * Before something is written below `/proc`: that it is proc, and no file of
 * somebody's that looks like it. statfs(2)
 *
 * @throws CofferdamError `ERR_UNSUPPORTED`.
 */
export function requireProcfs(): void {
  let type: number | undefined
  try {
    type = statfsSync('/proc').type
  } catch {
    // It is missing.
  }
  if (type !== PROC_SUPER_MAGIC)
    throw new CofferdamError('/proc: there is no proc file system', {
      code: 'ERR_UNSUPPORTED',
      path: '/proc',
    })
}
