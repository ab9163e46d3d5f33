import type { Verdict } from '../data.js'
import { type DataType, type TypeName, typeNamed } from '../datatypes.js'
import type { ElementOptions, VerdictText } from '../elements.js'
import type { Expression } from '../expressions/index.js'
import type { Key } from '../keys.js'
import type { RuleContext, Statement } from '../rules.js'

/** Where a field comes from, and where it goes. */
export interface FieldSource {
  readonly type: TypeName
  /** What must be true of a packet for it to have the field. */
  readonly needs?: (rule: RuleContext) => Expression[]
  readonly load: (dreg: number) => Expression
  readonly store?: (sreg: number) => Expression
}

/** Verdicts by the keys that lead to them: `[[80, 'accept'], [22, 'jump ssh']]`. */
export type VerdictEntries = readonly (readonly [key: Key, verdict: VerdictText | Verdict])[]

/** How elements are put into a set by a rule. */
export interface AddToOptions {
  /** Milliseconds until it goes. */
  timeout?: number
  /** One that is there already is to stay so long from now on. */
  update?: boolean
  /** What each element has of its own, such as a limit. */
  each?: readonly Expression[]
}

/** Registers of four bytes each, as they are numbered: the first of a key is 1, the others go on from 9. */
const registerAt = (word: number) => (word % 4 === 0 ? 1 + word / 4 : 8 + word)
const words = (size: number) => Math.ceil(size / 4)

/** What looks a key up, of one field or several. */
export class Lookup {
  readonly #fields: readonly FieldSource[]

  constructor(fields: readonly FieldSource[]) {
    this.#fields = fields
  }

  get #type(): TypeName | TypeName[] {
    const types = this.#fields.map(({ type }) => type)
    return types.length === 1 ? (types[0] as TypeName) : types
  }

  /** The expressions that put the key into register 1 and those behind it. */
  #load(rule: RuleContext, swap = false): Expression[] {
    const needed = this.#fields.flatMap(field => field.needs?.(rule) ?? [])
    let word = 0
    const loads = this.#fields.map(field => {
      const load = field.load(registerAt(word))
      word += words(typeNamed('type', field.type).size)
      return load
    })
    return [...needed, ...loads, ...(swap ? this.#toNetwork() : [])]
  }

  /** Intervals are compared byte by byte, so that numbers must be of the network's order. */
  #toNetwork(): Expression[] {
    const [field] = this.#fields
    const type = field === undefined ? undefined : typeNamed('type', field.type)
    if (type === undefined || this.#fields.length !== 1 || !swapped(type)) return []
    const { size } = type
    return [{ kind: 'byteorder', sreg: 1, dreg: 1, op: 'toNetwork', length: size, size }]
  }

  /** Equivalent to: `… @name` */
  in(set: string): Statement {
    return rule => [...this.#load(rule), { kind: 'lookup', set, sreg: 1 }]
  }

  /** Equivalent to: `… != @name` */
  notIn(set: string): Statement {
    return rule => [...this.#load(rule), { kind: 'lookup', set, sreg: 1, flags: ['inverted'] }]
  }

  /** One of these, of a set that is the rule's own. Equivalent to: `… { 22, 80 }` */
  oneOf(keys: readonly Key[], inverted = false): Statement {
    const elements = keys.map(key => ({ key }))
    return rule => {
      const { made, interval } = this.#anonymous(rule, elements)
      const flags = inverted ? { flags: ['inverted' as const] } : {}
      return [...this.#load(rule, interval), { kind: 'lookup', ...made, sreg: 1, ...flags }]
    }
  }

  /**
   * What becomes of the packet, by a map of verdicts: one that there is, or the rule's own.
   * Equivalent to: `… vmap @name`, `… vmap { 22 : accept, 80 : jump web }`
   */
  verdict(map: string | VerdictEntries): Statement {
    return rule => {
      if (typeof map === 'string')
        return [...this.#load(rule), { kind: 'lookup', set: map, sreg: 1, dreg: 0 }]
      const elements = map.map(([key, verdict]) => ({ key, verdict }))
      const { made, interval } = this.#anonymous(rule, elements, 'verdict')
      return [...this.#load(rule, interval), { kind: 'lookup', ...made, sreg: 1, dreg: 0 }]
    }
  }

  /** Puts what the packet has into a set. Equivalent to: `add @name { … }` */
  addTo(set: string, options: AddToOptions = {}): Statement {
    const { timeout, each = [] } = options
    return rule => [
      ...this.#load(rule),
      {
        kind: 'dynset',
        set,
        sregKey: 1,
        op: options.update === true ? 'update' : 'add',
        ...(timeout === undefined ? {} : { timeout: BigInt(timeout) }),
        ...(each.length === 1 ? { expression: each[0] } : {}),
        ...(each.length > 1 ? { expressions: each, flags: ['expression' as const] } : {}),
      },
    ]
  }

  #anonymous(rule: RuleContext, elements: readonly ElementOptions[], map?: 'verdict') {
    const interval = elements.some(({ key }) => hasRange(key))
    const options = {
      type: this.#type,
      ...(interval ? { interval } : {}),
      ...(map === undefined ? {} : { map }),
    }
    return { made: rule.anonymousSet(options, elements), interval }
  }
}

export function hasRange(key: Key): boolean {
  if (Array.isArray(key)) return key.some(part => hasRange(part))
  if (key instanceof Uint8Array) return false
  return typeof key === 'object' || (typeof key === 'string' && /[:.].*\/\d+$/.test(key))
}

export const swapped = (type: DataType) =>
  type.order === 'host' && type.text === undefined && type.size > 1
