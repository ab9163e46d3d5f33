import { CofferdamError } from '../../base/index.js'
import type { Writer } from './writer.js'

/**
 * How a value stands in a message. It reads whatever bytes there are, which gives a value or
 * throws `ERR_MALFORMED`, and writes what TypeScript lets through, refusing the rest with
 * `ERR_INVALID_OPTION` naming the field.
 */
export interface Codec<T> {
  write(to: Writer, value: T): void
  /** Reads the bytes from `start` to `end`, all of which are there. */
  read(bytes: Buffer, start: number, end: number): T
  /** What stands inside, by which an error finds the name of a field. */
  readonly inside?: Inside
}

/** A part of a message that has parts of its own. */
export interface Inside {
  /** Names of the fields around the byte at `offset`, from the outer to the inner one. */
  fieldAt(bytes: Buffer, start: number, end: number, offset: number): string[]
  /** Name of the attribute with this number. */
  nameOf(type: number): string | undefined
}

/** What a codec is for. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never

/** Bytes that can't be what they are said to be. */
export function malformed(problem: string): CofferdamError {
  return new CofferdamError(`a netlink message: ${problem}`, { code: 'ERR_MALFORMED' })
}
