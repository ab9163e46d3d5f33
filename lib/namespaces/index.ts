/**
 * Namespaces: what a process can see. namespaces(7)
 *
 * @module
 */

export { Descriptor } from '../base/index.js'
export { kinds, type NamespaceKind, pathOf } from '../plan/index.js'
export {
  type ContainerProcess,
  type Errand,
  openFile,
  openSocket,
  readBytes,
  readText,
  result,
} from '../run/index.js'
export {
  identify,
  mountNamespaceId,
  type NamespaceIdentity,
  ownerOf,
  ownerUid,
  parentOf,
  pidFrom,
  pidIn,
  same,
  typeOf,
} from './identity.js'
export { isOwn, type Joined, namespacesOf, openJoined } from './join.js'
export { type ListOptions, list, type NamespaceInfo } from './list.js'
export {
  deniesGroups,
  ownMappings,
  readMap,
  subordinateIds,
  writeMap,
} from './maps.js'
export { pin, unpin } from './pin.js'
export type { NewNamespaces } from './place.js'
export {
  checkReference,
  type NamespaceReference,
  type NamespaceReferences,
  open,
  openReference,
} from './reference.js'
export { type Answers, type RunOptions, run, type Where } from './run.js'
export { type SpawnOptions, spawn } from './spawn.js'
export * from './steps.js'
export {
  type CheckedTimeOffsets,
  type ClockOffset,
  checkTimeOffsets,
  newTime,
  type TimeOffset,
  type TimeOffsets,
} from './time.js'
export * from './user.js'
export * from './uts.js'
