import { idOption, invalidOption, textOption } from '../base/index.js'

// What all specifications have in common.

const made = new WeakSet<object>()

/** Nobody changes it any more, and it need not be checked again. */
export function ours<T extends object>(specification: T): T {
  Object.freeze(specification)
  made.add(specification)
  return specification
}

/** Whether it was made here. */
export function isOurs(specification: unknown): boolean {
  return typeof specification === 'object' && specification !== null && made.has(specification)
}

/**
 * A path inside the container: absolute, not the root itself, and without `..`,
 * which would mean one thing to the reader and another where a symbolic link is
 * on the way. Comes back without what means nothing in it (`//`, `/./`).
 */
export function checkTarget(option: string, value: unknown): string {
  const path = checkPath(option, value)
  if (path === '/') throw invalidOption(option, 'the root directory itself is for rootfs() to say')
  return path
}

/** Needs no second look: most paths. */
const PLAIN = /^(\/[\w-][\w.-]*)+$/

/** The same, or the root itself. */
export function checkPath(option: string, value: unknown): string {
  const path = textOption(option, value)
  if (path.length < 1000 && PLAIN.test(path)) return path
  if (!path.startsWith('/'))
    throw invalidOption(option, `${JSON.stringify(path)} is no absolute path in the container`)
  if (Buffer.byteLength(path) > 4095) throw invalidOption(option, 'the path is longer than 4095')
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalidOption(option, `${path} has a '..' in it`)
  return `/${parts.join('/')}`
}

/** A whole number of a range. */
export function numberOption(option: string, value: unknown, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
    throw invalidOption(option, `${String(value)} is none; 0 to ${most} are`)
  return value
}

/** Permission bits. */
export function modeOption(option: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0o7777)
    throw invalidOption(option, `${String(value)} is none; 0 to 0o7777 are`)
  return value
}

/** A user's or group's id, as the container has it, if one is asked for. */
export function ownerOption(option: string, value: unknown): number | undefined {
  return value === undefined ? undefined : idOption(option, value)
}

/** The object without what is undefined in it, so that it is the same as JSON. */
export function without<T extends object>(object: T): T {
  const all = {} as T // not by delete, after which V8 keeps an object as a slow table
  for (const key in object) if (object[key] !== undefined) all[key] = object[key]
  return all
}
