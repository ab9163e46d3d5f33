import type { FileOperation } from './batch.js'

// Which lists of file operations are carried out on the JavaScript thread. To wake another thread,
// and to be woken by it, takes longer than most of them do; but none may keep the thread for long.

/** As many take the kernel some hundred microseconds. */
const MOST = 64

/** Limits that are numbers to the kernel, whoever is in the group. */
const NUMBERS =
  /\/(cpu\.(max|max\.burst|weight|weight\.nice|idle|shares|cfs_\w+)|pids\.max|misc\.max|rdma\.max|net_cls\.classid|devices\.(allow|deny))$/

/** The same of a group that has no memory yet: otherwise the kernel takes back what is too much. */
const NUMBERS_AT_FIRST =
  /\/(memory\.(max|high|low|min|oom\.group|swap\.max|swap\.high|zswap\.max|swappiness|(\w+\.)*\w*limit_in_bytes)|hugetlb\.\w+\.\w+(\.\w+)?|cpuset\.(cpus|mems))$/

/** What is read without looking at all that is in a group. */
const READ =
  /\/(cgroup\.(controllers|subtree_control|type)|cpuset\.(cpus|mems)|devices\.list)$|^\/proc\/\d+\/cgroup$/

/** A process that is written there makes the kernel wait for all processors. */
const MOVE = /\/(cgroup\.(procs|threads)|tasks)$/

/**
 * So long after one move the next need not wait, in milliseconds: only when all processors have
 * been somewhere else in between does the kernel begin anew. Where that is sooner, so is
 * the end of the waiting.
 */
const STILL = 3

/** As many milliseconds beyond half of the time may go to such lists at once. */
const ADVANCE = 4

let lastMove = Number.NEGATIVE_INFINITY
let slowMoves = 0
let paidUntil = Number.NEGATIVE_INFINITY

/** What can be told of a list from its operations alone. */
export interface ListKind {
  /** No operation in it has to wait, unless it is a move. */
  short: boolean
  moves: boolean
}

export function kindOfList(operations: readonly FileOperation[]): ListKind {
  const moves = operations.some(({ kind, path }) => kind === 'write' && MOVE.test(path))
  if (operations.length > MOST) return { short: false, moves }
  const made: string[] = []
  const short = operations.every(({ kind, path }) => {
    if (kind === 'mkdir') made.push(path)
    if (kind === 'mkdir' || kind === 'rmdir') return true
    if (kind === 'read') return READ.test(path)
    if ((moves && MOVE.test(path)) || NUMBERS.test(path)) return true
    return NUMBERS_AT_FIRST.test(path) && made.includes(path.slice(0, path.lastIndexOf('/')))
  })
  return { short, moves }
}

/** Whether a list may be carried out at once. */
export function isQuick({ short, moves }: ListKind): boolean {
  // A move that waits keeps all others waiting who change groups.
  if (!short || slowMoves > 0) return false
  const now = performance.now()
  return paidUntil < now + ADVANCE && (!moves || now - lastMove < STILL)
}

/** Carries out such a list, and counts the time. */
export function atOnce<T>({ moves }: ListKind, work: () => T): T {
  const begin = performance.now()
  const result = work()
  const end = performance.now()
  paidUntil = Math.max(paidUntil, begin) + 2 * (end - begin)
  if (moves) lastMove = end
  return result
}

/** Waits for one that is carried out on another thread. */
export async function elsewhere<T>({ moves }: ListKind, work: () => Promise<T>): Promise<T> {
  if (!moves) return await work()
  slowMoves++
  try {
    return await work()
  } finally {
    slowMoves--
    lastMove = performance.now()
  }
}
