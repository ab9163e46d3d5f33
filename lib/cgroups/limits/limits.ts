import { conflict, onlyKeys } from '../../base/index.js'
import { controllerOf } from '../files.js'
import { type CheckedCpu, type CpuLimits, cpu, quotaOfCpus } from './cpu.js'
import { type CheckedCpuset, type CpusetLimits, cpuset } from './cpuset.js'
import { type CheckedHugetlb, type HugetlbLimits, hugetlb } from './hugetlb.js'
import { type CheckedIo, type IoLimits, io } from './io.js'
import type { LimitKind } from './kind.js'
import { type CheckedMemory, type MemoryLimits, memory } from './memory.js'
import { type MiscLimits, misc } from './misc.js'
import { type CheckedNetwork, type NetworkLimits, network } from './network.js'
import { pids } from './pids.js'
import { type CheckedRaw, parseRaw, type RawLimits } from './raw.js'
import { type CheckedRdma, type RdmaLimits, rdma } from './rdma.js'
import type { LimitNumber, LimitSize } from './values.js'

/**
 * What a group and all below it may use: one vocabulary for both versions, that of v2 and
 * of the OCI. Where a version or a kernel can't express something, setting it is an error
 * (`ERR_UNSUPPORTED`) and nothing is written. `'max'` takes a limit away; what is left out
 * stays as it is.
 */
export interface Limits {
  /** {@link MemoryLimits}, or its `max`: `'256MiB'`. */
  memory?: LimitSize | MemoryLimits
  /**
   * As much time as so many processors have, as `0.5`: a quota in periods of 100 ms. From
   * 0.001; below 0.01 in periods of a second. Equivalent to: `docker run --cpus`
   */
  cpus?: LimitNumber
  /** Quota, weight and the rest; {@link CpuLimits}. */
  cpu?: CpuLimits
  /** Which processors and memory nodes; {@link CpusetLimits}. */
  cpuset?: CpusetLimits
  /**
   * Processes and threads, 0 to 4,194,304; beyond it fork(2) fails with `EAGAIN`. `pids.max`.
   * Equivalent to: `docker run --pids-limit`
   */
  pids?: LimitNumber
  /** Reading from and writing to disks; {@link IoLimits}. */
  io?: IoLimits
  /** Huge pages by their size, `{ '2MB': '64MiB' }`; {@link HugetlbLimits}, or its `max`. */
  hugetlb?: Record<string, LimitSize | HugetlbLimits>
  /** By device, as `{ mlx4_0: { hcaHandles: 2 } }`. */
  rdma?: Record<string, RdmaLimits>
  /** By resource, as `{ sev: 10 }`. */
  misc?: MiscLimits
  /** Marks of packets; v1 alone. */
  network?: NetworkLimits
  /**
   * Any other file of a controller's, by its name, and what to write to it; several texts
   * one after the other: `{ 'memory.zswap.writeback': 0 }`. The kernel says whether it is right.
   */
  raw?: RawLimits
}

/** {@link Limits}, checked: short forms written out, numbers as the kernel keeps them. */
export interface CheckedLimits {
  memory?: CheckedMemory
  cpu?: CheckedCpu
  cpuset?: CheckedCpuset
  pids?: LimitNumber
  io?: CheckedIo
  hugetlb?: CheckedHugetlb
  rdma?: CheckedRdma
  misc?: MiscLimits
  network?: CheckedNetwork
  raw?: CheckedRaw
}

type Kinds = {
  [K in Exclude<keyof CheckedLimits, 'raw'>]-?: LimitKind<NonNullable<CheckedLimits[K]>>
}

/**
 * In the order in which they are written: who has too little of the first ones is least
 * in the way.
 */
const kinds: Kinds = { cpuset, cpu, io, hugetlb, rdma, misc, network, memory, pids }
/** The names of kinds, in that order. */
export const kindNames = Object.keys(kinds) as (keyof Kinds)[]

/** The kind of a name, for when which one does not matter. */
export function kindOf(name: keyof Kinds): LimitKind<unknown> {
  return kinds[name] as LimitKind<unknown>
}

/**
 * Looks at all of it before anything is done, and gives the normal form, which is what
 * {@link readLimits} tells.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION` and `ERR_CONFLICT`, naming the option, as
 * `limits.memory.max`.
 */
export function parseLimits(option: string, limits: Limits): CheckedLimits {
  onlyKeys(option, limits, [...kindNames, 'cpus', 'raw'])
  const checked: Partial<Record<keyof CheckedLimits, unknown>> = {}
  for (const name of kindNames)
    if (limits[name] !== undefined)
      checked[name] = kindOf(name).parse(`${option}.${name}`, limits[name])
  if (limits.raw !== undefined) checked.raw = parseRaw(`${option}.raw`, limits.raw)
  if (limits.cpus !== undefined) {
    const { cpu } = checked as CheckedLimits
    for (const key of ['quota', 'period'] as const)
      if (cpu?.[key] !== undefined)
        throw conflict(`${option}.cpu.${key}`, 'and cpus say the same; give one of them')
    const quota = quotaOfCpus(`${option}.cpus`, limits.cpus)
    if (typeof quota.quota === 'number' && (cpu?.burst ?? 0) > quota.quota)
      throw conflict(`${option}.cpu.burst`, `${cpu?.burst} is above the quota, ${quota.quota}`)
    checked.cpu = { ...cpu, ...quota }
  }
  return checked as CheckedLimits
}

/** Names of the controllers that such limits need, v2's where the versions differ. */
export function limitControllers(limits: CheckedLimits): string[] {
  const names = new Set<string>()
  for (const name of kindNames) {
    if (limits[name] === undefined || name === 'network') continue
    names.add(kindOf(name).sources[0]?.controllers[0] as string)
  }
  if (limits.network?.classId !== undefined) names.add('net_cls')
  if (limits.network?.priorities !== undefined) names.add('net_prio')
  for (const file of Object.keys(limits.raw ?? {})) {
    const name = controllerOf(file)
    if (name !== 'cgroup') names.add(name === 'blkio' ? 'io' : name)
  }
  return [...names]
}
