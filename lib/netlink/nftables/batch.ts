import { invalidOption, onlyKeys, show } from '../../base/index.js'
import { type Message, messageFlags } from '../codec/index.js'
import { type ChainOptions, chainBody, chainFormat } from './chains.js'
import { checkFamily, checkName, checkPlace } from './checks.js'
import { elementMessages } from './element-messages.js'
import { ElementLayout, type ElementOptions, elementsFormat, type WireElement } from './elements.js'
import type { Expression } from './expressions/index.js'
import type { Key } from './keys.js'
import type { Ruleset } from './listing.js'
import type { Family, MessageName } from './names.js'
import { type ObjectOptions, objectBody, objectFormat } from './objects.js'
import {
  type RuleContext,
  type RuleOptions,
  ruleBody,
  ruleFormat,
  type Statement,
} from './rules.js'
import { type SetOptions, setBody, setFormat } from './sets.js'
import { type TableOptions, tableBody, tableFormat } from './tables.js'
import { nfMessage } from './wire.js'

const { CREATE, EXCLUSIVE, APPEND, REPLACE } = messageFlags

/** Elements of a set. The set is given as it was made or listed: what is in it says how its keys are written. */
export interface ElementsOptions {
  set: SetOptions
  elements: readonly (Key | ElementOptions)[]
}

/** What there is, by its name, for `add()`, `create()`. */
export interface Added {
  table: TableOptions
  chain: ChainOptions
  rule: RuleOptions
  set: SetOptions
  elements: ElementsOptions
  object: ObjectOptions
}

/** By what it is found, for `delete()`. */
export interface Deleted {
  table: { family: Family; name: string }
  chain: { family: Family; table: string; name: string }
  rule: { family: Family; table: string; chain: string; handle: bigint }
  set: { family: Family; table: string; name: string }
  elements: ElementsOptions
  object: { family: Family; table: string; name: string; type: ObjectOptions['type'] }
}

/** What can be emptied: all rules of a table or a chain, all elements of a set. */
export interface Flushed {
  table: { family: Family; name: string }
  chain: { family: Family; table: string; name: string }
  set: { family: Family; table: string; name: string }
}

/**
 * Collects changes that are to be made together or not at all. Nothing is sent before all of
 * them have been found good. Each method says what nft(8) calls so.
 */
export class Batch {
  readonly #messages: Message[] = []
  #sets = 0

  /** What has been collected, ready to be sent. */
  get messages(): readonly Message[] {
    return this.#messages
  }

  /**
   * Adds a table, a chain, a set, an object, which may be there already, a rule at the end of its
   * chain, or elements. Equivalent to: `nft add table …`
   *
   * @throws CofferdamError `ERR_INVALID_OPTION` naming what can't be.
   */
  add<K extends keyof Added>(kind: K, options: Added[K]): this {
    return this.#new('add', kind, options, CREATE)
  }

  /** As add(), but refuses what is there already: `EEXIST`. Equivalent to: `nft create table …` */
  create<K extends Exclude<keyof Added, 'rule'>>(kind: K, options: Added[K]): this {
    return this.#new('create', kind, options, CREATE | EXCLUSIVE)
  }

  /** Adds a rule at the beginning of its chain, or before `position`. Equivalent to: `nft insert rule …` */
  insert(options: RuleOptions): this {
    this.#rule('insert', options, CREATE)
    return this
  }

  /** Puts a rule where there is one, which goes. Equivalent to: `nft replace rule … handle …` */
  replace(handle: bigint, options: RuleOptions): this {
    this.#rule('replace', options, REPLACE, handle)
    return this
  }

  /** Deletes what must be there (`ENOENT`), and what is in it. Equivalent to: `nft delete table …` */
  delete<K extends keyof Deleted>(kind: K, which: Deleted[K]): this {
    const option = `delete(${kind})`
    switch (kind) {
      case 'table':
        return this.#named('NFT_MSG_DELTABLE', option, which as Deleted['table'])
      case 'chain':
        return this.#named('NFT_MSG_DELCHAIN', option, which as Deleted['chain'])
      case 'set':
        return this.#named('NFT_MSG_DELSET', option, which as Deleted['set'])
      case 'rule': {
        const { family, table, chain, handle } = which as Deleted['rule']
        checkPlace(option, { family, table })
        checkName(`${option}.chain`, chain)
        if (typeof handle !== 'bigint')
          throw invalidOption(`${option}.handle`, `${show(handle)} is no bigint`)
        return this.#push(
          nfMessage('NFT_MSG_DELRULE', family, 0, ruleFormat, { table, chain, handle }),
        )
      }
      case 'object': {
        const { family, table, name, type } = which as Deleted['object']
        checkPlace(option, { family, table })
        checkName(`${option}.name`, name)
        return this.#push(
          nfMessage('NFT_MSG_DELOBJ', family, 0, objectFormat, { table, name, type }),
        )
      }
      case 'elements':
        this.#elements('NFT_MSG_DELSETELEM', option, which as ElementsOptions, 0)
        return this
    }
    throw unknownKind('delete', kind)
  }

  /** Takes the rules out of a table or a chain, the elements out of a set. Equivalent to: `nft flush chain …` */
  flush<K extends keyof Flushed>(kind: K, which: Flushed[K]): this {
    const { family, name, table } = which as Flushed['chain']
    const option = `flush(${kind})`
    checkFamily(option, family)
    checkName(`${option}.name`, name)
    if (kind === 'table')
      return this.#push(nfMessage('NFT_MSG_DELRULE', family, 0, ruleFormat, { table: name }))
    checkName(`${option}.table`, table)
    if (kind === 'chain')
      return this.#push(nfMessage('NFT_MSG_DELRULE', family, 0, ruleFormat, { table, chain: name }))
    if (kind === 'set')
      return this.#push(
        nfMessage('NFT_MSG_DELSETELEM', family, 0, elementsFormat, { table, set: name }),
      )
    throw unknownKind('flush', kind)
  }

  /** Deletes all tables of all families, or of one. Equivalent to: `nft flush ruleset` */
  flushRuleset(family?: Family): this {
    if (family !== undefined) checkFamily('flushRuleset', family)
    return this.#push(nfMessage('NFT_MSG_DELTABLE', family ?? 'unspec', 0, tableFormat, {}))
  }

  /** Adds a table, and gives a way to add to it without naming it again. */
  table(options: TableOptions): TableBatch {
    this.add('table', options)
    return new TableBatch(this, options)
  }

  /** Adds all that was listed, as it was. Equivalent to: `nft -f` of what `nft list ruleset` printed. */
  addRuleset(ruleset: Ruleset): this {
    for (const table of ruleset.tables) this.add('table', table)
    for (const object of ruleset.objects) this.add('object', object)
    for (const chain of ruleset.chains) this.add('chain', chain)
    for (const { set } of ruleset.sets) this.add('set', set)
    for (const { set, elements } of ruleset.sets)
      if (elements.length > 0) this.add('elements', { set, elements })
    for (const rule of ruleset.rules) this.add('rule', rule)
    return this
  }

  #push(message: Message): this {
    this.#messages.push(message)
    return this
  }

  #new<K extends keyof Added>(verb: string, kind: K, options: Added[K], flags: number): this {
    const option = `${verb}(${kind})`
    switch (kind) {
      case 'table': {
        const table = options as TableOptions
        const body = tableBody(option, table)
        return this.#push(nfMessage('NFT_MSG_NEWTABLE', table.family, flags, tableFormat, body))
      }
      case 'chain': {
        const chain = options as ChainOptions
        const body = chainBody(option, chain)
        return this.#push(nfMessage('NFT_MSG_NEWCHAIN', chain.family, flags, chainFormat, body))
      }
      case 'set':
        this.#set(option, options as SetOptions, flags)
        return this
      case 'object': {
        const object = options as ObjectOptions
        const body = objectBody(option, object)
        return this.#push(nfMessage('NFT_MSG_NEWOBJ', object.family, flags, objectFormat, body))
      }
      case 'elements':
        this.#elements('NFT_MSG_NEWSETELEM', option, options as ElementsOptions, flags)
        return this
      case 'rule':
        this.#rule(option, options as RuleOptions, flags | APPEND)
        return this
    }
    throw unknownKind(verb, kind)
  }

  #set(option: string, set: SetOptions, flags: number): number {
    const id = ++this.#sets
    const body = setBody(option, set, id)
    this.#push(nfMessage('NFT_MSG_NEWSET', set.family, flags, setFormat, body))
    return id
  }

  #rule(option: string, rule: RuleOptions, flags: number, handle?: bigint): void {
    const { family, table, position } = rule
    const context: RuleContext = {
      family,
      known: new Set(),
      anonymousSet: (set, elements) => {
        const whole = { ...set, family, table, name: '__set%d', anonymous: true, constant: true }
        if (set.map !== undefined) whole.name = '__map%d'
        const sized = set.interval === true ? whole : { ...whole, size: elements.length }
        const setId = this.#set(`${option}: a set`, sized, CREATE)
        this.#elements('NFT_MSG_NEWSETELEM', option, { set: sized, elements }, CREATE, setId)
        return { set: whole.name, setId }
      },
    }
    const body = { ...ruleBody(option, rule, context), position, handle }
    this.#push(nfMessage('NFT_MSG_NEWRULE', family, flags, ruleFormat, body))
  }

  #elements(
    name: MessageName,
    option: string,
    options: ElementsOptions,
    flags: number,
    setId?: number,
  ): void {
    onlyKeys(option, options, ['set', 'elements'])
    const { set, elements } = options
    checkPlace(`${option}.set`, set)
    checkName(`${option}.set.name`, set.name)
    if (!Array.isArray(elements))
      throw invalidOption(`${option}.elements`, `${show(elements)} is no list`)
    const layout = new ElementLayout(set)
    const wire: WireElement[] = []
    for (let i = 0; i < elements.length; i++)
      layout.encode(`${option}.elements[${i}]`, elements[i] as Key | ElementOptions, wire)
    const list = { family: set.family, table: set.table, set: set.name, setId }
    this.#messages.push(...elementMessages(name, flags, list, wire))
  }

  #named(
    name: 'NFT_MSG_DELTABLE' | 'NFT_MSG_DELCHAIN' | 'NFT_MSG_DELSET',
    option: string,
    which: { family: Family; name: string; table?: string },
  ): this {
    checkFamily(option, which.family)
    checkName(`${option}.name`, which.name)
    const { family, name: named, table } = which
    if (name === 'NFT_MSG_DELTABLE')
      return this.#push(nfMessage(name, family, 0, tableFormat, { name: named }))
    checkName(`${option}.table`, table)
    const body = { table, name: named }
    return this.#push(
      name === 'NFT_MSG_DELCHAIN'
        ? nfMessage(name, family, 0, chainFormat, body)
        : nfMessage(name, family, 0, setFormat, body),
    )
  }
}

function unknownKind(verb: string, kind: unknown) {
  return invalidOption(`${verb}()`, `${show(kind)} is no kind of thing that can be ${verb}ed so`)
}

/** Options of what is in a table that has been said. */
export type InTable<T> = Omit<T, 'family' | 'table'>

/** Adds to one table of a {@link Batch}. */
export class TableBatch {
  readonly #batch: Batch
  readonly #place: { family: Family; table: string }

  constructor(batch: Batch, { family, name }: TableOptions) {
    this.#batch = batch
    this.#place = { family, table: name }
  }

  /** Equivalent to: `nft add chain …` */
  chain(name: string, options: Omit<InTable<ChainOptions>, 'name'> = {}): this {
    this.#batch.add('chain', { ...options, ...this.#place, name })
    return this
  }

  /** Adds a rule at the end of a chain. Equivalent to: `nft add rule …` */
  rule(chain: string, ...expressions: readonly (Expression | Statement)[]): this {
    this.#batch.add('rule', { ...this.#place, chain, expressions })
    return this
  }

  /** As rule(), with a comment. */
  commented(
    comment: string,
    chain: string,
    ...expressions: readonly (Expression | Statement)[]
  ): this {
    this.#batch.add('rule', { ...this.#place, chain, expressions, comment })
    return this
  }

  /** Adds a set or a map, and elements to it. Equivalent to: `nft add set …` */
  set(
    name: string,
    options: Omit<InTable<SetOptions>, 'name'>,
    elements: readonly (Key | ElementOptions)[] = [],
  ): this {
    const set: SetOptions = { ...options, ...this.#place, name }
    this.#batch.add('set', set)
    if (elements.length > 0) this.#batch.add('elements', { set, elements })
    return this
  }

  /** Equivalent to: `nft add counter …`, `nft add quota …` */
  object(name: string, options: Omit<InTable<ObjectOptions>, 'name'>): this {
    this.#batch.add('object', { ...options, ...this.#place, name })
    return this
  }
}
