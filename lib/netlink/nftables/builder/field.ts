import { conflict, invalidOption } from '../../../base/index.js'
import { encodeValue, integerBytes, integerOf, typeNamed, type Value } from '../datatypes.js'
import type { Expression } from '../expressions/index.js'
import { type KeyPart, partBytes } from '../keys.js'
import type { RuleContext, Statement } from '../rules.js'
import { type FieldSource, hasRange, Lookup, swapped } from './lookup.js'

/** A value of a packet that a rule looks at: `tcp.dport`. Called, it must be one of the values. */
export interface Field {
  /**
   * What the packet has must be one of these: values, ranges, addresses with a prefix. Of flags, as
   * in `ct.state('established', 'related')`, any of them must be set.
   */
  (...values: KeyPart[]): Statement
  /** None of these. Equivalent to: `… != …` */
  not(...values: KeyPart[]): Statement
  /** Equivalent to: `… < …` */
  below(value: Value): Statement
  /** Equivalent to: `… > …` */
  above(value: Value): Statement
  /** Of flags: all of `set` are there, and of `within`, no others. Equivalent to: `tcp flags & (syn|ack) == syn` */
  exactly(set: readonly Value[], within: readonly Value[]): Statement
  /** Gives it to the packet. Equivalent to: `… set …` */
  set(value: Value): Statement
  /** Keys of sets and maps: `in('blocked')`, `verdict('by-port')`. */
  readonly in: Lookup['in']
  readonly notIn: Lookup['notIn']
  readonly verdict: Lookup['verdict']
  readonly addTo: Lookup['addTo']
  readonly source: FieldSource
}

/** Describes a field, as those of `tcp` are. */
export function field(source: FieldSource): Field {
  const of = new Lookup([source])
  const is = (values: readonly KeyPart[], inverted: boolean): Statement => {
    const [value] = values
    if (value === undefined) throw invalidOption('a field', 'takes a value')
    if (typeNamed('type', source.type).names !== undefined && isFlags(source))
      return anyFlag(source, values as Value[], inverted)
    if (values.length > 1) return of.oneOf(values, inverted)
    return hasRange(value)
      ? inRange(source, value, inverted)
      : compare(source, inverted ? 'neq' : 'eq', value as Value)
  }
  return Object.assign((...values: KeyPart[]) => is(values, false), {
    not: (...values: KeyPart[]) => is(values, true),
    below: (value: Value) => compare(source, 'lt', value),
    above: (value: Value) => compare(source, 'gt', value),
    exactly: (set: readonly Value[], within: readonly Value[]) => exactly(source, set, within),
    set: (value: Value) => store(source, value),
    in: (set: string) => of.in(set),
    notIn: (set: string) => of.notIn(set),
    verdict: (map: Parameters<Lookup['verdict']>[0]) => of.verdict(map),
    addTo: (...[set, options]: Parameters<Lookup['addTo']>) => of.addTo(set, options),
    source,
  })
}

function isFlags({ type }: FieldSource): boolean {
  return typeNamed('type', type).flags === true
}

const needed = (source: FieldSource, rule: RuleContext) => source.needs?.(rule) ?? []

/** Numbers of the processor's order can be told apart as they are, but not which is greater. */
function compare(source: FieldSource, op: 'eq' | 'neq' | 'lt' | 'gt', value: Value): Statement {
  const type = typeNamed('type', source.type)
  const swap = (op === 'lt' || op === 'gt') && swapped(type)
  const data = encodeValue(source.type, type, value, swap ? 'big' : type.order)
  return rule => [
    ...needed(source, rule),
    source.load(1),
    ...(swap ? [toNetwork(type.size)] : []),
    { kind: 'cmp', sreg: 1, op, data },
  ]
}

function toNetwork(size: number): Expression {
  return { kind: 'byteorder', sreg: 1, dreg: 1, op: 'toNetwork', length: size, size }
}

function inRange(source: FieldSource, value: KeyPart, inverted: boolean): Statement {
  const type = typeNamed('type', source.type)
  const swap = swapped(type)
  const [from, to] = partBytes(source.type, type, value, swap ? 'big' : undefined)
  if (typeof value === 'string') return inPrefix(source, from, to, inverted)
  return rule => [
    ...needed(source, rule),
    source.load(1),
    ...(swap ? [toNetwork(type.size)] : []),
    ...(inverted
      ? [{ kind: 'range' as const, sreg: 1, op: 'neq' as const, from, to }]
      : [
          { kind: 'cmp' as const, sreg: 1, op: 'gte' as const, data: from },
          { kind: 'cmp' as const, sreg: 1, op: 'lte' as const, data: to },
        ]),
  ]
}

/** The bits of a prefix are cut out, and compared. */
function inPrefix(
  source: FieldSource,
  from: Uint8Array,
  to: Uint8Array,
  inverted: boolean,
): Statement {
  const size = from.length
  const differ = integerOf(from) ^ integerOf(to)
  const mask = integerBytes((1n << BigInt(size * 8)) - 1n - differ, size, 'big')
  return rule => [
    ...needed(source, rule),
    source.load(1),
    masked(mask),
    { kind: 'cmp', sreg: 1, op: inverted ? 'neq' : 'eq', data: from },
  ]
}

function masked(mask: Uint8Array): Expression {
  return {
    kind: 'bitwise',
    sreg: 1,
    dreg: 1,
    length: mask.length,
    mask,
    xor: new Uint8Array(mask.length),
    op: 'maskXor',
  }
}

function flagBytes(source: FieldSource, values: readonly Value[]): Uint8Array {
  const type = typeNamed('type', source.type)
  const out = new Uint8Array(type.size)
  for (const value of values)
    for (const [i, byte] of encodeValue(source.type, type, value).entries())
      out[i] = (out[i] as number) | byte
  return out
}

function anyFlag(source: FieldSource, values: readonly Value[], inverted: boolean): Statement {
  const mask = flagBytes(source, values)
  return rule => [
    ...needed(source, rule),
    source.load(1),
    masked(mask),
    { kind: 'cmp', sreg: 1, op: inverted ? 'eq' : 'neq', data: new Uint8Array(mask.length) },
  ]
}

function exactly(source: FieldSource, set: readonly Value[], within: readonly Value[]): Statement {
  if (!isFlags(source)) throw conflict('exactly()', `${source.type} has no flags`)
  const data = flagBytes(source, set)
  const mask = flagBytes(source, [...within, ...set])
  return rule => [
    ...needed(source, rule),
    source.load(1),
    masked(mask),
    { kind: 'cmp', sreg: 1, op: 'eq', data },
  ]
}

function store(source: FieldSource, value: Value): Statement {
  const { store: into } = source
  if (into === undefined) throw conflict('set()', 'this can be looked at only')
  const data = { value: encodeValue(source.type, typeNamed('type', source.type), value) }
  return rule => [...needed(source, rule), { kind: 'immediate', dreg: 1, data }, into(1)]
}

/** Several fields as one key: `concat(ip.saddr, tcp.dport).in('allowed')`. Equivalent to: `ip saddr . tcp dport @allowed` */
export function concat(...fields: Field[]): Lookup {
  if (fields.length < 2) throw invalidOption('concat()', 'takes two fields or more')
  return new Lookup(fields.map(({ source }) => source))
}
