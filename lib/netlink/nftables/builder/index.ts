export { concat, type Field, field } from './field.js'
export {
  ct,
  ether,
  fib,
  icmp,
  icmpv6,
  ip,
  ip6,
  meta,
  sctp,
  type Transport,
  tcp,
  transports,
  udp,
} from './fields.js'
export type { AddToOptions, FieldSource, Lookup, VerdictEntries } from './lookup.js'
export * from './statements.js'
