import { invalidOption, onlyKeys, show } from '../base/index.js'

/** Size of a terminal's window, each 1 to 65535. */
export interface TerminalSize {
  rows: number
  columns: number
}

/** What `terminal` takes: a size, or true for 24 rows of 80 columns. */
export type TerminalOption = boolean | Partial<TerminalSize>

const DEFAULT_SIZE: TerminalSize = { rows: 24, columns: 80 }

/** @throws CofferdamError `ERR_INVALID_OPTION` for a size that is none. */
export function checkTerminalSize(option: string, size: Partial<TerminalSize>): TerminalSize {
  onlyKeys(option, size, ['rows', 'columns'])
  const checked = { ...DEFAULT_SIZE, ...size }
  for (const name of ['rows', 'columns'] as const) {
    const value: unknown = checked[name]
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 0xffff)
      throw invalidOption(`${option}.${name}`, `${show(value)} is none; 1 to 65535 are`)
  }
  return checked
}

/** The size that was asked for; undefined when no terminal was. */
export function parseTerminal(terminal: TerminalOption | undefined): TerminalSize | undefined {
  if (terminal === undefined || terminal === false) return undefined
  return checkTerminalSize('terminal', terminal === true ? {} : terminal)
}
