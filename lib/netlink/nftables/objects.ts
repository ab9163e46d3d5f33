import { invalidOption, onlyKeys, show } from '../../base/index.js'
import {
  attribute,
  attributes,
  be32,
  be64,
  bytes,
  type Codec,
  oneOf,
  text,
  Writer,
} from '../codec/index.js'
import { checkComment, checkName, checkPlace } from './checks.js'
import { type Expression, objectCodecs } from './expressions/index.js'
import { objectTypes } from './expressions/sets.js'
import type { Family } from './names.js'
import { readUserdata, writeUserdata } from './userdata.js'
import { familyName, nfFormat } from './wire.js'

/** Kinds of objects whose values are described. */
export type ObjectType = keyof typeof objectTypes

/** What an object of a kind holds: as the expression of that name. */
export type ObjectState<K extends string> = Omit<Extract<Expression, { kind: K }>, 'kind'>

/** An object of a table's, with a name: rules refer to it, and share its state. */
export interface ObjectOptions {
  family: Family
  table: string
  name: string
  type: ObjectType | number
  /** Of `type: 'counter'`; what it starts with, and what it has come to. */
  counter?: ObjectState<'counter'>
  quota?: ObjectState<'quota'>
  limit?: ObjectState<'limit'>
  connlimit?: ObjectState<'connlimit'>
  synproxy?: ObjectState<'synproxy'>
  /** Of another type: its attributes as they are. */
  data?: Uint8Array
  comment?: string
  userdata?: Uint8Array
}

/** An object as the kernel has it. */
export interface NamedObject extends Readonly<ObjectOptions> {
  readonly handle: bigint
  /** So many rules and elements refer to it. */
  readonly use: number
}

export const objectFormat = nfFormat(
  attributes({
    table: attribute('NFTA_OBJ_TABLE', 1, text(256)),
    name: attribute('NFTA_OBJ_NAME', 2, text(256)),
    type: attribute('NFTA_OBJ_TYPE', 3, oneOf(objectTypes, be32)),
    data: attribute('NFTA_OBJ_DATA', 4, nested(bytes)),
    use: attribute('NFTA_OBJ_USE', 5, be32),
    handle: attribute('NFTA_OBJ_HANDLE', 6, be64),
    userdata: attribute('NFTA_OBJ_USERDATA', 8, bytes),
  }),
)

/** Bytes that are attributes, which the kernel wants to be told. */
function nested(codec: Codec<Uint8Array>): Codec<Uint8Array> {
  return { ...codec, inside: { nameOf: () => undefined, fieldAt: () => [] } }
}

const KEYS = ['family', 'table', 'name', 'type', 'data', 'comment', 'userdata', 'handle', 'use']
const stateful = Object.keys(objectCodecs) as (keyof typeof objectCodecs)[]

export function objectBody(option: string, options: ObjectOptions) {
  onlyKeys(option, options, [...KEYS, ...stateful])
  checkPlace(option, options)
  checkName(`${option}.name`, options.name)
  checkComment(option, options.comment)
  const { table, name, type, data } = options
  for (const key of stateful)
    if (key !== type && options[key] !== undefined)
      throw invalidOption(`${option}.${key}`, `is not for an object of type ${show(type)}`)
  const body = { table, name, type, userdata: writeUserdata(options.comment, options.userdata) }
  if (data !== undefined) return { ...body, data }
  const key = stateful.find(known => known === type)
  if (key === undefined) throw invalidOption(`${option}.data`, `is needed for type ${show(type)}`)
  const to = new Writer()
  to.enter(`${option}.${key}`)
  const codec: Codec<object> = objectCodecs[key]
  codec.write(to, { ...(key === 'counter' ? { bytes: 0n, packets: 0n } : {}), ...options[key] })
  return { ...body, data: Uint8Array.from(to.finish()) }
}

export function objectOf(found: ReturnType<typeof objectFormat.read>): NamedObject {
  const { table = '', name = '', type = 0, data = new Uint8Array(), handle = 0n, use = 0 } = found
  const key = stateful.find(known => known === type)
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.length)
  return {
    family: familyName(found.family),
    table,
    name,
    type,
    handle,
    use,
    ...(key === undefined ? { data } : { [key]: objectCodecs[key].read(buffer, 0, buffer.length) }),
    ...readUserdata(found.userdata),
  }
}
