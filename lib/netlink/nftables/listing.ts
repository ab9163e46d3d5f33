import { setTimeout } from 'node:timers/promises'
import { CofferdamError } from '../../base/index.js'
import type { NetlinkSocket } from '../socket.js'
import { type Chain, chainFormat, chainOf } from './chains.js'
import { type Element, ElementLayout, elementsFormat, type WireElement } from './elements.js'
import type { Family } from './names.js'
import { type NamedObject, objectFormat, objectOf } from './objects.js'
import { type Rule, ruleFormat, ruleOf } from './rules.js'
import { type NamedSet, setFormat, setOf } from './sets.js'
import { type Table, tableFormat, tableOf } from './tables.js'
import { nfMessage } from './wire.js'

/** What there is, by its name, for `list()`. */
export interface Listed {
  table: Table
  chain: Chain
  rule: Rule
  set: NamedSet
  object: NamedObject
}

/** Which of them; what is left out is not looked at. */
export interface ListFilter {
  family?: Family
  table?: string
  /** Of rules. */
  chain?: string
  /** Of tables, chains, sets, objects. */
  name?: string
}

/** All there is of a table, or in a namespace. */
export interface Ruleset {
  /** The generation that it is of: the number of changes, more or less. */
  readonly generation: number
  readonly tables: readonly Table[]
  readonly chains: readonly Chain[]
  readonly rules: readonly Rule[]
  readonly sets: readonly { readonly set: NamedSet; readonly elements: readonly Element[] }[]
  readonly objects: readonly NamedObject[]
}

type Lister<T> = (socket: NetlinkSocket, filter: ListFilter) => Promise<T[]>

function wanted<T extends { family: Family; table?: string; name?: string }>(
  filter: ListFilter,
): (one: T) => T | undefined {
  return one =>
    (filter.family === undefined || one.family === filter.family) &&
    (filter.table === undefined || (one.table ?? one.name) === filter.table) &&
    (filter.name === undefined || one.name === filter.name)
      ? one
      : undefined
}

/** How each is asked for. */
export const listers: { [K in keyof Listed]: Lister<Listed[K]> } = {
  table: (socket, filter) => {
    const request = nfMessage('NFT_MSG_GETTABLE', filter.family ?? 'unspec', 0, tableFormat, {})
    const pick = wanted<Table>(filter)
    return socket.dump(request, tableFormat, found => pick(tableOf(found)))
  },
  chain: (socket, filter) => {
    const request = nfMessage('NFT_MSG_GETCHAIN', filter.family ?? 'unspec', 0, chainFormat, {})
    const pick = wanted<Chain>(filter)
    return socket.dump(request, chainFormat, found => pick(chainOf(found)))
  },
  rule: (socket, { family, table, chain }) => {
    const request = nfMessage('NFT_MSG_GETRULE', family ?? 'unspec', 0, ruleFormat, {
      table,
      chain,
    })
    return socket.dump(request, ruleFormat, found => {
      const rule = ruleOf(found)
      const is = (value: string | undefined, what: string) => value === undefined || value === what
      return is(table, rule.table) && is(chain, rule.chain) ? rule : undefined
    })
  },
  set: (socket, filter) => {
    const request = nfMessage('NFT_MSG_GETSET', filter.family ?? 'unspec', 0, setFormat, {})
    const pick = wanted<NamedSet>(filter)
    return socket.dump(request, setFormat, found => pick(setOf(found)))
  },
  object: (socket, filter) => {
    const request = nfMessage('NFT_MSG_GETOBJ', filter.family ?? 'unspec', 0, objectFormat, {})
    const pick = wanted<NamedObject>(filter)
    return socket.dump(request, objectFormat, found => pick(objectOf(found)))
  },
}

/** So often, and so many milliseconds apart, elements are asked for again whose order was changed. */
const TRIES = 50
const PAUSE = 10

/**
 * The elements of a set. When one has grown the kernel spreads its elements anew, and if it does
 * so while it lists them it leaves some out, tells of others twice, and says nothing of it.
 */
export async function listElements(socket: NetlinkSocket, set: NamedSet): Promise<Element[]> {
  const { family, table, name } = set
  const request = nfMessage('NFT_MSG_GETSETELEM', family, 0, elementsFormat, { table, set: name })
  for (let left = TRIES; left > 0; left--) {
    const found: WireElement[] = []
    await socket.dump(request, elementsFormat, ({ elements = [] }) => {
      found.push(...(elements as readonly WireElement[]))
      return undefined
    })
    if (!anyTwice(found)) return new ElementLayout(set).decode(found)
    await setTimeout(PAUSE)
  }
  throw new CofferdamError(`the elements of ${name} changed while they were read, ${TRIES} times`, {
    code: 'ERR_INTERRUPTED',
    operation: 'NFT_MSG_GETSETELEM',
  })
}

function anyTwice(elements: readonly WireElement[]): boolean {
  const seen = new Set<string>()
  for (const { key, flags } of elements)
    if (key !== undefined)
      seen.add(`${flags === undefined ? '' : flags}${String.fromCharCode(...key)}`)
  const keyless = elements.reduce((count, { key }) => (key === undefined ? count + 1 : count), 0)
  return seen.size + keyless !== elements.length
}
