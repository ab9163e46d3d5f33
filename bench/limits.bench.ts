// What limits cost: create, start and exit of a static `true` with a control group, and
// without one; runc and crun with the same limits beside it, as far as they run here. Deleting is
// measured apart, and part of what runc and crun do.
//
//   npm run bench -- limits [--json]
import { Container } from 'cofferdam'
import { ociRuntime } from './lib/contenders.js'
import { TRUE, Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const COUNT = 200
const bench = new Workbench()
const all = {
  'without a group': new Container().rootfs(bench.rootfs),
  'a group without limits': new Container().rootfs(bench.rootfs).limits({}),
  'memory, processor, processes': new Container()
    .rootfs(bench.rootfs)
    .limits({ memory: '256MiB', cpus: 0.5, pids: 64 }),
  'a group for processes only': new Container()
    .rootfs(bench.rootfs)
    .cgroup({ controllers: ['pids'] })
    .limits({ pids: 64 }),
}
type Name = keyof typeof all
const names = Object.keys(all) as Name[]
const starts = new Map(names.map(name => [name, [] as number[]]))
const ends = new Map(names.map(name => [name, [] as number[]]))
const resources = {
  memory: { limit: 256 << 20 },
  cpu: { quota: 50_000, period: 100_000 },
  pids: { limit: 64 },
}
const peers = (['runc', 'crun'] as const).flatMap(command => {
  const contender = ociRuntime(bench, command, resources)
  return contender === undefined ? [] : { ...contender, times: [] as number[], refuses: false }
})

async function run(name: Name): Promise<[start: number, end: number]> {
  const begin = performance.now()
  const box = await all[name].create()
  const main = await box.start([TRUE], { stdio: 'ignore' })
  await main.exited
  const ended = performance.now()
  await box.delete()
  return [ended - begin, performance.now() - ended]
}

try {
  for (const peer of peers) {
    const refusal = peer.refusal?.()
    peer.refuses = refusal !== undefined
    if (peer.refuses) console.error(`${peer.version} does not run with limits here: ${refusal}`)
  }
  for (let round = -10; round < COUNT; round++) {
    for (const name of names) {
      const [start, end] = await run(name)
      if (round < 0) continue
      starts.get(name)?.push(start)
      ends.get(name)?.push(end)
    }
    if (round < 0 || round % 4 !== 0) continue
    for (const peer of peers) if (!peer.refuses) peer.times.push(await peer.run())
  }
  const middle = (name: Name) => median(starts.get(name) ?? [])
  const rows: Row[] = names.flatMap((name): Row[] => [
    { name, unit: 'ms', median: middle(name), p95: quantile(starts.get(name) ?? [], 0.95) },
    { name: `${name}: delete()`, unit: 'ms', median: median(ends.get(name) ?? []) },
  ])
  for (const { name, version, times, refuses } of peers)
    if (!refuses) rows.push({ name: `${name} (${version})`, unit: 'ms', median: median(times) })
  const [without, , limits] = names as [Name, Name, Name]
  rows.push({
    name: 'with limits, against without',
    unit: 'times',
    median: middle(limits) / middle(without),
  })
  report(`Create, start and exit of a static true, ${COUNT} times, in turns`, rows)
} finally {
  bench.remove()
}
