import type { LimitKind } from './kind.js'
import { type LimitNumber, numberLimit, toldLimit } from './values.js'

const MOST_PIDS = 2 ** 22 // linux/threads.h, PID_MAX_LIMIT

/** `pids.max`, the same on both versions. */
export const pids: LimitKind<LimitNumber> = {
  sources: [{ controllers: ['pids'], files: () => ['pids.max'] }],
  parse: (option, value) => numberLimit(option, value, 0, MOST_PIDS),
  write: (target, option, limit) => target.at(option, ['pids']).write(option, 'pids.max', limit),
  read: told => toldLimit(told('pids.max')),
}
