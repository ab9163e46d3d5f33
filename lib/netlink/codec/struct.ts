import { type Codec, malformed } from './codec.js'
import type { FixedCodec } from './scalars.js'
import type { Writer } from './writer.js'

type Members = Readonly<Record<string, FixedCodec<unknown> | number>>
/** The values of a struct. Those that are left out are zero when it is written. */
export type StructOf<M> = {
  [K in keyof M as M[K] extends number ? never : K]: M[K] extends Codec<infer T> ? T : never
}

/**
 * An object with these values, to be copied by `{ ...it }`: V8 lays out what JSON.parse() makes so
 * that copies of it are made, and changed, fast. With one that has been put together name by name,
 * of a dozen and more, each access is a search.
 */
export function shaped<T extends object>(values: T): T {
  const names = Object.keys(values) as (keyof T)[]
  const out = JSON.parse(JSON.stringify(Object.fromEntries(names.map(name => [name, 0])))) as T
  for (const name of names) out[name] = values[name]
  return out
}

/** A struct of the kernel's: members in their order, without gaps but for those that stand in it. */
export interface Struct<T> extends FixedCodec<T> {
  write(to: Writer, value: Partial<T>): void
  put(to: Writer, place: number, value: Partial<T>): void
  /** As at(), into an object that there is. */
  into(out: object, bytes: Buffer, place: number): void
}

/**
 * Describes a struct. A number is that many bytes of padding, under any name.
 *
 * ```ts
 * const header = struct({ family: u8, pad: 1, type: u16, index: s32, flags: u32, change: u32 })
 * ```
 */
// biome-ignore lint/suspicious/noExplicitAny: members of all types, which StructOf tells apart
export function struct<const M extends Readonly<Record<string, FixedCodec<any> | number>>>(
  members: M,
): Struct<StructOf<M>> {
  type T = StructOf<M>
  const parts: { name: string; at: number; codec: FixedCodec<unknown> }[] = []
  let size = 0
  for (const [name, codec] of Object.entries(members as Members)) {
    if (typeof codec === 'number') size += codec
    else {
      parts.push({ name, at: size, codec })
      size += codec.size
    }
  }
  const into = (out: object, bytes: Buffer, place: number) => {
    const target = out as Record<string, unknown>
    for (const { name, at, codec } of parts) target[name] = codec.at(bytes, place + at)
  }
  const put = (to: Writer, place: number, value: Partial<T>) => {
    const source = value as Record<string, unknown>
    for (const { name, at, codec } of parts) {
      if (source[name] === undefined) continue
      to.enter(name)
      codec.put(to, place + at, source[name])
      to.leave()
    }
  }
  const zero = shaped(Object.fromEntries(parts.map(({ name, codec }) => [name, codec.zero]))) as T
  const at = (bytes: Buffer, place: number) => {
    const out = { ...zero } // has all members, which is faster than to add them one by one
    into(out as object, bytes, place)
    return out
  }
  return {
    size,
    zero,
    at,
    put,
    into,
    read(bytes, start, end) {
      if (end - start < size) throw malformed(`${end - start} bytes where ${size} are needed`)
      return at(bytes, start)
    },
    write(to, value) {
      put(to, to.reserve(size), value)
    },
  }
}
