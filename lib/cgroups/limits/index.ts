export { setLimits, verifyLimits } from './change.js'
export {
  blkioWeightFromIo,
  cpuSharesFromWeight,
  cpuWeightFromShares,
  ioWeightFromBlkio,
  swapFromTogether,
  togetherFromSwap,
} from './convert.js'
export type { CheckedCpu, CpuLimits } from './cpu.js'
export type { CheckedCpuset, CpusetLimits, CpusetPartition } from './cpuset.js'
export { type CheckedHugetlb, type HugetlbLimits, hugePageSizes } from './hugetlb.js'
export type { CheckedIo, CheckedIoDevice, IoDeviceLimits, IoLimits } from './io.js'
export { type CheckedLimits, type Limits, limitControllers, parseLimits } from './limits.js'
export type { CheckedMemory, MemoryLimits } from './memory.js'
export type { MiscLimits } from './misc.js'
export type { CheckedNetwork, NetworkLimits } from './network.js'
export type { CheckedRaw, RawLimits } from './raw.js'
export type { CheckedRdma, RdmaLimits } from './rdma.js'
export { readLimits, type ToldLimits } from './reading.js'
export type { LimitNumber, LimitSize } from './values.js'
export { limitWrites, plannedWrites } from './writes.js'
