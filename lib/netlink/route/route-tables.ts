import { invalidOption, show } from '../../base/index.js'

/** Tables that have names. linux/rtnetlink.h enum rt_class_t */
export const routeTables = { default: 253, main: 254, local: 255 } as const

/** A table of routes: its number, of which there are 2^32 - 1, or its name. */
export type RouteTable = keyof typeof routeTables | number

/** The number of a table; undefined when it is left out. */
export function tableOption(option: string, value: RouteTable | undefined): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && Object.hasOwn(routeTables, value)) return routeTables[value]
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 2 ** 32)
    return value
  throw invalidOption(
    option,
    `${show(value)} is no table; ${Object.keys(routeTables).join(', ')} and numbers are`,
  )
}

/** The header of a message has eight bits for it, which say by 0 that it stands elsewhere. */
export function shortTable(table: number): number {
  return table < 256 ? table : 0
}
