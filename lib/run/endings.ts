import { constants } from 'node:os'
import { CofferdamError } from '../base/index.js'
import type { Exit } from './process.js'

// How an init stands, and what is told of one that has ended.

/**
 * Where an init stands: `creating` until it is parked, `starting` from when it
 * has been sent what to run until that has been executed, `running` until it
 * ends.
 */
export type InitStatus = 'creating' | 'parked' | 'starting' | 'running' | 'ended'

/** What a host's function threw, as the error of its step, with all that it knows. */
export function hostStepError(step: string, cause: unknown): CofferdamError {
  // A hook's error names the hook.
  if (cause instanceof CofferdamError && cause.step !== undefined) return cause
  const { code = 'ERR_HOST_STEP', message = String(cause) } = (cause ?? {}) as NodeJS.ErrnoException
  const { errno, syscall, path, hint } = cause instanceof CofferdamError ? cause : {}
  // Its message has the hint already.
  const told = hint === undefined ? message : message.replace(` (${hint})`, '')
  return new CofferdamError(`${step}: ${told}`, { code, errno, syscall, path, hint, step, cause })
}

/** Of an end that nobody knows more of. */
export const noExit: Exit = { exitCode: null, signal: null }

/** Whether the addon's error means that init is not there to be talked to. */
export function isGone(error: unknown): boolean {
  const { nr, errno } = (error ?? {}) as { nr?: number; errno?: number }
  const { EPIPE, ESRCH, ECONNRESET } = constants.errno
  return nr !== undefined && [EPIPE, ESRCH, ECONNRESET].includes(errno as number)
}

/** The error of an init that ended without having said why. */
export function died(status: InitStatus, exit: Exit): CofferdamError {
  const how = exit.signal ?? `exit code ${exit.exitCode}`
  return new CofferdamError(`init ended while it was ${status}: ${how}`, { code: 'ERR_INIT_DIED' })
}
