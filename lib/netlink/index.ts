/**
 * Network devices, addresses, routes, firewall and the rest, spoken to the kernel directly.
 *
 * @module
 */
export * from './codec/index.js'
export { Connection } from './connection.js'
export * from './generic/index.js'
export * from './loopback.js'
export { type Lost, Monitor } from './monitor.js'
export * from './netlink.js'
export * as nft from './nftables/index.js'
export * from './others/index.js'
export type { Protocol } from './protocols.js'
export { type AddressFlag, addressFlags } from './route/address-format.js'
export {
  type Address,
  Addresses,
  type AddressFilter,
  type AddressOptions,
} from './route/addresses.js'
export { Bridges } from './route/bridge.js'
export { Fdb, type FdbEntry, type FdbFilter, type FdbOptions } from './route/bridge-fdb.js'
export { type PortVlans, type VlanFilter, type VlanOptions, Vlans } from './route/bridge-vlans.js'
export type {
  Changed,
  NetworkChange,
  NetworkEvent,
  NetworkMonitorOptions,
} from './route/changes.js'
export type { Family } from './route/families.js'
export type { Bond, BondPort } from './route/kinds/bond.js'
export type { Bridge } from './route/kinds/bridge.js'
export type { BridgePort } from './route/kinds/bridge-port.js'
export type { Gre } from './route/kinds/gre.js'
export type { Ipvlan } from './route/kinds/ipvlan.js'
export type { Macvlan } from './route/kinds/macvlan.js'
export type { Tun } from './route/kinds/tun.js'
export type { Vlan } from './route/kinds/vlan.js'
export type { Vrf, VrfPort } from './route/kinds/vrf.js'
export type { Vxlan } from './route/kinds/vxlan.js'
export type { Link } from './route/link.js'
export { type LinkMessage, type LinkStatistics, linkFormat } from './route/link-format.js'
export type { LinkInfo } from './route/link-info.js'
export type * from './route/link-options.js'
export { Links } from './route/links.js'
export { NamespaceIds } from './route/namespace-ids.js'
export {
  extendedNeighbourFlags,
  type NeighbourFlag,
  type NeighbourState,
  neighbourFlags,
  neighbourStates,
} from './route/neighbour-format.js'
export {
  type Neighbour,
  type NeighbourFilter,
  type NeighbourOptions,
  Neighbours,
} from './route/neighbours.js'
export type * from './route/route.js'
export { type RouteFlag, routeFlags, routeProtocols, routeTypes } from './route/route-format.js'
export { type RouteMetrics, routeMetrics } from './route/route-metrics.js'
export { type RouteTable, routeTables } from './route/route-tables.js'
export { Routes } from './route/routes.js'
export { type NumberRange, type RuleAction, ruleActions } from './route/rule-format.js'
export { type Rule, type RuleFilter, type RuleOptions, Rules } from './route/rules.js'
export type { Scope } from './route/scopes.js'
export { NetlinkSocket } from './socket.js'
export * from './traffic/index.js'
export type { Witness } from './witness.js'
