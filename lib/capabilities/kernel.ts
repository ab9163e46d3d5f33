import { CofferdamError, native } from '../base/index.js'

let last: number | undefined

/**
 * Number of the last capability that the running kernel has, which may be before
 * or beyond the last of {@link names}. prctl(2) PR_CAPBSET_READ. Equivalent to:
 * `cat /proc/sys/kernel/cap_last_cap`, which may be hidden
 *
 * @throws CofferdamError `ERR_UNSUPPORTED` where the kernel does not say.
 */
export function lastCapability(): number {
  if (last === undefined) {
    let number = 0
    while (native().inBounding(number) >= 0) number++
    if (number === 0)
      throw new CofferdamError('this kernel says of no capability that it has it', {
        code: 'ERR_UNSUPPORTED',
        syscall: 'prctl',
      })
    last = number - 1
  }
  return last
}

/** All that the running kernel has, bit by number. */
export function allCapabilities(): bigint {
  return (2n << BigInt(lastCapability())) - 1n
}
