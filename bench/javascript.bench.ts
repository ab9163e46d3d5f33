// What a start costs the JavaScript thread: while it runs, nothing else does.
//
//   npm run bench -- javascript [--json]
//
// "native call" is create's one call into the addon, start's another.
// "JavaScript" is everything on the thread for one create and start: building
// the description, create(), the events, start(). Each with a configuration
// that was used before and with one that never was; at a small heap and at one
// of 1 GB; of a program that has started some thousands already.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Container, type StartOptions, tmpfs } from 'cofferdam'
import { native } from '#lib/base/index.js'
import { TRUE, Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const STARTS = 300
const WARM_UP = 2000
const bench = new Workbench()
const addon = native()

/** Microseconds spent in the listener and, while they are looked at, in the two calls. */
let inCreate = 0
let inStart = 0
let inEvents = 0
const { create, start, listen } = addon
const since = (begin: number) => (performance.now() - begin) * 1000

addon.listen = listener =>
  listen((id, event, a, b, c, d) => {
    const begin = performance.now()
    listener(id, event, a, b, c, d)
    inEvents += since(begin)
  })

/** Calls `run` while the native calls are timed, which itself takes time. */
async function watchingNativeCalls<T>(run: () => Promise<T>): Promise<T> {
  addon.create = (...args) => {
    const begin = performance.now()
    const id = create(...args)
    inCreate = since(begin)
    return id
  }
  addon.start = (...args) => {
    const begin = performance.now()
    const pipes = start(...args)
    inStart = since(begin)
    return pipes
  }
  try {
    return await run()
  } finally {
    Object.assign(addon, { create, start })
  }
}

interface Costs {
  create: number[]
  start: number[]
  all: number[]
}

/** A description made anew each time, or one that is used again and again. */
async function measure(
  description: (i: number) => Container,
  starts = STARTS,
  options: StartOptions = {},
): Promise<Costs> {
  const costs: Costs = { create: [], start: [], all: [] }
  for (let i = 0; i < starts; i++) {
    inEvents = 0
    let begin = performance.now()
    const creating = description(i).create()
    let all = since(begin)
    const box = await creating

    begin = performance.now()
    const starting = box.start([TRUE], { ...options, stdio: 'ignore' })
    all += since(begin)
    const main = await starting
    await main.exited
    await box.delete()
    costs.create.push(inCreate)
    costs.start.push(inStart)
    costs.all.push(all + inEvents)
  }
  return costs
}

const describe = (size: number | string) =>
  new Container().rootfs(bench.rootfs).mount(tmpfs('/tmp', { size }))
const template = describe('64MiB')
let serial = 0

/** What a judge says at every start. */
const limits: StartOptions = {
  rlimits: { cpu: { soft: 1, hard: 2 }, as: '2GiB', fsize: '10MiB', nofile: 64, core: 0 },
  nice: 5,
}

/** How long child_process.spawn() holds the thread, for comparison. */
async function measureSpawn(): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < 60; i++) {
    const begin = performance.now()
    const child = spawn(`${bench.rootfs}${TRUE}`, { stdio: 'ignore' })
    times.push((performance.now() - begin) * 1000)
    await once(child, 'exit')
  }
  return times
}

const rows: Row[] = []

function row(name: string, times: readonly number[], bound?: number): void {
  const middle = median(times)
  const target =
    bound === undefined ? {} : { target: { text: `at most ${bound}`, met: middle <= bound } }
  rows.push({ name, unit: 'µs', median: middle, p95: quantile(times, 0.95), ...target })
}

async function round(heap: string): Promise<void> {
  // V8 compiles what is used often, so a program that starts many is fastest.
  await measure(() => template, WARM_UP)
  const calls = await watchingNativeCalls(() => measure(() => template))
  const known = await measure(() => template)
  await measure(() => template, WARM_UP, limits)
  const limited = await measure(() => template, STARTS, limits)
  await measure(() => describe('64MiB'), WARM_UP)
  const equal = await measure(() => describe('64MiB'))
  await measure(() => describe(4096 * ++serial))
  const fresh = await measure(() => describe(4096 * ++serial))
  row(`${heap}: native call, create`, calls.create, 50)
  row(`${heap}: native call, start`, calls.start, 50)
  row(`${heap}: JavaScript, builder used before`, known.all, 50)
  row(`${heap}: JavaScript, the same with limits`, limited.all, 60)
  row(`${heap}: JavaScript, equal configuration used before`, equal.all, 50)
  row(`${heap}: JavaScript, new configuration`, fresh.all, 250)
  row(`${heap}: child_process.spawn()`, await measureSpawn())
}

try {
  await round('50 MB')
  const ballast: object[] = []
  while (process.memoryUsage().heapUsed < 1e9)
    for (let i = 0; i < 100_000; i++) ballast.push({ i, text: `${i}` })
  await round('1 GB')
  if (ballast.length === 0) throw new Error('the heap was not filled')
} finally {
  bench.remove()
}
report(`Microseconds on the JavaScript thread, of ${STARTS} starts`, rows)
