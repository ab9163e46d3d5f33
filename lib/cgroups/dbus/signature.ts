// Types of D-Bus; https://dbus.freedesktop.org/doc/dbus-specification.html, "Type System".

/** One complete type, as `a(sv)`. */
export type Type =
  | { code: BasicCode | 'v' }
  | { code: 'a'; of: Type }
  | { code: '(' | '{'; members: readonly Type[] }

type BasicCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h'

const BASIC = 'ybnqiuxtdsogh'

/** Bytes to whose multiples a value of a type is moved on. */
export const ALIGNMENT: Record<string, number> = {
  y: 1,
  g: 1,
  v: 1,
  n: 2,
  q: 2,
  b: 4,
  i: 4,
  u: 4,
  s: 4,
  o: 4,
  a: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  '(': 8,
  '{': 8,
}

/** As deep may arrays be in one another, and structures too. */
const DEEPEST = 32

/** What is no D-Bus, or more of it than is taken. */
export class ProtocolError extends Error {}

/**
 * The complete types of a signature, as `susa(sv)`.
 *
 * @throws ProtocolError
 */
export function parseSignature(signature: string): Type[] {
  if (signature.length > 255) throw new ProtocolError('a signature is too long')
  const types: Type[] = []
  let at = 0
  while (at < signature.length) types.push(next(0, 0))
  return types

  function next(arrays: number, structures: number): Type {
    const code = signature[at++]
    if (code === undefined || arrays > DEEPEST || structures > DEEPEST)
      throw new ProtocolError(`${JSON.stringify(signature)} is no signature`)
    if (code === 'v' || BASIC.includes(code)) return { code: code as BasicCode | 'v' }
    if (code === 'a')
      return signature[at] === '{'
        ? { code: 'a', of: entry(arrays + 1, structures) }
        : { code: 'a', of: next(arrays + 1, structures) }
    if (code === '(') {
      const members = until(')', arrays, structures + 1)
      if (members.length > 0) return { code: '(', members }
    }
    throw new ProtocolError(`${JSON.stringify(signature)} is no signature`)
  }

  /** Of a dictionary; only arrays have such. */
  function entry(arrays: number, structures: number): Type {
    at++
    const members = until('}', arrays, structures + 1)
    if (members.length !== 2 || !BASIC.includes(members[0]?.code ?? ''))
      throw new ProtocolError(`${JSON.stringify(signature)} is no signature`)
    return { code: '{', members }
  }

  function until(end: string, arrays: number, structures: number): Type[] {
    const members: Type[] = []
    while (signature[at] !== end) members.push(next(arrays, structures))
    at++
    return members
  }
}

/** A value that brings its type along. */
export class Variant {
  constructor(
    readonly signature: string,
    readonly value: unknown,
  ) {}
}
