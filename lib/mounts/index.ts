/**
 * Mounts: which files a process sees, and where. mount_namespaces(7)
 *
 * @module
 */

export {
  fromBytes,
  type MountInfo,
  type Propagation,
  parseMountInfo,
  parseOptions,
  toBytes,
} from '../base/index.js'
export { type ApplyOptions, apply } from './apply.js'
export type { AccessTime, AttributeSettings, Attributes } from './attributes.js'
export * from './bind.js'
export {
  type CgroupHierarchy,
  type CgroupMount,
  type CgroupMountOptions,
  cgroup,
} from './cgroup.js'
export * from './changes.js'
export { composedRootStep, lookAtRoot, type RootEntry } from './composed-root.js'
export * from './dev.js'
export { differences, type MountChange } from './differences.js'
export * from './entries.js'
export {
  type DevptsOptions,
  devpts,
  type FileSystemMount,
  type FileSystemMountOptions,
  fileSystem,
  mqueue,
  type NewMountOptions,
  type ProcOptions,
  proc,
  sysfs,
} from './file-system.js'
export { type RemoveHierarchyOptions, removeHierarchy } from './hierarchies.js'
export type { IdMap, IdRange } from './idmap.js'
export { checkPath, checkTarget } from './made.js'
export * from './masks.js'
export { isPeer, peerStep } from './mount-steps.js'
export { list, type MountsOf, openTable } from './mount-table.js'
export * from './operations.js'
export {
  checkOverlay,
  type OverlayFeatures,
  type OverlayMount,
  type OverlayMountOptions,
  type OverlayOptions,
  type OverlayRoot,
  overlay,
} from './overlay.js'
export { type ParsedOptions, parseMountOptions } from './parse.js'
export {
  keepsPeers,
  type PropagationMode,
  type PropagationOption,
  propagationOption,
  propagationStep,
  setPropagation,
} from './propagation.js'
export * from './root.js'
export {
  changeRootStep,
  changesRoot,
  chrootToStep,
  type RootChange,
  rootChanges,
  rootPropagationStep,
} from './root-change.js'
export * from './sequence.js'
export { checkMount, isNewMount, type Mount, type NewMount } from './specifications.js'
export {
  type InNamespace,
  type ListMountOptions,
  listmount,
  type MountIdMapping,
  mountNumber,
  ROOT,
  type StatMount,
  statmount,
} from './statmount.js'
export * from './steps.js'
export { find, type MountTree, tree } from './table.js'
export { type EmptyRoot, emptyRoot, type TmpfsMount, type TmpfsOptions, tmpfs } from './tmpfs.js'
export { type MountWatch, type WatchOptions, watch } from './watch.js'
