// What containers take and leave: memory of parked ones, growth over a
// thousand starts, and how many a second with eight in flight.
//
//   npm run bench -- footprint [--json]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { type Box, Container } from 'cofferdam'
import { TRUE, Workbench } from './lib/rootfs.js'
import { median, type Row, report } from './lib/statistics.js'

const bench = new Workbench()
const rows: Row[] = []
const withNetwork = () => new Container().rootfs(bench.rootfs)
const withoutNetwork = () => withNetwork().isolate('mount', 'pid', 'uts', 'ipc', 'cgroup')

async function runOnce(builder: () => Container): Promise<void> {
  const box = await builder().create()
  const main = await box.start([TRUE], { stdio: 'ignore' })
  await main.exited
  await box.delete()
}

async function inFlight(
  total: number,
  width: number,
  job: () => Promise<unknown>,
): Promise<number> {
  let left = total
  const begin = performance.now()
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (left-- > 0) await job()
    }),
  )
  return (total / (performance.now() - begin)) * 1000
}

const collect = () => (globalThis.gc as (() => void) | undefined)?.()

/** Kilobytes of a line of a file of /proc. */
function kilobytes(path: string, names: readonly string[]): number {
  const text = readFileSync(path, 'utf8')
  let sum = 0
  for (const name of names)
    sum += Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))?.[1])
  return sum
}

const resident = () => kilobytes('/proc/self/status', ['VmRSS'])

function bound(name: string, unit: string, value: number, most: number): void {
  rows.push({ name, unit, median: value, target: { text: `at most ${most}`, met: value <= most } })
}

function least(name: string, value: number, atLeast: number): void {
  rows.push({
    name,
    unit: '/s',
    median: value,
    target: { text: `at least ${atLeast}`, met: value >= atLeast },
  })
}

async function parked(): Promise<void> {
  const count = 200
  for (let i = 0; i < 300; i++) await runOnce(withoutNetwork)
  collect()
  const before = resident()
  const boxes: Box[] = []
  for (let i = 0; i < count; i++) boxes.push(await withNetwork().create())
  collect()
  bound('parked: memory in the host process', 'kB', Math.max(0, resident() - before) / count, 50)
  const inInit = boxes.map(box =>
    kilobytes(`/proc/${box.pid}/smaps_rollup`, ['Private_Clean', 'Private_Dirty']),
  )
  bound('parked: private memory of init', 'kB', median(inInit), 300)
  await Promise.all(boxes.map(box => box.delete()))
}

async function growth(): Promise<void> {
  const look = () => ({
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length,
  })
  for (let i = 0; i < 1000; i++) await runOnce(withNetwork)
  collect()
  const before = { ...look(), resident: resident() }
  for (let i = 0; i < 1000; i++) await runOnce(withNetwork)
  collect()
  const after = { ...look(), resident: resident() }
  bound('1,000 starts: more descriptors', '', after.descriptors - before.descriptors, 0)
  bound('1,000 starts: more threads', '', after.threads - before.threads, 0)
  bound('1,000 starts: more mounts', '', after.mounts - before.mounts, 0)
  bound('1,000 starts: more resident memory', 'kB', after.resident - before.resident, 2048)
}

async function throughput(): Promise<void> {
  least('8 in flight, no network', await inFlight(1000, 8, () => runOnce(withoutNetwork)), 1500)
  least('8 in flight, with network', await inFlight(1000, 8, () => runOnce(withNetwork)), 800)
  const bare = await inFlight(1000, 8, () =>
    once(spawn(`${bench.rootfs}${TRUE}`, { stdio: 'ignore' }), 'exit'),
  )
  rows.push({ name: '8 in flight, child_process.spawn', unit: '/s', median: bare })
}

try {
  await parked()
  await growth()
  await throughput()
} finally {
  bench.remove()
}
report('What containers take and leave', rows)
