// A default container with a hundred bind mounts, and one with none, against the same system
// calls in plain C, in turns.
//
//   npm run bench -- mounts [--starts=200] [--json]
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bind } from 'cofferdam'
import { type Contender, cofferdam, plainC } from './lib/contenders.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'

const { values } = parseArgs({
  options: { starts: { type: 'string', default: '200' }, json: { type: 'boolean' } },
})
const starts = Number(values.starts)
const BINDS = 100
const bench = new Workbench()
const source = join(bench.folder, 'source')
mkdirSync(source)
for (let i = 0; i < BINDS; i++) mkdirSync(join(bench.rootfs, 'm', `${i}`), { recursive: true })
const binds = Array.from({ length: BINDS }, (_, i) => bind(source, `/m/${i}`))

const contenders = {
  many: { ...cofferdam(bench, true, binds), name: `cofferdam, ${BINDS} bind mounts` },
  manyC: { ...plainC(bench, true, BINDS, source), name: `plain C, ${BINDS} bind mounts` },
  none: { ...cofferdam(bench, true), name: 'cofferdam, none' },
  noneC: { ...plainC(bench, true), name: 'plain C, none' },
}
const times = new Map<Contender, number[]>()
try {
  for (const contender of Object.values(contenders)) {
    for (let i = 0; i < 5; i++) await contender.run()
    times.set(contender, [])
  }
  for (let i = 0; i < starts; i++)
    for (const [contender, list] of shuffle([...times])) list.push(await contender.run())
} finally {
  for (const contender of Object.values(contenders)) contender.close?.()
  bench.remove()
}

const of = (contender: Contender) => times.get(contender) as number[]
const { many, manyC, none, noneC } = contenders
const ratio = median(of(many)) / median(of(manyC))
const rows: Row[] = [...times].map(([contender, list]) => ({
  name: contender.name,
  unit: 'ms',
  median: median(list),
  p95: quantile(list, 0.95),
  count: list.length,
  ...(contender === many
    ? { target: { text: `${ratio.toFixed(2)} times plain C, at most 1.2`, met: ratio <= 1.2 } }
    : {}),
}))
const each = (with_: Contender, without: Contender) =>
  ((median(of(with_)) - median(of(without))) / BINDS) * 1000
rows.push({ name: 'cofferdam, one bind mount more', unit: 'µs', median: each(many, none) })
rows.push({ name: 'plain C, one bind mount more', unit: 'µs', median: each(manyC, noneC) })
report(`A container with ${BINDS} bind mounts`, rows)
