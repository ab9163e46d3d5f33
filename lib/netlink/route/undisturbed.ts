import { CofferdamError } from '../../base/index.js'
import type { Connection } from '../connection.js'

/** Of whom the kernel tells what happens. linux/rtnetlink.h enum rtnetlink_groups */
export const groups = {
  links: 1,
  neighbours: 3,
  addresses4: 5,
  routes4: 7,
  rules4: 8,
  addresses6: 9,
  routes6: 11,
  rules6: 19,
  namespaceIds: 28,
} as const

/** As often as a list is asked for again of which the kernel itself says that it has changed. */
const TRIES = 10

/**
 * Asks for a list again if anything of its kind has changed meanwhile. Some of the kernel's lists
 * count how many entries they have given to go on behind as many, so that one that goes makes
 * another be left out, and say nothing of it: neigh_dump_table(), fib6_dump_table(),
 * dump_rules().
 *
 * @throws CofferdamError `ERR_INTERRUPTED` when it went on to change.
 */
export async function undisturbed<T>(
  connection: Connection,
  group: number,
  operation: string,
  list: () => Promise<T[]>,
): Promise<T[]> {
  const witness = await connection.witness('route', group)
  for (let left = TRIES; left > 0; left--) {
    const before = witness.changes()
    const found = await list()
    if (witness.changes() === before) return found
  }
  throw new CofferdamError(`${operation}: the list changed while it was read, ${TRIES} times`, {
    code: 'ERR_INTERRUPTED',
    operation,
  })
}
