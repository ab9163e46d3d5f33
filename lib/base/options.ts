import { isAbsolute, resolve } from 'node:path'
import { invalidOption } from './errors.js'

// Options come from JavaScript as well, so each is looked at before it is
// believed. All throw CofferdamError `ERR_INVALID_OPTION`, naming the option.

/** As many characters of a value are shown. */
const MOST_SHOWN = 200

/** Any value, for a message that refuses it: text in quotes, not all of a long one. Never throws. */
export function show(value: unknown): string {
  if (typeof value === 'string') return shorten(value, JSON.stringify)
  try {
    return shorten(Array.isArray(value) ? `[${value}]` : String(value), text => text)
  } catch {
    return 'a value that can not be shown' // its own toString() is no good
  }
}

function shorten(text: string, print: (text: string) => string): string {
  return text.length > MOST_SHOWN ? `${print(text.slice(0, MOST_SHOWN))}…` : print(text)
}

/**
 * Refuses what is no object of options, and options that there are not, so
 * that a misspelt one is an error and not silence.
 */
export function onlyKeys(option: string, options: unknown, known: readonly string[]): void {
  objectOption(option, options)
  for (const key of Object.keys(options as object))
    if (!known.includes(key))
      throw invalidOption(
        `${option}.${key}`,
        `there is no such option; known are ${known.join(', ')}`,
      )
}

/**
 * Refuses what is no plain object, lists too; and one with a prototype of its own, since what
 * it inherits would be read and not be seen among its keys.
 */
export function objectOption(option: string, value: unknown): void {
  if (Object.prototype.toString.call(value) !== '[object Object]')
    throw invalidOption(option, `${show(value)} is no object of options`)
  if (!isPlain(value as object))
    throw invalidOption(
      option,
      'has a prototype of its own; a plain object, as { ...options }, is wanted',
    )
}

/** Whether it is of no class; also of another realm, whose Object.prototype is another one. */
export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return (
    prototype === Object.prototype ||
    prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty'))
  )
}

/** The last id of a user or group: `(uid_t) -1` means "no change" to the kernel. */
export const LAST_ID = 0xfffffffe

/** A user's or group's id. */
export function idOption(option: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > LAST_ID)
    throw invalidOption(option, `${show(value)} is no id; numbers from 0 to ${LAST_ID} are`)
  return value
}

/** True or false, or `otherwise` when it is left out. */
export function flagOption(option: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw invalidOption(option, `${show(value)} is not true or false`)
  return value
}

/** Text that the kernel can take: not empty, and without NUL. */
export function textOption(option: string, value: unknown): string {
  if (value === '') throw invalidOption(option, 'is empty')
  if (typeof value !== 'string' || value.includes('\0'))
    throw invalidOption(option, `${show(value)} is no text without NUL characters`)
  return value
}

/** One of several words. */
export function wordOption<T extends string>(
  option: string,
  value: unknown,
  words: readonly T[],
): T {
  if (!words.includes(value as T))
    throw invalidOption(option, `${show(value)} is none; ${words.join(', ')} are`)
  return value as T
}

/** A word that is a key of a table, as {@link wordOption}. */
export function keyOption<T extends object>(
  option: string,
  value: unknown,
  table: T,
): keyof T & string {
  return wordOption(option, value, Object.keys(table) as (keyof T & string)[])
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

/** A copy that its owner can't change any more, of options that have been looked at. */
export function plainCopy<T>(option: string, value: T): T {
  try {
    return structuredClone(value)
  } catch {
    throw invalidOption(option, 'must be plain data')
  }
}

/** What gives up; undefined when there is nothing. */
export function signalOption(option: string, value: unknown): AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal))
    throw invalidOption(option, `${show(value)} is no AbortSignal`)
  return value
}

/** A whole number within limits. */
export function integerOption(option: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw invalidOption(option, `${show(value)} is none; ${least} to ${most} are`)
  return value
}
