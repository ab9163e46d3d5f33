import { hugePageSizes } from '../limits/hugetlb.js'
import type { Stats, StatsFiles, StatsSource } from './source.js'
import { FlatKeys, type Limit } from './text.js'

/** Processes and threads of a group and of those below it: each thread counts. */
export interface PidsStats {
  current: number
  /** The most there have been. */
  peak?: number | undefined
  limit?: Limit | undefined
  /** How often one more was refused. */
  limitHits?: number | undefined
}

/** Huge pages of one size, in bytes. */
export interface HugetlbStats {
  usage: number
  /** What is reserved, used or not. */
  reserved?: number | undefined
  limit?: Limit | undefined
  /** How often one was refused. `max` of `hugetlb.*.events`; v1: `failcnt` */
  limitHits?: number | undefined
}

/** Handles and objects of one RDMA device. */
export interface RdmaStats {
  hcaHandles?: number | undefined
  hcaObjects?: number | undefined
}

/** A resource of the misc controller. */
export interface MiscStats {
  current: number
  peak?: number | undefined
  limit?: Limit | undefined
  limitHits?: number | undefined
}

const maxKey = new FlatKeys(['max'])

function hits(files: StatsFiles, file: number): number | undefined {
  const text = files.text(file)
  return text === undefined ? undefined : maxKey.read(text)[0]
}

const pids = (version: 1 | 2): StatsSource => ({
  part: 'pids',
  version,
  controller: 'pids',
  files: ['pids.current', 'pids.peak', 'pids.max', 'pids.events'],
  read(files, stats) {
    const current = files.text(0)?.number()
    if (current === undefined) return
    stats.pids = {
      current,
      peak: files.text(1)?.number(),
      limit: files.text(2)?.limit(),
      limitHits: hits(files, 3),
    }
  },
})

function hugetlb(version: 1 | 2, size: string): StatsSource {
  const names =
    version === 2
      ? ['current', 'rsvd.current', 'max', 'events']
      : ['usage_in_bytes', 'rsvd.usage_in_bytes', 'limit_in_bytes', 'failcnt']
  return {
    part: 'hugetlb',
    version,
    controller: 'hugetlb',
    files: names.map(name => `hugetlb.${size}.${name}`),
    read(files, stats) {
      const usage = files.text(0)?.number()
      if (usage === undefined) return
      stats.hugetlb ??= {}
      stats.hugetlb[size] = {
        usage,
        reserved: files.text(1)?.number(),
        limit: files.text(2)?.limit(),
        limitHits: version === 2 ? hits(files, 3) : files.text(3)?.number(),
      }
    },
  }
}

const rdma = (version: 1 | 2): StatsSource => ({
  part: 'rdma',
  version,
  controller: 'rdma',
  files: ['rdma.current'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined) return
    const devices: NonNullable<Stats['rdma']> = {}
    for (; !text.atEnd; text.nextLine()) {
      const name = text.word()
      if (!isName(name)) continue
      const device: RdmaStats = {}
      while (!text.atLineEnd) {
        const key = text.word(61)
        if (key === 'hca_handle') device.hcaHandles = text.number()
        else if (key === 'hca_object') device.hcaObjects = text.number()
        text.word()
      }
      devices[name] = device
    }
    stats.rdma = devices
  },
})

/** Of a device or a resource, and no property that every object has. */
const isName = (name: string) => name !== '' && name !== '__proto__'

const misc = (version: 1 | 2): StatsSource => ({
  part: 'misc',
  version,
  controller: 'misc',
  files: ['misc.current', 'misc.peak', 'misc.max', 'misc.events'],
  read(files, stats) {
    const text = files.text(0)
    if (text === undefined) return
    const resources: NonNullable<Stats['misc']> = {}
    for (; !text.atEnd; text.nextLine()) {
      const name = text.word()
      const current = isName(name) ? text.number() : undefined
      if (current !== undefined) resources[name] = { current }
    }
    for (const [file, key, suffix] of [
      [1, 'peak', ''],
      [2, 'limit', ''],
      [3, 'limitHits', '.max'],
    ] as const) {
      const more = files.text(file)
      for (; more !== undefined && !more.atEnd; more.nextLine()) {
        const name = more.word()
        if (!name.endsWith(suffix)) continue
        const resource = name.slice(0, name.length - suffix.length)
        if (!Object.hasOwn(resources, resource)) continue
        const value = key === 'limit' ? more.limit() : more.number()
        Object.assign(resources[resource] as MiscStats, { [key]: value })
      }
    }
    stats.misc = resources
  },
})

/** Of controllers that are the same in both versions. */
export function countSources(): StatsSource[] {
  const sizes = hugePageSizes()
  return ([1, 2] as const).flatMap(version => [
    pids(version),
    ...sizes.map(size => hugetlb(version, size)),
    rdma(version),
    misc(version),
  ])
}
