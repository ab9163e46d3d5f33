import { Reader } from './read.js'
import { ProtocolError, Variant } from './signature.js'
import { Writer } from './write.js'

// One message: a header of 12 bytes, its fields, and the body at a multiple of 8.

export const MessageType = { call: 1, reply: 2, error: 3, signal: 4 } as const

/** Codes of header fields. */
const FIELDS = {
  1: 'path',
  2: 'interface',
  3: 'member',
  4: 'errorName',
  5: 'replySerial',
  6: 'destination',
  7: 'sender',
  8: 'signature',
} as const

type FieldName = (typeof FIELDS)[keyof typeof FIELDS]

const FIELD_TYPES: Record<FieldName, string> = {
  path: 'o',
  interface: 's',
  member: 's',
  errorName: 's',
  replySerial: 'u',
  destination: 's',
  sender: 's',
  signature: 'g',
}

export interface Message {
  type: number
  serial: number
  path?: string
  interface?: string
  member?: string
  errorName?: string
  replySerial?: number
  destination?: string
  sender?: string
  /** Types of the body's values; none: it is empty. */
  signature?: string
  body: readonly unknown[]
}

/**
 * No message of the bus or of systemd is nearly as large; the specification permits 128 MiB,
 * and so do both ends of a bus to whoever asks for it.
 */
export const LARGEST = 1 << 20

const VERSION = 1

export function encodeMessage(message: Message): Buffer {
  const body = new Writer().write(message.signature ?? '', message.body).bytes
  const fields = Object.entries(FIELDS).flatMap(([code, name]) => {
    const value = message[name]
    return value === undefined ? [] : [[Number(code), new Variant(FIELD_TYPES[name], value)]]
  })
  return new Writer()
    .write('yyyyuua(yv)', [
      'l'.charCodeAt(0),
      message.type,
      0,
      VERSION,
      body.length,
      message.serial,
      fields,
    ])
    .align(8)
    .raw(body).bytes
}

/** How long the message is that begins here; undefined when that is not known yet. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < 16) return undefined
  const little = isLittle(bytes)
  const [body, , fields] = [4, 8, 12].map(at =>
    little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at),
  ) as [number, number, number]
  const length = 16 + Math.ceil(fields / 8) * 8 + body
  if (length > LARGEST) throw new ProtocolError(`a message has ${length} bytes`)
  return length
}

function isLittle(bytes: Buffer): boolean {
  const order = String.fromCharCode(bytes[0] as number)
  if (order !== 'l' && order !== 'B') throw new ProtocolError('a message has no byte order')
  return order === 'l'
}

/**
 * What is in the bytes of one message. Header fields that are not known are left out.
 *
 * @throws ProtocolError
 */
export function decodeMessage(bytes: Buffer): Message {
  const little = messageLength(bytes) !== undefined && isLittle(bytes)
  const reader = new Reader(bytes, little)
  const [, type, , version, length, serial, fields] = reader.read('yyyyuua(yv)') as [
    number,
    number,
    number,
    number,
    number,
    number,
    [number, Variant][],
  ]
  if (version !== VERSION) throw new ProtocolError(`there is no version ${version} of messages`)
  const known: Record<string, unknown> = {}
  for (const [code, { signature, value }] of fields) {
    const name = FIELDS[code as keyof typeof FIELDS]
    if (name === undefined) continue
    if (signature !== FIELD_TYPES[name]) throw new ProtocolError(`field ${name} is a ${signature}`)
    known[name] = value
  }
  reader.align(8)
  const begin = reader.at
  const body = reader.read((known.signature as string | undefined) ?? '')
  if (reader.at - begin !== length)
    throw new ProtocolError('a body has not the length that it says')
  return { type, serial, ...known, body }
}
