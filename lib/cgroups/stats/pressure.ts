import type { StatsSource, StatsText } from './source.js'

/** What there can be pressure for. `irq`: time that interrupts have taken from processes. */
export type PressureResource = 'cpu' | 'memory' | 'io' | 'irq'

/** How much of the time it was waited, in percent, and in all. */
export interface PressureFigures {
  /** Percent of the last 10 seconds. */
  avg10: number
  /** Percent of the last minute. */
  avg60: number
  /** Percent of the last five minutes. */
  avg300: number
  /** Microseconds since the group was made. */
  total: number
}

/** Pressure for one resource. */
export interface ResourcePressure {
  /** While at least one had to wait. Not of `irq`. */
  some?: PressureFigures
  /** While all that had something to do had to wait. */
  full?: PressureFigures
}

/** Pressure Stall Information, PSI. */
export type Pressure = { [resource in PressureResource]?: ResourcePressure }

/** Parses a file as `/proc/pressure/memory`. Lines that it does not understand are skipped. */
export function readPressure(text: StatsText): ResourcePressure {
  const pressure: ResourcePressure = {}
  for (; !text.atEnd; text.nextLine()) {
    const kind = text.word()
    if (kind !== 'some' && kind !== 'full') continue
    const figures: Partial<PressureFigures> = {}
    while (!text.atLineEnd) {
      const key = text.word(61)
      const value = text.word()
      if (key === 'total' ? /^\d{1,16}$/.test(value) : /^\d{1,3}\.\d{1,2}$/.test(value))
        figures[key as 'total'] = Number(value)
    }
    const { avg10, avg60, avg300, total } = figures
    if (avg10 !== undefined && avg60 !== undefined && avg300 !== undefined)
      if (total !== undefined && Number.isSafeInteger(total))
        pressure[kind] = { avg10, avg60, avg300, total }
  }
  return pressure
}

export const pressureSources: readonly StatsSource[] = (
  ['cpu', 'memory', 'io', 'irq'] as const
).map(resource => ({
  part: 'pressure',
  version: 2,
  files: [`${resource}.pressure`],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined) return
    stats.pressure ??= {}
    stats.pressure[resource] = readPressure(text)
  },
}))
