export type { Action, GenericAction, MirredAction, PoliceAction } from './actions.js'
export { Classes, type ClassOptions, type ClassPlace, type TrafficClass } from './classes.js'
export type { FqCodelOptions, FqOptions, SfqOptions } from './fair.js'
export {
  type Filter,
  type FilterOptions,
  type FilterParent,
  type FilterPlace,
  type FilterProtocol,
  Filters,
  type FwOptions,
  filterProtocols,
  type MatchallOptions,
} from './filters.js'
export type { FlowerOptions } from './flower.js'
export type { Handle } from './handles.js'
export type { HtbClassOptions, HtbOptions } from './htb.js'
export type { NetemOptions } from './netem.js'
export {
  type BareQdiscOptions,
  type Qdisc,
  type QdiscOptions,
  type QdiscPlace,
  Qdiscs,
} from './qdiscs.js'
export type { FifoOptions, PrioOptions } from './queues.js'
export type { TbfOptions } from './tbf.js'
export type { TrafficStatistics } from './tc-format.js'
export type { U32Key, U32Options } from './u32.js'
export { type Rate, type Time, type Verdict, verdictNumbers } from './values.js'
