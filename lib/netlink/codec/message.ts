import type { Attributes } from './attributes.js'
import { type Inside, malformed } from './codec.js'
import { u16At, u32At } from './scalars.js'
import { type Struct, shaped } from './struct.js'
import { aligned, Writer } from './writer.js'

/** Length of struct nlmsghdr: length, type, flags, number, sender. netlink(7) */
export const MESSAGE_HEADER = 16

/** Flags of a message. netlink(7), linux/netlink.h */
export const messageFlags = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  ECHO: 0x8,
  /** What was dumped has changed meanwhile. */
  DUMP_INTERRUPTED: 0x10,
  DUMP: 0x300,
  /** Instead of what there is. */
  REPLACE: 0x100,
  /** Fails when there is one. */
  EXCLUSIVE: 0x200,
  /** Makes what there is not. */
  CREATE: 0x400,
  /** Behind what there is. */
  APPEND: 0x800,
  /** Of an error: the request does not follow in it. */
  CAPPED: 0x100,
  /** Of an error: attributes follow in it. */
  ERROR_ATTRIBUTES: 0x200,
} as const

/** What a kind of message consists of: a struct of fixed length, and attributes. */
export interface Format<T> {
  /** The body of a message, without its header. */
  read(bytes: Buffer, start: number, end: number): T
  write(to: Writer, value: T): void
  /** By which an error finds the name of an attribute; `start` is where the header begins. */
  readonly inside: Inside
}

/** Describes a kind of message. The names of the struct's members and of the attributes are different ones. */
export function format<H, A>(header: Struct<H>, attributes: Attributes<A>): Format<Partial<H> & A>
export function format<H, A>(header: Struct<H>, attributes: Attributes<A>): Format<Partial<H> & A> {
  const size = aligned(header.size)
  const empty = shaped<object>({ ...(header.zero as object), ...attributes.empty })
  const members = new Set(Object.keys(header.zero as object))
  return {
    read(bytes, start, end) {
      const out = { ...empty }
      if (end - start < header.size)
        throw malformed(`${end - start} bytes where ${header.size} are needed`)
      header.into(out as object, bytes, start)
      if (end - start > size) attributes.into(out as object, bytes, start + size, end)
      return out as unknown as H & A
    },
    write(to, value) {
      header.write(to, value)
      to.align()
      attributes.writeBut(to, value, members)
    },
    inside: {
      nameOf: attributes.inside.nameOf,
      fieldAt: (bytes, start, end, offset) =>
        attributes.inside.fieldAt(bytes, start + MESSAGE_HEADER + size, end, offset),
    },
  }
}

/** A message that is ready to be sent, but for its number. */
export interface Message {
  /** The kernel's name of its type, as `RTM_NEWLINK`: errors call it so. */
  readonly name: string
  /** All of it, its header too. */
  readonly bytes: Buffer
  readonly inside: Inside
}

/**
 * A message for the kernel; `flags` besides `REQUEST`.
 *
 * @param option What errors call the value: a field is `${option}.mtu`.
 * @throws CofferdamError `ERR_INVALID_OPTION` naming the field that can't be written.
 */
export function message<T>(
  name: string,
  type: number,
  flags: number,
  body: Format<T>,
  value: T,
  option = '',
): Message {
  const to = new Writer()
  to.enter(option)
  to.reserve(MESSAGE_HEADER)
  body.write(to, value)
  const bytes = to.finish()
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(flags | messageFlags.REQUEST, 6)
  return { name, bytes, inside: body.inside }
}

/** The header of a message that was received. */
export interface Received {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** Where its body begins, and where it ends. */
  readonly start: number
  readonly end: number
}

/**
 * Calls `each` for the messages that were received one after the other.
 *
 * @throws CofferdamError `ERR_MALFORMED` when their lengths can't be right.
 */
export function eachMessage(bytes: Buffer, each: (received: Received) => void): void {
  for (let at = 0; at < bytes.length; ) {
    const left = bytes.length - at
    const length = left < MESSAGE_HEADER ? 0 : u32At(bytes, at)
    if (length < MESSAGE_HEADER || length > left)
      throw malformed(`${length} bytes where there are ${left}`)
    each({
      type: u16At(bytes, at + 4),
      flags: u16At(bytes, at + 6),
      sequence: u32At(bytes, at + 8),
      start: at + MESSAGE_HEADER,
      end: at + length,
    })
    at += aligned(length)
  }
}
