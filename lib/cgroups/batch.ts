import { constants } from 'node:os'
import { errnoName, fileOperationKinds, type NativeFileAnswers, native } from '../base/index.js'
import { atOnce, elsewhere, isQuick, kindOfList, type ListKind } from './quick.js'

/** Something to be done with a file or folder of a group. */
export type FileOperation = {
  path: string
  /** Whose file it is, for errors; told by its name otherwise. */
  controller?: string
  /** Errors that do no harm, as `'ENOENT'`. */
  tolerate?: readonly string[]
  /** After such an error, as many of the next ones are left out. */
  skips?: number
} & (
  | { kind: 'write'; value: string }
  | { kind: 'mkdir' | 'rmdir' | 'read' }
  /** Writes what another file says, which must not be empty. */
  | { kind: 'copy'; from: string }
)

/** What was read, or 0 when it was done; the number of an error that does no harm. */
export type Answer = string | number

/** What failed, and so was the last. */
export interface BatchFailure {
  code: string
  errno: number
  syscall: string
}

/** How far a list of operations came. */
export interface BatchResult {
  /** Of each that was carried out. */
  answers: readonly Answer[]
  /** Of the one after those. */
  failure?: BatchFailure
}

/**
 * Carries out operations in their order, until one fails in a way that it does not tolerate: all
 * in one call, on this thread if it is soon done, and on another if not.
 */
export async function runBatch(operations: readonly FileOperation[]): Promise<BatchResult> {
  if (operations.length === 0) return { answers: [] }
  let text = ''
  for (const each of operations) {
    const [before, after] = textOf(each)
    text += before + each.path + after
  }
  return resultOf(operations, await runList(text, kindOfList(operations)))
}

/** The same for a list as the addon takes it. */
export async function runList(list: string, kind: ListKind): Promise<NativeFileAnswers> {
  return isQuick(kind)
    ? atOnce(kind, () => native().filesNow(list))
    : await elsewhere(kind, () => native().files(list))
}

/** What came of a list, by its operations. */
export function resultOf(
  operations: readonly FileOperation[],
  { done, texts, tolerated, errno, syscall }: NativeFileAnswers,
): BatchResult {
  let [text, error] = [0, 0]
  const answers = operations.slice(0, done).map(({ kind }, i): Answer => {
    if (tolerated[error] === i) {
      error += 2
      return tolerated[error - 1] as number
    }
    return kind === 'read' ? (texts[text++] as string) : 0
  })
  if (errno === undefined || syscall === undefined) return { answers }
  return { answers, failure: { code: errnoName(errno), errno, syscall } }
}

/** An operation as the addon takes it: what is before its path, and after. */
export function textOf(operation: FileOperation): [before: string, after: string] {
  const { kind, tolerate, skips } = operation
  const value = kind === 'write' ? operation.value : kind === 'copy' ? operation.from : ''
  const tolerated = tolerate === undefined ? NONE : numbersOf(tolerate)
  return [`${fileOperationKinds.indexOf(kind)}\0`, afterPath(value, tolerated, skips)]
}

function afterPath(value: string, tolerated: readonly number[], skips = 0): string {
  const numbers = tolerated.map(number => `${number}\0`).join('')
  return `\0${value}\0${skips}\0${tolerated.length}\0${numbers}`
}

/** The same as one text, where time counts. */
export function operationText(
  kind: FileOperation['kind'],
  path: string,
  value = '',
  tolerated: readonly number[] = NONE,
): string {
  return `${fileOperationKinds.indexOf(kind)}\0${path}${afterPath(value, tolerated)}`
}

const NONE: number[] = []

const errnos: Record<string, number> = constants.errno

/** By the lists of names, of which most are constants. */
const numbers = new WeakMap<readonly string[], number[]>()

function numbersOf(codes: readonly string[]): number[] {
  const known = numbers.get(codes)
  if (known !== undefined) return known
  const found = codes.flatMap(code => errnos[code] ?? [])
  numbers.set(codes, found)
  return found
}
