import {
  CofferdamError,
  invalidOption,
  native,
  nativeError,
  onlyKeys,
  show,
} from '../../base/index.js'
import { type GroupFolder, type GroupFolders, unifiedOf } from '../folders.js'
import { goneError } from '../tasks.js'
import { planFor, StatsAnswers, type StatsPlan } from './plan.js'
import type { Pressure } from './pressure.js'
import type { Stats, StatsPart } from './source.js'

export type { HugetlbStats, MiscStats, PidsStats, RdmaStats } from './counts.js'
export type { CpuStats } from './cpu.js'
export type { Counter, IoDeviceStats, IoStats } from './io.js'
export type { MemoryStats, SwapStats } from './memory.js'
export type {
  Pressure,
  PressureFigures,
  PressureResource,
  ResourcePressure,
} from './pressure.js'
export type { Stats, StatsPart } from './source.js'
export type { Limit } from './text.js'

const allParts: readonly StatsPart[] = [
  'cpu',
  'memory',
  'pids',
  'io',
  'hugetlb',
  'rdma',
  'misc',
  'pressure',
]
const knownParts = new Set<unknown>([...allParts, 'perCpu'])

/** Options of `Cgroup.stats()` and {@link statsOf}. */
export interface StatsOptions {
  /**
   * These parts only: fewer files are read. `'perCpu'` comes only if it is asked for,
   * together with `'cpu'`. Default: all the others.
   */
  only?: readonly StatsPart[]
}

/** @throws CofferdamError `ERR_INVALID_OPTION` */
export function statsParts(option: string, options: StatsOptions): readonly StatsPart[] {
  onlyKeys(option, options, ['only'])
  const { only } = options
  if (only === undefined) return allParts
  if (!Array.isArray(only)) throw invalidOption(`${option}.only`, `${show(only)} is no list`)
  for (const part of only)
    if (!knownParts.has(part))
      throw invalidOption(
        `${option}.only`,
        `${show(part)} is no part; known are ${[...knownParts].join(', ')}`,
      )
  return only
}

/** So many groups are read by one call on another thread, while others are parsed here. */
const CHUNK = 128
/** As many such calls at once. */
const THREADS = 2

/** Descriptors that are kept between readings, one for each file. */
export interface KeptDescriptors {
  /** So many more may be opened. */
  readonly left: number
  take(groups: readonly GroupFolders[], plans: readonly StatsPlan[]): Int32Array
  put(groups: readonly GroupFolders[], plans: readonly StatsPlan[], all: Int32Array): void
}

/**
 * The figures of many groups, in their order; undefined for one that is gone. Files are
 * read on other threads, and parsed on this one.
 */
export async function readStats(
  groups: readonly GroupFolders[],
  parts: readonly StatsPart[],
  kept?: KeptDescriptors,
): Promise<(Stats | undefined)[]> {
  const results: (Stats | undefined)[] = Array(groups.length)
  const room = kept && { kept, promised: 0 }
  let next = 0
  const reader = async () => {
    while (next < groups.length) {
      const begin = next
      next += CHUNK
      const chunk = await readChunk(groups.slice(begin, next), parts, room)
      for (const [i, stats] of chunk.entries()) results[begin + i] = stats
    }
  }
  // Also when one fails the others are waited for: they read by descriptors that are kept.
  const ends = await Promise.allSettled(Array.from({ length: THREADS }, reader))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  return results
}

/** What may be kept, and how much of what is left the calls under way may take. */
interface Room {
  readonly kept: KeptDescriptors
  promised: number
}

async function readChunk(
  groups: readonly GroupFolders[],
  parts: readonly StatsPart[],
  room: Room | undefined,
): Promise<(Stats | undefined)[]> {
  const plans = groups.map(group => planFor(group, parts))
  const kinds: number[] = []
  const names: string[] = []
  const kindOf = new Map<string, number>()
  let folders = ''
  for (const [i, group] of groups.entries())
    for (const { index, names: list } of plans[i]?.folders ?? []) {
      folders += `${group.folders[index]?.path}\0`
      let kind = kindOf.get(list)
      if (kind === undefined) {
        kind = names.push(list) - 1
        kindOf.set(list, kind)
      }
      kinds.push(kind)
    }
  const before = room?.kept.take(groups, plans) ?? null
  const most = room === undefined ? 0 : promise(room, before?.filter(fd => fd < 0).length ?? 0)
  const [bytes, sizes, after] = await native()
    .readFiles(folders, Uint32Array.from(kinds), names, before, most)
    .catch(error => {
      throw nativeError('stats', error)
    })
    .finally(() => {
      if (room !== undefined) room.promised -= most
    })
  if (after !== null) room?.kept.put(groups, plans, after)
  const answers = new StatsAnswers(bytes, sizes)
  const time = performance.now()
  return groups.map((group, i) => answers.next(group, plans[i] as StatsPlan, time))
}

/** How many of these descriptors a call may open and leave open. */
function promise(room: Room, files: number): number {
  const most = Math.max(0, Math.min(files, room.kept.left - room.promised))
  room.promised += most
  return most
}

/**
 * The figures of one group.
 *
 * @throws CofferdamError `ENOENT` when it has been removed.
 */
export async function readStatsOf(
  group: GroupFolders,
  parts: readonly StatsPart[],
): Promise<Stats> {
  const [stats] = await readStats([group], parts)
  if (stats === undefined) throw goneError(group)
  return stats
}

/**
 * What many groups have used, in their order; undefined for one that has been removed.
 * A thousand groups are a few calls of other threads. Of groups that are read again and
 * again a {@link StatsReader} keeps the files open.
 *
 * @throws CofferdamError `ERR_INVALID_OPTION`; of a file that can't be read.
 */
export async function statsOf(
  groups: Iterable<GroupFolders>,
  options: StatsOptions = {},
): Promise<(Stats | undefined)[]> {
  return await readStats([...groups], statsParts('stats', options))
}

/** See Cgroup.pressure(). */
export async function pressureOf(group: GroupFolders): Promise<Pressure> {
  const folder = unifiedOf(group)
  if (folder !== undefined) {
    const { pressure } = await readStatsOf(group, ['cpu', 'pressure'])
    if (pressure !== undefined) return pressure
  }
  throw noPressure(group.path, folder)
}

/** The typed error for pressure where none is counted. */
export function noPressure(group: string, folder: GroupFolder | undefined): CofferdamError {
  return new CofferdamError(`${group}: its pressure is not counted`, {
    code: 'ERR_UNSUPPORTED',
    controller: 'cgroup',
    hint:
      folder === undefined
        ? 'it has no folder of version 2: mount cgroup2, beside version 1'
        : NO_PRESSURE,
  })
}

/** What helps where there is none. */
const NO_PRESSURE =
  'the kernel needs CONFIG_PSI, with psi=1 at its start where that is off, and 1 in cgroup.pressure'
