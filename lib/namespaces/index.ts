/**
 * Namespaces: what a process can see. namespaces(7)
 *
 * @module
 */
export type { NamespaceKind } from '../plan/index.js'
export * from './kinds.js'
export {
  deniesGroups,
  ownMappings,
  readMap,
  subordinateIds,
  writeMap,
} from './maps.js'
export * from './steps.js'
export * from './user.js'
export * from './uts.js'
