import { readFileSync } from 'node:fs'

/**
 * Numbers of the signals that this process ignores, which execve would hand on
 * to its children; `SigIgn` of proc_pid_status(5). Node itself ignores SIGPIPE
 * and SIGXFSZ. None where there is no proc to ask.
 */
export function ignoredSignals(): number[] {
  let status = ''
  try {
    status = readFileSync('/proc/self/status', 'latin1')
  } catch {
    return []
  }
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return Array.from({ length: 64 }, (_, i) => i + 1).filter(
    number => (mask >> BigInt(number - 1)) & 1n,
  )
}
