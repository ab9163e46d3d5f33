// What it costs that a container may outlive its maker: create, start and exit
// of a static `true`, detached and released against attached.
//
//   npm run bench -- detached [--json]
import { join } from 'node:path'
import { Container, type Lifetime } from 'cofferdam'
import { TRUE, Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const COUNT = 300
const lifetimes: readonly Lifetime[] = ['attached', 'detached', 'released']
const bench = new Workbench()
const stateFolder = join(bench.folder, 'state')
const times = new Map(lifetimes.map(lifetime => [lifetime, [] as number[]]))

/** Deleting it is no part of what is measured. */
async function run(builder: Container, lifetime: Lifetime): Promise<number> {
  const begin = performance.now()
  const box = await builder.create({ lifetime, stateFolder })
  const main = await box.start([TRUE], { stdio: 'ignore' })
  await main.exited
  const time = performance.now() - begin
  await box.delete()
  return time
}

try {
  const builder = new Container().rootfs(bench.rootfs)
  for (let round = -20; round < COUNT; round++)
    for (const lifetime of lifetimes) {
      const time = await run(builder, lifetime)
      if (round >= 0) times.get(lifetime)?.push(time)
    }
  const middle = (lifetime: Lifetime) => median(times.get(lifetime) ?? [])
  const rows: Row[] = lifetimes.map(lifetime => ({
    name: lifetime,
    unit: 'ms',
    median: middle(lifetime),
    p95: quantile(times.get(lifetime) ?? [], 0.95),
  }))
  for (const lifetime of ['detached', 'released'] as const) {
    const ratio = middle(lifetime) / middle('attached')
    const target = { text: 'at most 1.6', met: ratio <= 1.6 }
    rows.push({ name: `${lifetime}, against attached`, unit: 'times', median: ratio, target })
  }
  report(`Create, start and exit of a static true, ${COUNT} times, in turns`, rows)
} finally {
  bench.remove()
}
