import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { folderOf, type GroupFolder, type GroupFolders, unifiedOf } from '../folders.js'
import { noPressure } from '../stats/stats.js'
import { CountedEvents, memoryKeys, pidsKeys, swapKeys } from './counted.js'
import { LegacyOom, LegacyReclaim } from './legacy-memory.js'
import type { EventSource, Watcher } from './source.js'
import { LegacyFrozen, LegacyPopulated, UnifiedStates } from './states.js'
import { type CheckedTrigger, PressureEvents } from './triggers.js'
import type { CountedEvent, GroupEvent, GroupEventType } from './types.js'

/** What is to be told of. */
export interface Wanted {
  wanted: ReadonlySet<GroupEventType>
  local: boolean
  triggers: readonly CheckedTrigger[]
}

/** What there are events of in a group, one after the other, so that no more is opened than closed. */
export function* sourcesOf(
  group: GroupFolders,
  watcher: Watcher,
  { wanted, local, triggers }: Wanted,
): Generator<EventSource> {
  const has = (...types: GroupEventType[]) => types.some(type => wanted.has(type))
  const memory = folderOf(group, 'memory')
  const pids = folderOf(group, 'pids')
  const all: (() => EventSource | undefined)[] = []
  if (memory?.version === 2)
    for (const [name, keys] of [
      ['memory', memoryKeys],
      ['memory.swap', swapKeys],
    ] as const)
      if (has(...Object.values(keys)))
        all.push(() => counted(watcher, memory, name, simple(keys), local))
  if (memory?.version === 1) {
    if (has('memoryMax')) all.push(() => LegacyReclaim.watched(watcher, memory.path))
    if (has('oom', 'oomKill')) all.push(() => LegacyOom.watched(watcher, memory.path))
  }
  if (pids !== undefined && has('pidsMax')) {
    const keys = simple(pidsKeys)
    // It is version 1's too, where the kernel counts it and says nothing.
    all.push(() =>
      pids.version === 2
        ? counted(watcher, pids, 'pids', keys, local)
        : CountedEvents.polled(join(pids.path, 'pids.events'), keys),
    )
  }
  if (has('hugetlbMax')) all.push(...hugetlb(group, watcher, local))
  all.push(...states(group, watcher, has))
  for (const make of all) {
    const source = make()
    if (source !== undefined) yield source
  }
  for (const trigger of triggers) yield new PressureEvents(watcher, unifiedFolder(group), trigger)
}

const simple = (keys: Record<string, CountedEvent>) =>
  new Map(
    Object.entries(keys).map(([key, type]) => [
      key,
      (count: number, total: number): GroupEvent => ({ type, count, total }),
    ]),
  )

function counted(
  watcher: Watcher,
  { path }: GroupFolder,
  name: string,
  keys: ConstructorParameters<typeof Map<string, (count: number, total: number) => GroupEvent>>[0],
  local: boolean,
): EventSource | undefined {
  const told = new Map(keys)
  const file = join(path, `${name}.events`)
  const own = local ? CountedEvents.watched(watcher, `${file}.local`, told) : undefined
  return own ?? CountedEvents.watched(watcher, file, told)
}

function* hugetlb(group: GroupFolders, watcher: Watcher, local: boolean) {
  const folder = folderOf(group, 'hugetlb')
  if (folder?.version !== 2) return
  for (const file of readdirSync(folder.path)) {
    const size = /^hugetlb\.([^.]+)\.events$/.exec(file)?.[1]
    if (size === undefined) continue
    const told = (count: number, total: number): GroupEvent => ({
      type: 'hugetlbMax',
      size,
      count,
      total,
    })
    yield () => counted(watcher, folder, `hugetlb.${size}`, [['max', told]], local)
  }
}

function* states(
  group: GroupFolders,
  watcher: Watcher,
  has: (...types: GroupEventType[]) => boolean,
) {
  const unified = unifiedOf(group)
  if (unified !== undefined) {
    if (has('populated', 'empty', 'frozen', 'thawed'))
      yield () => UnifiedStates.watched(watcher, unified.path)
    return
  }
  const [any] = group.folders
  if (any !== undefined && has('populated', 'empty')) yield () => new LegacyPopulated(any.path)
  const freezer = folderOf(group, 'freezer')
  if (freezer !== undefined && has('frozen', 'thawed')) yield () => LegacyFrozen.of(freezer.path)
}

function unifiedFolder(group: GroupFolders): GroupFolder {
  const folder = unifiedOf(group)
  if (folder === undefined) throw noPressure(group.path, folder)
  return folder
}
