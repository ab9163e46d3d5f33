import type { Received } from '../codec/index.js'
import type { NetlinkSocket } from '../socket.js'
import { type Chain, chainFormat, chainOf } from './chains.js'
import { type Element, ElementLayout, elementsFormat, type WireElement } from './elements.js'
import { listers } from './listing.js'
import { type Family, messages, NFNL_SUBSYS_NFTABLES } from './names.js'
import { type NamedObject, objectFormat, objectOf } from './objects.js'
import { type Rule, ruleFormat, ruleOf } from './rules.js'
import { type NamedSet, type SetOptions, setFormat, setOf } from './sets.js'
import { type Table, tableFormat, tableOf } from './tables.js'
import { familyName, generationFormat } from './wire.js'

/** Something has come or gone. */
export type EventOf<K extends string, T> = {
  readonly kind: K
  readonly event: 'new' | 'deleted'
} & { readonly [P in K]: T }

/** The elements that came or went, and the set that they are of. */
export interface ElementsEvent {
  readonly kind: 'elements'
  readonly event: 'new' | 'deleted'
  readonly family: Family
  readonly table: string
  readonly set: string
  readonly elements: readonly Element[]
}

/** The end of a batch: all before it since the last one took effect together. */
export interface GenerationEvent {
  readonly kind: 'generation'
  readonly generation: number
  /** Of who made the change. */
  readonly pid: number
  readonly process: string
}

/** What {@link Nftables.monitor} tells of. */
export type NftablesEvent =
  | EventOf<'table', Table>
  | EventOf<'chain', Chain>
  | EventOf<'rule', Rule>
  | EventOf<'set', NamedSet>
  | EventOf<'object', NamedObject>
  | ElementsEvent
  | GenerationEvent

const nameOf = (family: string, table: string, set: string) => `${family} ${table} ${set}`

/** Reads what the kernel tells of. It has to know the sets to make sense of their elements. */
export class EventReader {
  readonly #sets = new Map<string, SetOptions>()
  /** Of intervals, whose beginning and end are told one after the other. */
  readonly #halves = new Map<string, readonly WireElement[]>()

  static async open(socket: NetlinkSocket): Promise<EventReader> {
    const reader = new EventReader()
    for (const set of await listers.set(socket, {})) reader.learn(set)
    return reader
  }

  learn(set: SetOptions): void {
    this.#sets.set(nameOf(set.family, set.table, set.name), set)
  }

  readonly read = (bytes: Buffer, { type, start, end }: Received): NftablesEvent | undefined => {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined
    const number = type & 0xff
    const event = isDeletion(number) ? 'deleted' : 'new'
    switch (number) {
      case messages.NFT_MSG_NEWTABLE:
      case messages.NFT_MSG_DELTABLE:
        return { kind: 'table', event, table: tableOf(tableFormat.read(bytes, start, end)) }
      case messages.NFT_MSG_NEWCHAIN:
      case messages.NFT_MSG_DELCHAIN:
        return { kind: 'chain', event, chain: chainOf(chainFormat.read(bytes, start, end)) }
      case messages.NFT_MSG_NEWRULE:
      case messages.NFT_MSG_DELRULE:
        return { kind: 'rule', event, rule: ruleOf(ruleFormat.read(bytes, start, end)) }
      case messages.NFT_MSG_NEWOBJ:
      case messages.NFT_MSG_DELOBJ:
        return { kind: 'object', event, object: objectOf(objectFormat.read(bytes, start, end)) }
      case messages.NFT_MSG_NEWSET:
      case messages.NFT_MSG_DELSET: {
        const set = setOf(setFormat.read(bytes, start, end))
        if (event === 'new') this.learn(set)
        return { kind: 'set', event, set }
      }
      case messages.NFT_MSG_NEWSETELEM:
      case messages.NFT_MSG_DELSETELEM:
        return this.#elements(event, elementsFormat.read(bytes, start, end))
      case messages.NFT_MSG_NEWGEN: {
        const found = generationFormat.read(bytes, start, end)
        const { generation = 0, pid = 0, process = '' } = found
        this.#halves.clear()
        return { kind: 'generation', generation, pid, process }
      }
    }
    return undefined
  }

  #elements(
    event: 'new' | 'deleted',
    found: ReturnType<typeof elementsFormat.read>,
  ): ElementsEvent | undefined {
    const { table = '', set = '', elements = [] } = found
    const family = familyName(found.family)
    const known = this.#sets.get(nameOf(family, table, set)) ?? unknownSet(family, table, set)
    const layout = new ElementLayout(known)
    let wire = elements as readonly WireElement[]
    if (layout.pairs) {
      const place = `${event} ${nameOf(family, table, set)}`
      wire = [...(this.#halves.get(place) ?? []), ...wire]
      this.#halves.set(place, wire)
      if (!isWhole(wire)) return undefined
      this.#halves.delete(place)
    }
    return { kind: 'elements', event, family, table, set, elements: layout.decode(wire) }
  }
}

/** Whether each interval that begins has its end. */
function isWhole(elements: readonly WireElement[]): boolean {
  const ends = elements.filter(({ flags }) => flags?.includes('end') === true)
  const starts = elements.length - ends.length
  // An end at zero is no interval's: nft(8) puts it before the first one.
  const real = ends.filter(({ key }) => key?.some(byte => byte !== 0) === true)
  return starts > 0 && real.length >= starts
}

/** Of a set that went before it could be asked about: its keys are told as bytes. */
function unknownSet(family: Family, table: string, name: string): SetOptions {
  return { family, table, name, type: 0 }
}

function isDeletion(number: number): boolean {
  return (
    number === messages.NFT_MSG_DELTABLE ||
    number === messages.NFT_MSG_DELCHAIN ||
    number === messages.NFT_MSG_DELRULE ||
    number === messages.NFT_MSG_DELSET ||
    number === messages.NFT_MSG_DELSETELEM ||
    number === messages.NFT_MSG_DELOBJ
  )
}
