import { CofferdamError, integerOption, onlyKeys } from '../../base/index.js'
import type { Connection } from '../connection.js'
import { Monitor } from '../monitor.js'
import type { NetlinkSocket } from '../socket.js'
import { Batch } from './batch.js'
import { checkPlace } from './checks.js'
import type { Element } from './elements.js'
import { type Listed, type ListFilter, listElements, listers, type Ruleset } from './listing.js'
import { EventReader, type NftablesEvent } from './monitor.js'
import { NFNLGRP_NFTABLES } from './names.js'
import type { NamedSet } from './sets.js'
import { enclosed, generationFormat, nfMessage } from './wire.js'

/** So often something is tried again that others came in between of. */
const TRIES = 20

/** How a batch is committed. */
export interface CommitOptions {
  /** Only if nobody has changed anything since: `generation()`. Otherwise `ERESTART`. */
  generation?: number
}

/** The firewall of a network namespace: tables, chains, rules, sets and objects of nf_tables. nft(8) */
export class Nftables {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  #socket(): Promise<NetlinkSocket> {
    return this.#connection.socket('netfilter')
  }

  /**
   * Makes changes together: all take effect at once, or, when one is refused, none.
   * Equivalent to: `nft -f`
   *
   * ```ts
   * await nl.nftables.batch(b => {
   *   b.table({ family: 'inet', name: 'fw' })
   *     .chain('in', { hook: 'input', policy: 'drop' })
   *     .rule('in', tcp.dport(22), counter(), accept())
   * })
   * ```
   *
   * @throws CofferdamError `ERR_INVALID_OPTION` before anything is sent; the kernel's own, of the
   * first change that it refused: `operation` is the message, `attribute` what it was about.
   */
  async batch(fill: (batch: Batch) => void, options: CommitOptions = {}): Promise<void> {
    const batch = new Batch()
    fill(batch)
    await this.commit(batch, options)
  }

  /** As batch(), of one that has been filled already. */
  async commit(batch: Batch, options: CommitOptions = {}): Promise<void> {
    onlyKeys('options', options, ['generation'])
    const { generation } = options
    if (generation !== undefined) integerOption('options.generation', generation, 0, 2 ** 32 - 1)
    if (batch.messages.length === 0 && generation === undefined) return
    const socket = await this.#socket()
    await socket.batch(enclosed(batch.messages, generation))
  }

  /**
   * Makes changes that depend on what there is. `fill` may ask for what it wants to know; if
   * somebody else changes something before the batch has been committed, `fill` is called again
   * with an empty one.
   *
   * @throws CofferdamError as batch(); `ERESTART` when others went on to come in between.
   */
  async transaction<T>(fill: (batch: Batch, nftables: this) => Promise<T> | T): Promise<T> {
    for (let left = TRIES; ; left--) {
      const generation = await this.generation()
      const batch = new Batch()
      const result = await fill(batch, this)
      try {
        await this.commit(batch, { generation })
        return result
      } catch (error) {
        if (left <= 1 || !(error instanceof CofferdamError) || error.code !== 'ERESTART')
          throw error
      }
    }
  }

  /** A number that is another one after each change. */
  async generation(): Promise<number> {
    const socket = await this.#socket()
    const request = nfMessage('NFT_MSG_GETGEN', 'unspec', 0, generationFormat, {})
    const [found] = await socket.request(request, generationFormat)
    return found?.generation ?? 0
  }

  /**
   * What there is of one kind: `await nl.nftables.list('rule', { table: 'fw' })`. What is listed can
   * be added again as it is. Equivalent to: `nft list tables`, `nft list chains`, …
   */
  async list<K extends keyof Listed>(kind: K, filter: ListFilter = {}): Promise<Listed[K][]> {
    onlyKeys('filter', filter, ['family', 'table', 'chain', 'name'])
    return listers[kind](await this.#socket(), filter)
  }

  /**
   * The elements of a set. Equivalent to: `nft list set …`
   *
   * @throws CofferdamError `ENOENT` when there is none of this name.
   */
  async elements(which: Pick<NamedSet, 'family' | 'table' | 'name'>): Promise<Element[]> {
    checkPlace('which', which)
    const { family, table, name } = which
    const [set] = await this.list('set', { family, table, name })
    if (set === undefined)
      throw new CofferdamError(`there is no set ${name} in table ${family} ${table}`, {
        code: 'ENOENT',
        operation: 'NFT_MSG_GETSET',
      })
    return listElements(await this.#socket(), set)
  }

  /**
   * All there is, at one moment. Equivalent to: `nft list ruleset`
   *
   * @throws CofferdamError `ERR_INTERRUPTED` when it went on to change.
   */
  async ruleset(filter: Pick<ListFilter, 'family' | 'table'> = {}): Promise<Ruleset> {
    onlyKeys('filter', filter, ['family', 'table'])
    const socket = await this.#socket()
    for (let left = TRIES; left > 0; left--) {
      const generation = await this.generation()
      const ruleset = await this.#all(socket, generation, filter)
      if (ruleset !== undefined && (await this.generation()) === generation) return ruleset
    }
    throw new CofferdamError(`the ruleset changed while it was read, ${TRIES} times`, {
      code: 'ERR_INTERRUPTED',
      operation: 'NFT_MSG_GETGEN',
    })
  }

  async #all(socket: NetlinkSocket, generation: number, filter: ListFilter) {
    try {
      const [tables, chains, rules, sets, objects] = await Promise.all([
        listers.table(socket, filter),
        listers.chain(socket, filter),
        listers.rule(socket, filter),
        listers.set(socket, filter),
        listers.object(socket, filter),
      ])
      const filled = await Promise.all(
        sets.map(async set => ({ set, elements: await listElements(socket, set) })),
      )
      return { generation, tables, chains, rules, sets: filled, objects }
    } catch (error) {
      // A set that has gone meanwhile; whether something changed will tell.
      if (error instanceof CofferdamError && error.code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Deletes all tables. Equivalent to: `nft flush ruleset` */
  async flush(): Promise<void> {
    await this.batch(batch => batch.flushRuleset())
  }

  /**
   * Tells of changes, from now on, and of the end of each batch. Equivalent to: `nft monitor`
   *
   * @param options.signal Ends it.
   */
  async monitor(options: { signal?: AbortSignal } = {}): Promise<Monitor<NftablesEvent>> {
    onlyKeys('options', options, ['signal'])
    const descriptor = await this.#connection.listen('netfilter', [NFNLGRP_NFTABLES])
    try {
      const reader = await EventReader.open(await this.#socket())
      return new Monitor(descriptor, reader.read, options.signal)
    } catch (error) {
      descriptor.close()
      throw error
    }
  }
}
