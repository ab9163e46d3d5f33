/**
 * Control groups: where a process is counted and limited. cgroups(7)
 *
 * @module
 */
export type { GroupEntry, GroupPlace } from '../run/index.js'
export { Cgroup } from './cgroup.js'
export { isFrozenNow } from './control.js'
export { type PlannedLimits, planLimits } from './create.js'
export { type DeviceEntry, deviceEntry } from './device-entry.js'
export { type DeviceAccess, type DeviceRule, defaultDeviceRules } from './device-rules.js'
export type { Cell, DeviceSet } from './device-set.js'
export { allowsDevice, type Devices, devicesOption, normalDeviceRules } from './devices.js'
export { GroupEvents, type GroupEventsOptions } from './events/events.js'
export type { PressureTrigger } from './events/triggers.js'
export type { CountedEvent, GroupEvent, GroupEventType, StateEvent } from './events/types.js'
export { type FileWrite, readFiles, writeFiles } from './files.js'
export {
  folderOf,
  type GroupFolder,
  type GroupFolders,
  mountPointOf,
  unifiedOf,
} from './folders.js'
export {
  controllersOf,
  type Hierarchy,
  type Layout,
  type LayoutMode,
  layout,
  layoutNow,
} from './layout.js'
export { leafOf } from './leaf.js'
export * from './limits/index.js'
export type { Making, PlannedGroup } from './make.js'
export * from './membership.js'
export { newGroupPath } from './names.js'
export type { CgroupOptions, DeleteOptions, OpenOptions } from './options.js'
export { StatsReader, type StatsReaderOptions } from './stats/reader.js'
export {
  type Counter,
  type CpuStats,
  type HugetlbStats,
  type IoDeviceStats,
  type IoStats,
  type Limit,
  type MemoryStats,
  type MiscStats,
  type PidsStats,
  type Pressure,
  type PressureFigures,
  type PressureResource,
  type RdmaStats,
  type ResourcePressure,
  type Stats,
  type StatsOptions,
  type StatsPart,
  type SwapStats,
  statsOf,
} from './stats/stats.js'
export { entering, making } from './steps.js'
export { defaultManager, homeOf, isFar, type ManagerName } from './systemd/index.js'
export type { WaitOptions } from './waiting.js'
