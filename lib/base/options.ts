import { isAbsolute, resolve } from 'node:path'
import { invalidOption } from './errors.js'

// Options come from JavaScript as well, so each is looked at before it is
// believed. All throw CofferdamError `ERR_INVALID_OPTION`, naming the option.

const show = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value) : String(value)

/**
 * Refuses what is no object of options, and options that there are not, so
 * that a misspelt one is an error and not silence.
 */
export function onlyKeys(option: string, options: unknown, known: readonly string[]): void {
  if (Object.prototype.toString.call(options) !== '[object Object]')
    throw invalidOption(option, `${show(options)} is no object of options`)
  for (const key of Object.keys(options as object))
    if (!known.includes(key))
      throw invalidOption(
        `${option}.${key}`,
        `there is no such option; known are ${known.join(', ')}`,
      )
}

/** True or false, or `otherwise` when it is left out. */
export function flagOption(option: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw invalidOption(option, `${show(value)} is not true or false`)
  return value
}

/** Text that the kernel can take: not empty, and without NUL. */
export function textOption(option: string, value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    throw invalidOption(option, `${show(value)} is no text without NUL characters`)
  return value
}

/** A list of such texts. */
export function textsOption(option: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalidOption(option, `${show(value)} is no list`)
  return value.map(item => textOption(option, item))
}

/** A path of the host; a relative one is of this moment's working directory. */
export function hostPathOption(option: string, value: unknown): string {
  const path = textOption(option, value)
  return isAbsolute(path) ? path : resolve(path)
}
