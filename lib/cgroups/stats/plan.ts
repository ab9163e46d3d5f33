import { constants } from 'node:os'
import { CofferdamError, errnoName } from '../../base/index.js'
import type { GroupFolders } from '../folders.js'
import { countSources } from './counts.js'
import { cpuacct, cpuPerCpu, cpuQuota, cpuUnified } from './cpu.js'
import { ioLegacy, ioUnified } from './io.js'
import { memoryLegacy, memoryUnified } from './memory.js'
import { pressureSources } from './pressure.js'
import type { Stats, StatsFiles, StatsPart, StatsSource } from './source.js'
import { StatsText } from './text.js'

/** Which files of a group are read for its figures: the same for all groups of one make. */
export interface StatsPlan {
  /** Which of the group's folders, and the names of the files in it, each ended by NUL. */
  folders: readonly { index: number; names: string }[]
  /** How many files those are. */
  count: number
  /** What is made of them; each has the first of its files at `first`. */
  sources: readonly { source: StatsSource; first: number }[]
}

let known: readonly StatsSource[] | undefined
const plans = new Map<string, StatsPlan>()

/** Plans are few: one for each set of controllers and of parts. */
const MOST_PLANS = 100

export function planFor(group: GroupFolders, parts: readonly StatsPart[]): StatsPlan {
  let key = parts.join()
  for (const { version, controllers } of group.folders) key += `;${version}:${controllers.join()}`
  let plan = plans.get(key)
  if (plan !== undefined) return plan
  plan = makePlan(group, parts)
  if (plans.size >= MOST_PLANS) plans.clear()
  plans.set(key, plan)
  return plan
}

function makePlan(group: GroupFolders, parts: readonly StatsPart[]): StatsPlan {
  // In this order: what only adds to another's figures comes after it, and so does what
  // is taken only where there is nothing better.
  known ??= [
    cpuacct,
    cpuUnified,
    cpuQuota,
    cpuPerCpu,
    memoryLegacy,
    memoryUnified,
    ioLegacy,
    ioUnified,
    ...countSources(),
    ...pressureSources,
  ]
  const wanted = known.filter(({ part }) => parts.includes(part))
  const hasCpuacct = group.folders.some(({ controllers }) => controllers.includes('cpuacct'))
  const folders: { index: number; names: string }[] = []
  const first = new Map<StatsSource, number>()
  let count = 0
  for (const [index, folder] of group.folders.entries()) {
    let names = ''
    for (const source of wanted) {
      if (source.version !== folder.version || first.has(source)) continue
      if (source.controller !== undefined && !folder.controllers.includes(source.controller))
        continue
      // Its processes are counted there; the companion may be somebody else's.
      if (source === cpuUnified && hasCpuacct) continue
      first.set(source, count)
      count += source.files.length
      for (const name of source.files) names += `${name}\0`
    }
    if (names !== '') folders.push({ index, names })
  }
  const sources = wanted.flatMap(source => {
    const place = first.get(source)
    return place === undefined ? [] : [{ source, first: place }]
  })
  return { folders, count, sources }
}

/** The answers to one reading of many groups, which are taken one group after the other. */
export class StatsAnswers implements StatsFiles {
  readonly #bytes: Uint8Array
  readonly #sizes: Int32Array
  readonly #begins: Int32Array
  readonly #text = new StatsText()
  #group = 0
  #first = 0

  constructor(bytes: Uint8Array, sizes: Int32Array) {
    this.#bytes = bytes
    this.#sizes = sizes
    this.#begins = new Int32Array(sizes.length)
    for (let i = 0, begin = 0; i < sizes.length; i++) {
      this.#begins[i] = begin
      begin += Math.max(0, sizes[i] as number)
    }
  }

  text(file: number): StatsText | undefined {
    const index = this.#group + this.#first + file
    const size = this.#sizes[index] as number
    if (size < 0) return undefined
    const begin = this.#begins[index] as number
    return this.#text.set(this.#bytes, begin, begin + size)
  }

  /**
   * The figures of the next group; undefined when it has none of its files any more.
   *
   * @throws CofferdamError of a file that is there and could not be read.
   */
  next(group: GroupFolders, plan: StatsPlan, time: number): Stats | undefined {
    const { count, sources } = plan
    let any = false
    for (let i = 0; i < count; i++) {
      const size = this.#sizes[this.#group + i] as number
      if (size >= 0) any = true
      else if (!missing.has(-size)) throw readError(group, plan, i, -size)
    }
    const stats: Stats = { time }
    for (const { source, first } of any ? sources : []) {
      this.#first = first
      source.read(this, stats)
    }
    this.#group += count
    return any || count === 0 ? stats : undefined
  }
}

const { ENOENT, ENODEV, EOPNOTSUPP } = constants.errno

/** What says that there is no such file, or, EOPNOTSUPP, that nothing is counted in it. */
const missing = new Set([ENOENT, ENODEV, EOPNOTSUPP])

function readError(group: GroupFolders, plan: StatsPlan, file: number, errno: number) {
  let left = file
  for (const { index, names } of plan.folders) {
    const list = names.split('\0').slice(0, -1)
    if (left < list.length) {
      const path = `${group.folders[index]?.path}/${list[left]}`
      const code = errnoName(errno)
      const hint =
        code === 'EMFILE'
          ? 'this program has too many open files: ulimit -n, or fewer descriptors for a StatsReader'
          : undefined
      return new CofferdamError(`${path}: ${code}`, { code, errno, path, hint })
    }
    left -= list.length
  }
  return new CofferdamError(`${group.path}: ${errnoName(errno)}`, { code: errnoName(errno), errno })
}
