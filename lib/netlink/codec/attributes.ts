import { show } from '../../base/index.js'
import { HEADER, MOST, NLA_F_NESTED, putHeader } from './attribute-header.js'
import { type Codec, type Inside, malformed } from './codec.js'
import { presence, u16At } from './scalars.js'
import { shaped } from './struct.js'
import { aligned, type Writer } from './writer.js'

const NLA_TYPE_MASK = 0x3fff
const NONE: ReadonlySet<string> = new Set()

/** One attribute: the kernel's name for it, its number, and what it holds. */
export interface Attribute<T> {
  readonly kernelName: string
  readonly type: number
  readonly codec: Codec<T>
  /** Who gives the values knows nothing of it, so that errors name only what is inside. */
  readonly hidden?: boolean
}

/** Describes an attribute: `attribute('IFLA_MTU', 4, u32)`. */
export function attribute<T>(
  kernelName: string,
  type: number,
  codec: Codec<T>,
  { hidden = false } = {},
): Attribute<T> {
  return { kernelName, type, codec, hidden }
}

/** The values of attributes by their names; each may be missing. */
export type AttributesOf<A> = {
  [K in keyof A]?: A[K] extends Attribute<infer T> ? T | undefined : never
}

/** A set of attributes, of which each stands at most once. */
export interface Attributes<T> extends Codec<T> {
  readonly inside: Inside
  /** Names of all that there are. */
  readonly names: readonly string[]
  /** What is read begins as a copy of this. */
  readonly empty: object
  /** As read(), into an object that there is. */
  into(out: object, bytes: Buffer, start: number, end: number): void
  /** As write(), of an object that has other values as well. */
  writeBut(to: Writer, value: object, others: ReadonlySet<string>): void
}

/**
 * Writes one attribute.
 *
 * Its length is 16 bits wide: one that is too long would be cut off, and what follows be
 * taken for attributes of its own (CVE-2021-43784), so that it is refused.
 */
function writeAttribute<T>(to: Writer, type: number, name: string, codec: Codec<T>, value: T) {
  to.enter(name)
  const at = to.reserve(HEADER)
  codec.write(to, value)
  const length = to.length - at
  if (length > MOST) throw to.refuse(`${length} bytes; an attribute has at most ${MOST}`)
  putHeader(to.bytes, at, length, codec.inside === undefined ? type : type | NLA_F_NESTED)
  to.align()
  to.leave()
}

/** Calls `each` for the attributes between two places. A rest that is too short for one is padding. */
export function eachAttribute(
  bytes: Buffer,
  start: number,
  end: number,
  each: (type: number, from: number, to: number) => void,
): void {
  for (let at = start; end - at >= HEADER; ) {
    const length = u16At(bytes, at)
    if (length < HEADER || length > end - at)
      throw malformed(`an attribute of ${length} bytes where there are ${end - at}`)
    each(u16At(bytes, at + 2) & NLA_TYPE_MASK, at + HEADER, at + length)
    at += aligned(length)
  }
}

/**
 * Describes a set of attributes once, for writing, reading and the types of TypeScript.
 * Those that are not described are skipped when read: a newer kernel may have more.
 *
 * ```ts
 * const link = attributes({ name: attribute('IFLA_IFNAME', 3, text(16)), mtu: attribute('IFLA_MTU', 4, u32) })
 * ```
 *
 * @param whole Whether what is read has all names, undefined where there is none: faster where
 * there are many of which most are there.
 */
// biome-ignore lint/suspicious/noExplicitAny: attributes of all types, which AttributesOf tells apart
export function attributes<const A extends Readonly<Record<string, Attribute<any>>>>(
  described: A,
  { whole = false } = {},
): Attributes<AttributesOf<A>> {
  type T = AttributesOf<A>
  const fields = Object.entries(described) as [string, Attribute<unknown>][]
  const byType: ({ name: string; codec: Codec<unknown>; kernelName: string } | undefined)[] = []
  for (const [name, { type, codec, kernelName }] of fields)
    byType[type] ??= { name, codec, kernelName }

  const into = (out: object, bytes: Buffer, start: number, end: number) => {
    const target = out as Record<string, unknown>
    for (let at = start; end - at >= HEADER; ) {
      const length = u16At(bytes, at)
      if (length < HEADER || length > end - at)
        throw malformed(`an attribute of ${length} bytes where there are ${end - at}`)
      const field = byType[u16At(bytes, at + 2) & NLA_TYPE_MASK]
      if (field !== undefined)
        target[field.name] = field.codec.read(bytes, at + HEADER, at + length)
      at += aligned(length)
    }
  }

  const writeBut = (to: Writer, value: object, others: ReadonlySet<string>) => {
    const source = value as Record<string, unknown>
    for (const name of Object.keys(source)) {
      if (others.has(name)) continue
      const field = Object.hasOwn(described, name) ? described[name] : undefined
      if (field === undefined) throw to.refuse(`there is no ${name} in it`)
      if (source[name] === undefined || (source[name] === false && isPresence(field))) continue
      writeAttribute(to, field.type, field.hidden ? '' : name, field.codec, source[name])
    }
  }

  const names = Object.keys(described)
  const empty = whole ? shaped(Object.fromEntries(names.map(name => [name, undefined]))) : {}
  return {
    names,
    empty,
    writeBut,
    into,
    read(bytes, start, end) {
      const out = { ...empty }
      into(out, bytes, start, end)
      return out as T
    },
    write(to, value) {
      if (typeof value !== 'object' || value === null)
        throw to.refuse(`${show(value)} is no object`)
      writeBut(to, value as object, NONE)
    },
    inside: {
      nameOf: type => byType[type]?.kernelName,
      fieldAt(bytes, start, end, offset) {
        let found: string[] = []
        eachAttribute(bytes, start, end, (type, from, to) => {
          if (offset < from - HEADER || offset >= to) return
          const field = byType[type]
          const name = field?.kernelName ?? `attribute ${type}`
          found = [name, ...(field?.codec.inside?.fieldAt(bytes, from, to, offset) ?? [])]
        })
        return found
      },
    },
  }
}

function isPresence(field: Attribute<unknown>): boolean {
  return field.codec === (presence as Codec<unknown>)
}

/** A list: attributes that hold one kind of thing, one after the other, numbered from 1, or all of `type`. */
export function list<T>(item: Codec<T>, type?: number): Codec<readonly T[]> {
  return {
    read(bytes, start, end) {
      const found: T[] = []
      eachAttribute(bytes, start, end, (_type, from, to) => {
        found.push(item.read(bytes, from, to))
      })
      return found
    },
    write(to, values) {
      if (!Array.isArray(values)) throw to.refuse(`${show(values)} is no list`)
      for (const [i, value] of (values as readonly T[]).entries())
        writeAttribute(to, type ?? i + 1, `${i}`, item, value)
    },
    inside: {
      nameOf: () => undefined,
      fieldAt(bytes, start, end, offset) {
        let found: string[] = []
        let i = 0
        eachAttribute(bytes, start, end, (_type, from, to) => {
          if (offset >= from - HEADER && offset < to)
            found = [`[${i}]`, ...(item.inside?.fieldAt(bytes, from, to, offset) ?? [])]
          i++
        })
        return found
      },
    },
  }
}
