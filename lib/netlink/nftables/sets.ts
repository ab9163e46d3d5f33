import { type Duration, invalidOption, onlyKeys, parseDuration, show } from '../../base/index.js'
import {
  attribute,
  attributes,
  be32,
  be64,
  bytes,
  flagSet,
  list,
  oneOf,
  text,
} from '../codec/index.js'
import { checkComment, checkName, checkPlace } from './checks.js'
import { type Expression, expressionCodec, expressionsCodec } from './expressions/index.js'
import { objectTypes } from './expressions/sets.js'
import { type KeyLayout, type KeyType, keyTypeOf, layoutOf } from './keys.js'
import type { Family } from './names.js'
import type { ObjectType } from './objects.js'
import { orderUserdata, readUserdata, udata, writeUserdata } from './userdata.js'
import { familyName, nfFormat } from './wire.js'

/** enum nft_set_flags, those that options do not stand for. */
const setFlags = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  dynamic: 0x20,
  object: 0x40,
  concatenated: 0x80,
  expressions: 0x100,
} as const

/** Data of a map's elements: verdicts, objects of a kind, or values. */
export type MapType = 'verdict' | { readonly object: ObjectType } | KeyType

/** A set, or with `map` a map. */
export interface SetOptions {
  family: Family
  table: string
  name: string
  /** Of its keys; a list of types is a concatenation. */
  type: KeyType
  /** Bytes of a key, where its type does not say so: `integer`, `string`. */
  keyLength?: number
  map?: MapType
  dataLength?: number
  /** Bytes of each part of a concatenation with ranges, where their types do not say so. */
  fieldLengths?: readonly number[]
  /** Keys may be ranges. */
  interval?: boolean
  /** Never changed once it is used. */
  constant?: boolean
  /** Rules may add to it. */
  dynamic?: boolean
  /** Lives as long as the rule that uses it. */
  anonymous?: boolean
  /** Elements go after a while: `true`, or how long (milliseconds, or `'10m'`) where they do not say it. */
  timeout?: Duration | boolean
  /** How often the kernel looks for those that have gone. Milliseconds, or `'10s'`. */
  gcInterval?: Duration
  /** At most so many elements. */
  size?: number
  policy?: 'performance' | 'memory'
  /** What each element has of its own, such as a counter. */
  expressions?: readonly Expression[]
  comment?: string
  userdata?: Uint8Array
}

/** A set as the kernel has it. */
export interface NamedSet extends Readonly<SetOptions> {
  readonly handle: bigint
  readonly timeout?: number | true
  readonly gcInterval?: number
}

const description = attributes({
  size: attribute('NFTA_SET_DESC_SIZE', 1, be32),
  fields: attribute(
    'NFTA_SET_DESC_CONCAT',
    2,
    list(attributes({ length: attribute('NFTA_SET_FIELD_LEN', 1, be32) }), 1),
  ),
})

export const setFormat = nfFormat(
  attributes({
    table: attribute('NFTA_SET_TABLE', 1, text(256)),
    name: attribute('NFTA_SET_NAME', 2, text(256)),
    flags: attribute('NFTA_SET_FLAGS', 3, flagSet(setFlags, be32)),
    keyType: attribute('NFTA_SET_KEY_TYPE', 4, be32),
    keyLength: attribute('NFTA_SET_KEY_LEN', 5, be32),
    dataType: attribute('NFTA_SET_DATA_TYPE', 6, be32),
    dataLength: attribute('NFTA_SET_DATA_LEN', 7, be32),
    policy: attribute('NFTA_SET_POLICY', 8, oneOf({ performance: 0, memory: 1 }, be32)),
    description: attribute('NFTA_SET_DESC', 9, description),
    id: attribute('NFTA_SET_ID', 10, be32),
    timeout: attribute('NFTA_SET_TIMEOUT', 11, be64),
    gcInterval: attribute('NFTA_SET_GC_INTERVAL', 12, be32),
    userdata: attribute('NFTA_SET_USERDATA', 13, bytes),
    objectType: attribute('NFTA_SET_OBJ_TYPE', 15, oneOf(objectTypes, be32)),
    handle: attribute('NFTA_SET_HANDLE', 16, be64),
    expression: attribute('NFTA_SET_EXPR', 17, expressionCodec),
    expressions: attribute('NFTA_SET_EXPRESSIONS', 18, expressionsCodec),
  }),
)

const VERDICT = 0xffffff00
const VALUE_KEYS = ['size', 'policy', 'expressions', 'comment', 'userdata', 'handle'] as const
const KEYS = [
  ...['family', 'table', 'name', 'type', 'keyLength', 'map', 'dataLength', 'fieldLengths'],
  ...['interval', 'constant'],
  ...['dynamic', 'anonymous', 'timeout', 'gcInterval', ...VALUE_KEYS],
]

/** How the keys of a set stand in messages. */
export function keyLayout(option: string, set: SetOptions): KeyLayout {
  return layoutOf(`${option}.type`, set.type, set.interval === true, set.keyLength)
}

/** How the values of a map stand in messages; undefined where there are none. */
export function dataLayout(option: string, set: SetOptions): KeyLayout | undefined {
  const { map } = set
  if (map === undefined || map === 'verdict' || isObject(map)) return undefined
  return layoutOf(`${option}.map`, map, false, set.dataLength)
}

function isObject(map: MapType | undefined): map is { readonly object: ObjectType } {
  return typeof map === 'object' && !Array.isArray(map)
}

export function setBody(option: string, options: SetOptions, id: number) {
  onlyKeys(option, options, KEYS)
  checkPlace(option, options)
  checkName(`${option}.name`, options.name)
  checkComment(option, options.comment)
  const { map, expressions = [], size, timeout } = options
  const key = keyLayout(option, options)
  const data = dataLayout(option, options)
  const fields =
    key.concatenated && options.interval === true
      ? (options.fieldLengths ?? key.parts.map(({ size }) => size)).map(length => ({ length }))
      : undefined
  const rest =
    options.userdata ?? orderUserdata(orderOf(key), data === undefined ? undefined : orderOf(data))
  return {
    table: options.table,
    name: options.name,
    flags: flagsOf(options, key.concatenated),
    keyType: key.id,
    keyLength: key.length,
    ...(map === 'verdict' ? { dataType: VERDICT, dataLength: 16 } : {}),
    ...(isObject(map) ? { objectType: map.object } : {}),
    ...(data === undefined ? {} : { dataType: data.id, dataLength: data.length }),
    policy: options.policy,
    ...(size === undefined && fields === undefined ? {} : { description: { size, fields } }),
    id,
    ...(timeout === undefined || typeof timeout === 'boolean'
      ? {}
      : { timeout: BigInt(parseDuration(`${option}.timeout`, timeout)) }),
    ...(options.gcInterval === undefined
      ? {}
      : { gcInterval: parseDuration(`${option}.gcInterval`, options.gcInterval) }),
    userdata: writeUserdata(options.comment, rest, udata.setComment),
    ...(expressions.length === 1 ? { expression: expressions[0] } : {}),
    ...(expressions.length > 1 ? { expressions } : {}),
  }
}

/** What nft(8) is told of the order of bytes; that of the first part, as it does. */
function orderOf({ parts, concatenated }: KeyLayout): 'host' | 'big' {
  return concatenated ? 'big' : (parts[0]?.order ?? 'big')
}

function flagsOf(options: SetOptions, concatenated: boolean): (keyof typeof setFlags)[] {
  const flags: (keyof typeof setFlags)[] = []
  const { map, interval, timeout } = options
  for (const name of ['anonymous', 'constant', 'dynamic'] as const)
    if (flag(name, options[name])) flags.push(name)
  if (flag('interval', interval))
    flags.push('interval', ...(concatenated ? ['concatenated' as const] : []))
  if (timeout !== undefined && timeout !== false) flags.push('timeout')
  if (isObject(map)) flags.push('object')
  else if (map !== undefined) flags.push('map')
  if ((options.expressions?.length ?? 0) > 0) flags.push('expressions')
  return flags
}

function flag(option: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== 'boolean')
    throw invalidOption(option, `${show(value)} is not true or false`)
  return value === true
}

export function setOf(found: ReturnType<typeof setFormat.read>): NamedSet {
  const { table = '', name = '', flags = [], keyType = 0, keyLength = 0, handle = 0n } = found
  const has = (wanted: keyof typeof setFlags) => flags.includes(wanted)
  const type = usable(keyTypeOf(keyType), keyType, keyLength)
  const map = mapOf(found)
  const expressions =
    found.expressions ?? (found.expression === undefined ? undefined : [found.expression])
  const { size, fields = [] } = found.description ?? {}
  return {
    family: familyName(found.family),
    table,
    name,
    handle,
    type,
    ...(sized(type, keyLength) ? {} : { keyLength }),
    ...(fields.length === 0 || sized(type, keyLength)
      ? {}
      : { fieldLengths: fields.map(({ length = 0 }) => length) }),
    ...(map === undefined ? {} : { map }),
    ...(map === undefined ||
    found.dataLength === undefined ||
    map === 'verdict' ||
    sized(map, found.dataLength)
      ? {}
      : { dataLength: found.dataLength }),
    ...(has('interval') ? { interval: true } : {}),
    ...(has('constant') ? { constant: true } : {}),
    ...(has('dynamic') ? { dynamic: true } : {}),
    ...(has('anonymous') ? { anonymous: true } : {}),
    ...(has('timeout')
      ? { timeout: found.timeout === undefined ? true : Number(found.timeout) }
      : {}),
    ...(found.gcInterval === undefined ? {} : { gcInterval: found.gcInterval }),
    ...(size === undefined || size === 0 ? {} : { size }),
    ...(found.policy === 'memory' ? { policy: 'memory' as const } : {}),
    ...(expressions === undefined ? {} : { expressions }),
    ...readUserdata(found.userdata, udata.setComment),
  }
}

function mapOf(found: ReturnType<typeof setFormat.read>): MapType | undefined {
  const { flags = [], dataType = 0, dataLength = 0, objectType } = found
  if (flags.includes('object')) {
    // A kind of object that has no name here is one that nothing can be said of.
    return { object: (objectType ?? 'counter') as ObjectType }
  }
  if (!flags.includes('map')) return undefined
  return dataType === VERDICT ? 'verdict' : usable(keyTypeOf(dataType), dataType, dataLength)
}

function sized(type: MapType, length: number): boolean {
  if (type === 'verdict' || isObject(type)) return true
  try {
    return layoutOf('', type, false).length === length
  } catch {
    return false
  }
}

/** The number where the names say something else than the kernel's length. */
function usable(type: KeyType, id: number, length: number): KeyType {
  try {
    return layoutOf('', type, false, Array.isArray(type) ? undefined : length).length === length
      ? type
      : id
  } catch {
    return Array.isArray(type) ? type : id
  }
}
