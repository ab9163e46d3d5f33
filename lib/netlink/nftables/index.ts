/**
 * nf_tables: what {@link Netlink.nftables} takes and gives, and the statements that rules are built of.
 *
 * A rule is a list that reads as nft(8) has it: `tcp.dport(80), ct.state('new'), counter(), accept()`.
 * Each part is a function of this module's, or an {@link Expression}, or a function of one's own that
 * gives expressions: so that parts can be kept in variables and shared, which a chain of methods can't.
 *
 * @module
 */
export {
  type Added,
  Batch,
  type Deleted,
  type ElementsOptions,
  type Flushed,
  type InTable,
  TableBatch,
} from './batch.js'
export * from './builder/index.js'
export type { Chain, ChainOptions, ChainType } from './chains.js'
export type { Data, Verdict } from './data.js'
export { type DataType, dataTypes, type TypeName, type Value } from './datatypes.js'
export type { Element, ElementOptions, VerdictText } from './elements.js'
export type {
  DescribedExpression,
  DynsetExpression,
  Expression,
  RawExpression,
} from './expressions/index.js'
export { objectTypes } from './expressions/sets.js'
export type { Key, KeyPart, KeyType, Range } from './keys.js'
export type { Listed, ListFilter, Ruleset } from './listing.js'
export type { ElementsEvent, EventOf, GenerationEvent, NftablesEvent } from './monitor.js'
export { type Family, families, type Hook, type PriorityName, priorities } from './names.js'
export { type CommitOptions, Nftables } from './nftables.js'
export type { NamedObject, ObjectOptions, ObjectState, ObjectType } from './objects.js'
export type { Rule, RuleContext, RuleOptions, Statement } from './rules.js'
export type { MapType, NamedSet, SetOptions } from './sets.js'
export type { Table, TableOptions } from './tables.js'
