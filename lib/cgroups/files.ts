import { CofferdamError, type NativeFileAnswers } from '../base/index.js'
import { type Answer, type BatchFailure, type FileOperation, resultOf, runBatch } from './batch.js'
import { remedyOf } from './remedies.js'

/** What is to be written to a file of a group: one write(2), which the kernel takes or not. */
export interface FileWrite {
  path: string
  value: string
  /** Whose file it is; `cgroup` for those of groups themselves. */
  controller: string
  /** Errors that do no harm, as `'ENOENT'`. */
  tolerate?: readonly string[]
}

/**
 * Writes files of groups, in this order, until one fails. Some of them make the kernel wait for
 * some ten milliseconds, so it is done on another thread.
 *
 * @throws CofferdamError of the system call, that names the controller, the file and what was
 * to be written, and usually what helps.
 */
export async function writeFiles(writes: readonly FileWrite[]): Promise<void> {
  if (writes.length > 0) await runFiles(writes.map(write => ({ kind: 'write', ...write })))
}

/**
 * Carries out operations in this order, until one fails.
 *
 * @throws CofferdamError of the first that fails otherwise; `done`, if given, is called with the
 * answers of those before it.
 */
export async function runFiles(
  operations: readonly FileOperation[],
  done?: (answers: readonly Answer[]) => void,
): Promise<readonly Answer[]> {
  const { answers, failure } = await runBatch(operations)
  if (failure === undefined) return answers
  done?.(answers)
  throw operationError(operations[answers.length] as FileOperation, failure)
}

/** The same error for a list that has been carried out, and has failed. */
export function failureOf(
  operations: readonly FileOperation[],
  result: NativeFileAnswers,
): CofferdamError {
  const { answers, failure } = resultOf(operations, result)
  return operationError(operations[answers.length] as FileOperation, failure as BatchFailure)
}

function operationError(operation: FileOperation, failure: BatchFailure) {
  const { kind, path } = operation
  const what =
    kind === 'write' ? `${JSON.stringify(operation.value)} to ${path}` : `${kind} ${path}`
  return failed(what, path, operation.controller ?? controllerOf(path), failure)
}

/** The typed error for one of node:fs about a file or folder of a group. */
export function groupError(what: string, path: string, cause: unknown): CofferdamError {
  const error = cause as NodeJS.ErrnoException
  return failed(`${what} ${path}`, path, controllerOf(path), { syscall: what, ...error }, cause)
}

function failed(
  what: string,
  path: string,
  controller: string,
  { code = 'EIO', errno = 0, syscall }: Partial<NodeJS.ErrnoException>,
  cause?: unknown,
): CofferdamError {
  const hint = remedyOf(code, path)
  const details = { code, errno: Math.abs(errno), syscall, path, controller, hint, cause }
  return new CofferdamError(`${controller}: ${what}: ${code}`, details)
}

/** Whose file it is, by its name: what is before the first dot. */
export function controllerOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return /^[a-z_]+(?=\.)/.exec(name)?.[0] ?? 'cgroup'
}

/**
 * What files of groups say now; undefined where there is no such file, or it is none of a
 * group of that type.
 */
export async function readFiles(paths: readonly string[]): Promise<(string | undefined)[]> {
  const tolerate = ['ENOENT', 'ENODEV', 'ENOTDIR', 'EOPNOTSUPP']
  const answers = await runFiles(paths.map(path => ({ kind: 'read', path, tolerate })))
  return answers.map(answer => (typeof answer === 'string' ? answer : undefined))
}
