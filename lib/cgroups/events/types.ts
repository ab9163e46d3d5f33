import type { PressureTrigger } from './triggers.js'

/** What the kernel counts, and tells of when the count has grown. */
export type CountedEvent =
  /** Nothing could be taken back at the limit for memory. */
  | 'oom'
  /** Processes were killed for that. On v1 of the group itself, and not of groups below it. */
  | 'oomKill'
  /** The group was killed as a whole, `memory.oom.group`; v2. */
  | 'oomGroupKill'
  /** Memory was taken back though it was below `memory.low`; v2. */
  | 'memoryLow'
  /** Processes were held up for being above `memory.high`; v2. */
  | 'memoryHigh'
  /** The limit for memory was met, and something was taken back. */
  | 'memoryMax'
  /** Processes were held up for being above `memory.swap.high`; v2. */
  | 'swapHigh'
  /** The limit for swap was met; v2. */
  | 'swapMax'
  /** Something could not be swapped out, for the limit or since there was no room; v2. */
  | 'swapFail'
  /** One more process or thread was refused. */
  | 'pidsMax'

/** A change of a group from one state to the other. */
export type StateEvent =
  /** The first process has come, to it or below. */
  | 'populated'
  /** The last one has gone. */
  | 'empty'
  /** All its processes are stopped. */
  | 'frozen'
  | 'thawed'

/** What is told of a group; of {@link GroupEvents}. */
export type GroupEvent =
  | {
      type: CountedEvent
      /** How often since it was last told of. */
      count: number
      /** How often since the group was made. Of `'oom'` on v1, since it is watched. */
      total: number
    }
  /** A huge page was refused; v2. `size` as `'2MB'`. */
  | { type: 'hugetlbMax'; size: string; count: number; total: number }
  | { type: StateEvent }
  /** Processes have had to wait as long as one of the triggers says. */
  | { type: 'pressure'; trigger: PressureTrigger }
  /** The group has been removed: always the last. */
  | { type: 'deleted' }

export type GroupEventType = GroupEvent['type']

export const eventTypes: readonly GroupEventType[] = [
  'oom',
  'oomKill',
  'oomGroupKill',
  'memoryLow',
  'memoryHigh',
  'memoryMax',
  'swapHigh',
  'swapMax',
  'swapFail',
  'pidsMax',
  'hugetlbMax',
  'populated',
  'empty',
  'frozen',
  'thawed',
  'pressure',
  'deleted',
]
