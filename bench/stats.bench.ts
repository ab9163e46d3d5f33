// The figures of a thousand groups in one run, against a C program that reads the same
// files (bench/stats.c) and does nothing with them: all that there are, those of the
// controllers that one mostly wants, and those again by files that stay open.
//
//   npm run bench -- stats [--json]
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups } from 'cofferdam'
import { planFor } from '#lib/cgroups/stats/plan.js'
import { type Contender, clocked } from './lib/contenders.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'

const GROUPS = 1000
const ROUNDS = 20
const usual: cgroups.StatsPart[] = ['cpu', 'memory', 'pids']
const all: cgroups.StatsPart[] = [...usual, 'io', 'hugetlb', 'rdma', 'misc', 'pressure']

const bench = new Workbench()
const parent = await cgroups.Cgroup.create(`/cofferdam-bench-${process.pid}`)
const rows: Row[] = []
const contenders: Contender[] = []
try {
  const groups: cgroups.Cgroup[] = []
  for (let i = 0; i < GROUPS; i++) groups.push(await cgroups.Cgroup.create(`${parent.path}/${i}`))

  /** The files that the figures are made of, as far as this kernel has them. */
  const files = (parts: cgroups.StatsPart[]) =>
    groups.flatMap(group =>
      planFor(group, parts).folders.flatMap(({ index, names }) =>
        names
          .split('\0')
          .slice(0, -1)
          .map(name => join(group.folders[index]?.path ?? '', name)),
      ),
    )
  const clock = async (read: () => Promise<(cgroups.Stats | undefined)[]>) => {
    const begin = performance.now()
    const figures = await read()
    const end = performance.now()
    if (figures.some(each => each?.cpu === undefined)) throw new Error('there are no figures')
    return end - begin
  }
  const inC = (name: string, parts: cgroups.StatsPart[], ...how: string[]): Contender => {
    const list = join(bench.folder, name.replaceAll(/\W+/g, '-'))
    const there = files(parts).filter(existsSync)
    writeFileSync(list, `${there.join('\n')}\n`)
    return clocked(`${name}: ${there.length} files`, program, [list, ...how])
  }
  const program = bench.program('stats')
  const reader = new cgroups.StatsReader({ only: usual, descriptors: 100_000 })
  const pairs: [name: string, Contender, Contender, most?: number][] = [
    [
      'all figures',
      { name: 'statsOf(), all', run: () => clock(() => cgroups.statsOf(groups)) },
      inC('C, all', all),
      3,
    ],
    [
      usual.join(', '),
      {
        name: `statsOf(), ${usual.join(', ')}`,
        run: () => clock(() => cgroups.statsOf(groups, { only: usual })),
      },
      inC(`C, ${usual.join(', ')}`, usual),
      3,
    ],
    [
      'by files that stay open',
      { name: 'StatsReader', run: () => clock(() => reader.read(groups)) },
      inC('C, files that stay open', usual, 'keep'),
    ],
  ]
  const times = new Map<Contender, number[]>()
  for (const [, ours, theirs] of pairs) for (const each of [ours, theirs]) times.set(each, [])
  contenders.push(...times.keys())
  for (const each of contenders) for (let i = 0; i < 3; i++) await each.run()
  for (let i = 0; i < ROUNDS; i++)
    for (const [each, list] of shuffle([...times])) list.push(await each.run())
  for (const [{ name }, list] of times)
    rows.push({ name, unit: 'ms', median: median(list), p95: quantile(list, 0.95) })
  for (const [name, ours, theirs, most] of pairs) {
    const ratio = median(times.get(ours) ?? []) / median(times.get(theirs) ?? [])
    const target =
      most === undefined ? {} : { target: { text: `at most ${most}`, met: ratio <= most } }
    rows.push({ name: `${name}, against C`, unit: 'times', median: ratio, ...target })
  }
  reader.close()
} finally {
  for (const each of contenders) each.close?.()
  await parent.delete({ timeout: '60s' })
  bench.remove()
}
report(`The figures of ${GROUPS} groups, ${ROUNDS} times, in turns`, rows)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
