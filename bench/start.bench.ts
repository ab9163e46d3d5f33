// Create, start and exit of a static `true`, side by side with what a user
// would take instead. The contenders take turns, so that all see the machine
// as it is at the time; what counts are the ratios.
//
//   npm run bench -- start [--starts=200] [--json]
import { parseArgs } from 'node:util'
import {
  bubblewrap,
  type Contender,
  childProcess,
  cofferdam,
  ociRuntime,
  plainC,
} from './lib/contenders.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'
import { runWithUnifiedHierarchy } from './lib/unified.js'

runWithUnifiedHierarchy()

const { values } = parseArgs({
  options: { starts: { type: 'string', default: '200' }, json: { type: 'boolean' } },
})
const starts = Number(values.starts)
const bench = new Workbench()
const contenders = {
  network: cofferdam(bench, true),
  plain: cofferdam(bench, false),
  networkC: plainC(bench, true),
  plainC: plainC(bench, false),
  spawn: childProcess(bench),
  bwrap: bubblewrap(bench),
  crun: ociRuntime(bench, 'crun'),
  runc: ociRuntime(bench, 'runc'),
}
const times = new Map<Contender, number[]>()
const missing: string[] = []
try {
  for (const [key, contender] of Object.entries(contenders)) {
    if (contender === undefined) {
      missing.push(`${key} is not installed`)
      continue
    }
    try {
      for (let i = 0; i < 5; i++) await contender.run()
      times.set(contender, [])
    } catch (error) {
      missing.push(`${contender.name} does not work here: ${(error as Error).message}`)
    }
  }
  for (let i = 0; i < starts; i++) {
    // In another order each time: what one leaves for the kernel to clear up
    // should not always burden the same next one.
    for (const [contender, list] of shuffle([...times])) list.push(await contender.run())
    if (process.stderr.isTTY) process.stderr.write(`\r${i + 1} of ${starts} `)
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
} finally {
  for (const contender of Object.values(contenders)) contender?.close?.()
  bench.remove()
}

const of = (contender: Contender | undefined) =>
  contender === undefined ? undefined : times.get(contender)
const middle = (contender: Contender | undefined) => median(of(contender) ?? [])

const rows: Row[] = [...times].map(([contender, list]) => ({
  name: contender.version ? `${contender.name} (${contender.version})` : contender.name,
  unit: 'ms',
  median: median(list),
  p95: quantile(list, 0.95),
  count: list.length,
}))

function atMost(name: string, a: Contender, b: Contender | undefined, bound?: number): void {
  if (b === undefined || of(b) === undefined) return
  const ratio = middle(a) / middle(b)
  const target = bound && { target: { text: `at most ${bound}`, met: ratio <= bound } }
  rows.push({ name, unit: 'times', median: ratio, ...target })
}

function atLeast(name: string, a: Contender, b: Contender | undefined, bound: number): void {
  if (b === undefined || of(b) === undefined) return
  const ratio = middle(b) / middle(a)
  const target = { text: `at least ${bound}`, met: ratio >= bound }
  rows.push({ name, unit: 'times', median: ratio, target })
}

const { network, plain, networkC, spawn, bwrap, crun, runc } = contenders
atMost('with network, against plain C', network, networkC, 1.5)
atMost('no network, against plain C', plain, contenders.plainC)
atMost('with network, against spawn', network, spawn, 1.25)
atMost('no network, against spawn', plain, spawn, 1)
atLeast('faster than bwrap', network, bwrap, 2.5)
atLeast('faster than crun', network, crun, 5)
atLeast('faster than runc', network, runc, 8)
report(`Create, start and exit of a static true, ${starts} times, in turns`, rows)
for (const line of missing) console.error(line)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
