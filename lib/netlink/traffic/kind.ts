import { invalidOption, keyOption } from '../../base/index.js'
import { type Codec, type Format, Writer } from '../codec/index.js'

/** How the options of one kind of qdisc, class, filter or action stand in a message. */
export interface Kind {
  /** `options` have a `kind`, which has been looked at. */
  write(option: string, options: object): Uint8Array | undefined
  read(bytes: Buffer): object
}

/** Writes a part of a message; what is refused is called `option.field`. */
export function encoded<T>(
  option: string,
  codec: Pick<Codec<T> | Format<T>, 'write'>,
  value: T,
): Uint8Array {
  const to = new Writer()
  to.enter(option)
  codec.write(to, value)
  return to.finish()
}

/** Reads all of the bytes. */
export function decoded<T>(
  codec: { read(bytes: Buffer, start: number, end: number): T },
  bytes: Buffer,
): T {
  return codec.read(bytes, 0, bytes.length)
}

/** A kind whose options are called in the message what they are called here. */
export function plainKind<T>(codec: Codec<T> | Format<T>): Kind {
  return {
    write(option, options) {
      const { kind: _, ...rest } = options as Record<string, unknown>
      return encoded(option, codec as Codec<T>, rest as T)
    },
    read: bytes => decoded<T>(codec as Codec<T>, bytes) as object,
  }
}

/** A kind that has no options. */
export const bareKind: Kind = {
  write(option, options) {
    for (const key of Object.keys(options))
      if (key !== 'kind') throw invalidOption(`${option}.${key}`, 'this kind has no options')
    return undefined
  },
  read: () => ({}),
}

type Kinds = Readonly<Record<string, Kind>>

/** Bytes of options, whose `kind` says how they are written. */
export function writeKind(
  kinds: Kinds,
  option: string,
  options: { kind: string },
): Uint8Array | undefined {
  const { kind } = options
  const known = kinds[keyOption(`${option}.kind`, kind, kinds)] as Kind
  return known.write(option, options)
}

/** Options of a kind; undefined for one that is not known here. */
export function readKind<O>(
  kinds: Kinds,
  kind: string,
  bytes: Uint8Array | undefined,
): O | undefined {
  const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  if (known === undefined) return undefined
  const { buffer, byteOffset, length } = bytes ?? new Uint8Array()
  // Kinds without options have none, and others have none for who may not see them.
  const found = bytes === undefined ? {} : known.read(Buffer.from(buffer, byteOffset, length))
  return { kind, ...found } as O
}
