import { constants } from 'node:os'
import { invalidOption, show } from '../base/index.js'

/** A signal by its name; one of the real-time signals as `'SIG34'` and so on. */
export type SignalName = NodeJS.Signals | `SIG${number}`

const LAST_SIGNAL = 64

// Some have two names, of which the first is the common one: SIGABRT, SIGIOT.
const names = new Map<number, SignalName>()
for (const [name, number] of Object.entries(constants.signals))
  if (!names.has(number)) names.set(number, name as NodeJS.Signals)

/** `'SIGTERM'` for 15; signal(7). */
export function signalName(number: number): SignalName {
  return names.get(number) ?? `SIG${number}`
}

/**
 * 15 for `'SIGTERM'`. 0, which only asks whether there is a process, is allowed.
 * `option` is what an error names.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for a signal that there is not.
 */
export function signalNumber(signal: SignalName | number, option = 'signal'): number {
  const known: Record<string, number> = constants.signals
  let number: unknown = signal
  if (typeof signal === 'string')
    number = Object.hasOwn(known, signal) ? known[signal] : Number(/^SIG(\d+)$/.exec(signal)?.[1])
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > LAST_SIGNAL)
    throw invalidOption(option, `${show(signal)} is none`)
  return number
}
