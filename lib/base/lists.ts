import { invalidOption } from './errors.js'
import { show } from './options.js'

/**
 * Numbers of processors or memory nodes: a list, or text in the kernel's form,
 * as `'0-3,7'`; cpuset(7), "List format".
 */
export type NumberList = string | readonly number[]

/** Larger than any kernel that there is was built for (CONFIG_NR_CPUS, CONFIG_NODES_SHIFT). */
const MOST = 8192

/**
 * The numbers of a {@link NumberList}, in ascending order, each once.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` naming `option`, for what is no
 * such list, is empty, or has a number above 8191.
 */
export function parseList(option: string, list: NumberList): number[] {
  const refuse = () =>
    invalidOption(
      option,
      `${show(list)} is no list; '0-3,7' and [0, 1] are, with numbers below ${MOST}`,
    )
  const numbers = new Set<number>()
  const add = (from: number, to: number) => {
    if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || from > to || to >= MOST)
      throw refuse()
    for (let number = from; number <= to; number++) numbers.add(number)
  }
  if (typeof list === 'string')
    for (const part of list.split(',')) {
      const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? []
      add(Number(from ?? Number.NaN), Number(to))
    }
  else if (Array.isArray(list)) for (const number of list) add(number, number)
  if (numbers.size === 0) throw refuse()
  return [...numbers].sort((a, b) => a - b)
}

/** Ascending numbers in the kernel's form. */
export function formatList(numbers: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last !== undefined && number === last[1] + 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',')
}
