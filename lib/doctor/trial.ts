import { CofferdamError } from '../base/index.js'
import { attempt } from '../container/index.js'
import type { Step } from '../plan/index.js'
import { remedyFor } from './remedies.js'
import type { Check, CheckError } from './report.js'
import { ownUserNamespace } from './steps.js'

/** What a trial that worked has to say. */
export type Finding = Omit<Partial<Check>, 'group' | 'name'>

/** Something to be tried. */
export interface Trial {
  name: string
  /** Steps that a process of their own carries out; or a function that does more. */
  try: readonly Step[] | (() => Promise<Finding | undefined>)
  /**
   * Whether steps are tried once more in a user namespace when they are not
   * permitted. Default: true.
   */
  nested?: boolean
  /** What helps when nothing more is known about the failure. */
  remedy?: string | ((error: CheckError) => string)
}

/** All trials of one subject. */
export interface Group {
  group: string
  trials: readonly Trial[]
}

/** Carries out a trial. Never rejects. */
export async function carryOut(group: string, trial: Trial): Promise<Check> {
  const { name } = trial
  try {
    if (typeof trial.try === 'function') return { group, name, ok: true, ...(await trial.try()) }
    await attempt(trial.try)
    return { group, name, ok: true }
  } catch (error) {
    if (typeof trial.try === 'function' || trial.nested === false || !isForbidden(error))
      return failed(group, trial, error, false)
  }
  try {
    await attempt([ownUserNamespace(), ...trial.try])
    return { group, name, ok: 'partly', detail: 'in a user namespace of its own' }
  } catch (error) {
    return failed(group, trial, error, true)
  }
}

function isForbidden(error: unknown): boolean {
  return ['EPERM', 'EACCES'].includes((error as { code?: string })?.code ?? '')
}

function failed(group: string, trial: Trial, thrown: unknown, nested: boolean): Check {
  const error = describe(thrown)
  const own = typeof trial.remedy === 'function' ? trial.remedy(error) : trial.remedy
  const remedy = remedyFor(error, nested) ?? own ?? hintOf(thrown)
  return { group, name: trial.name, ok: false, error, ...(remedy === undefined ? {} : { remedy }) }
}

/** What a host's step of a plan threw tells more than what came of it. */
function innermost(thrown: unknown): Partial<CofferdamError> {
  const { cause } = (thrown ?? {}) as Error
  return (cause instanceof CofferdamError ? cause : thrown) as Partial<CofferdamError>
}

/** What an error says of a remedy by itself. */
export function hintOf(thrown: unknown): string | undefined {
  return innermost(thrown).hint
}

/** An error as plain data. */
export function describe(thrown: unknown): CheckError {
  const error = innermost(thrown)
  const { message = String(thrown), code = 'ERR_UNKNOWN', syscall, operation, path, hint } = error
  return {
    message: message.replace(` (${hint})`, ''), // it has a place of its own
    code,
    ...(syscall === undefined ? {} : { syscall }),
    ...(operation === undefined ? {} : { operation }),
    ...(path === undefined ? {} : { path }),
  }
}
