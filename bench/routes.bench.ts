// A table of 10,000 routes, given by the kernel and read: here, by a C program that asks the same
// (bench/routes.c), and by `ip -j route`, which has to start first and to print. In turns.
//
//   npm run bench -- routes [--json]
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { netlink } from 'cofferdam'
import { type Contender, clocked, spawned, versionOf } from './lib/contenders.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'

const ROUTES = 10_000
const ROUNDS = 40
const bench = new Workbench()
const keeper: ChildProcess = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 3600'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
await once(keeper.stdout as NodeJS.ReadableStream, 'data')
const netns = `/proc/${keeper.pid}/ns/net`
const inside = [`--net=${netns}`, '--']
const rows: Row[] = []
const times = new Map<Contender, number[]>()
const nl = await netlink.open({ netns })
const c = clocked('C', 'nsenter', [...inside, bench.program('routes')])
const list: Contender = {
  name: 'nl.routes.list()',
  async run() {
    const begin = performance.now()
    const { length } = await nl.routes.list({ family: 'inet' })
    const end = performance.now()
    if (length < ROUTES) throw new Error(`${length} routes`)
    return end - begin
  },
}
const ip: Contender = {
  name: 'ip -j route',
  version: versionOf('ip') ?? '',
  run: () => spawned('nsenter', [...inside, 'ip', '-j', 'route']),
}
try {
  await nl.links.create({ kind: 'veth', name: 'eth0', up: true, peer: { name: 'eth1', up: true } })
  await nl.addresses.create({ device: 'eth0', address: '10.0.0.1/24' })
  const made = Array.from({ length: ROUTES }, (_, i) =>
    nl.routes.create({
      destination: `172.${16 + (i >> 12)}.${(i >> 4) & 255}.${(i & 15) << 4}/28`,
      gateway: `10.0.0.${2 + (i % 200)}`,
      device: 'eth0',
      priority: 100 + (i % 10),
    }),
  )
  const begin = performance.now()
  await Promise.all(made)
  rows.push({ name: '10,000 routes made, once', unit: 'ms', median: performance.now() - begin })
  const contenders = [list, c, ip]
  for (const contender of contenders) {
    for (let i = 0; i < 10; i++) await contender.run()
    times.set(contender, [])
  }
  for (let i = 0; i < ROUNDS; i++)
    for (const [contender, found] of shuffle([...times])) found.push(await contender.run())
} finally {
  c.close?.()
  await nl.close()
  keeper.kill('SIGKILL')
  bench.remove()
}
for (const [{ name, version }, found] of times)
  rows.push({
    name: version ? `${name} (${version})` : name,
    unit: 'ms',
    median: median(found),
    p95: quantile(found, 0.95),
  })
const middle = (contender: Contender) => median(times.get(contender) ?? [])
function compare(name: string, a: Contender, b: Contender, most: number): void {
  const ratio = middle(a) / middle(b)
  const target = { text: `at most ${most}`, met: ratio <= most }
  rows.push({ name, unit: 'times', median: ratio, target })
}
compare('against C', list, c, 3)
compare('against ip -j route', list, ip, 1)
report(`${ROUTES.toLocaleString('en')} routes listed, ${ROUNDS} times, in turns`, rows)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
