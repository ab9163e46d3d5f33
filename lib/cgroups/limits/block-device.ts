import { type Stats, statSync } from 'node:fs'
import { deviceNumbers, hostPathOption, invalidOption, textOption } from '../../base/index.js'

/**
 * Numbers of a block device, `'8:0'`, for these or its path. stat(2)
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` for what is none.
 */
export function blockDevice(option: string, value: unknown): string {
  const text = textOption(option, value)
  const numbers = /^(\d{1,4}):(\d{1,7})$/.exec(text)
  if (numbers !== null) return `${Number(numbers[1])}:${Number(numbers[2])}`
  if (!text.includes('/'))
    throw invalidOption(option, `${text} is no device; '8:0' and '/dev/sda' are`)
  let stats: Stats
  try {
    stats = statSync(hostPathOption(option, text))
  } catch (error) {
    throw invalidOption(option, `${text}: ${(error as NodeJS.ErrnoException).code}`)
  }
  if (!stats.isBlockDevice()) throw invalidOption(option, `${text} is no block device`)
  return deviceNumbers(stats.rdev)
}
