// The life of a group with six limits: made, a process put in, removed; by the package, and by a C
// program (bench/cgroups.c) that makes the same calls for one beside it. They take turns. The
// kernel takes ten milliseconds and more for a process of somebody else's when none has been moved
// just before; so that is measured twice, right after another move and after a pause.
//
//   npm run bench -- cgroups [--json]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { cgroups } from 'cofferdam'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const ROUNDS = 150
/** So many of which begin with a pause before each move, in milliseconds. */
const [PAUSES, PAUSE] = [30, 60]
const { Cgroup } = cgroups
const controllers = ['cpu', 'memory', 'pids']
const limits: cgroups.Limits = {
  memory: {
    max: '256MiB',
    [cgroups.layoutNow().mode === 'unified' ? 'high' : 'softLimit']: '128MiB',
  },
  cpu: { quota: 50_000, period: 100_000, weight: 50 },
  pids: 100,
}
const bench = new Workbench()
const parent = await Cgroup.create(`/cofferdam-bench-${process.pid}`, { controllers })
const idle = spawn('sleep', ['1000'], { stdio: 'ignore' })
const pid = idle.pid as number

/** What the C program is to do: as the package does it, for a group of another name. */
async function script(path: string): Promise<string> {
  const model = await Cgroup.create(path, { controllers, limits })
  const lines = model.folders.map(({ path }) => `c mkdir ${path}`)
  const files = [
    'memory.max',
    'memory.high',
    'memory.limit_in_bytes',
    'memory.soft_limit_in_bytes',
    'cpu.max',
    'cpu.weight',
    'cpu.cfs_period_us',
    'cpu.cfs_quota_us',
    'cpu.shares',
    'pids.max',
  ]
  for (const folder of model.folders)
    for (const file of files) {
      const at = join(folder.path, file)
      try {
        lines.push(`c write ${at} ${readFileSync(at, 'utf8').trim()}`)
      } catch {
        // It is another version's, or another hierarchy's.
      }
    }
  for (const { path } of model.folders) lines.push(`a write ${path}/cgroup.procs ${pid}`)
  for (const { path } of model.folders)
    lines.push(`b write ${dirname(dirname(path))}/cgroup.procs ${pid}`)
  for (const { path } of model.folders) lines.push(`d rmdir ${path}`)
  await model.delete()
  return `${lines.join('\n')}\n`
}

const list = join(bench.folder, 'calls')
writeFileSync(list, await script(`${parent.path}/c`))
const c = spawn(bench.program('cgroups'), [list], { stdio: ['pipe', 'pipe', 'inherit'] })
const answers = createInterface({ input: c.stdout })[Symbol.asyncIterator]()
const inC = async (which: string) => {
  c.stdin.write(which)
  return Number((await answers.next()).value) / 1000
}
const clock = async (work: () => Promise<unknown>) => {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

const rows: Row[] = []
const times = {
  made: [[], []],
  added: [[], []],
  'added, after a pause': [[], []],
  removed: [[], []],
} as Record<string, [number[], number[]]>
const note = (what: string, who: 0 | 1, time: number) => times[what]?.[who].push(time)
const home = await Cgroup.open('/')
try {
  for (let round = -10; round < ROUNDS; round++) {
    const pauses = round >= ROUNDS - PAUSES
    const what = pauses ? 'added, after a pause' : 'added'
    const rest = () => pauses && new Promise(resolve => setTimeout(resolve, PAUSE))
    const takes = [
      async () => {
        let group = undefined as cgroups.Cgroup | undefined
        const made = await clock(async () => {
          group = await Cgroup.create(`${parent.path}/a`, { controllers, limits })
        })
        await rest()
        const added = await clock(() => group?.add(pid) as Promise<void>)
        await home.add(pid)
        const removed = await clock(() => group?.delete() as Promise<void>)
        if (round >= 0)
          for (const [name, time] of Object.entries({ made, [what]: added, removed }))
            note(name, 0, time)
      },
      async () => {
        const made = await inC('c')
        await rest()
        const added = await inC('a')
        await home.add(pid)
        const removed = await inC('d')
        if (round >= 0)
          for (const [name, time] of Object.entries({ made, [what]: added, removed }))
            note(name, 1, time)
      },
    ]
    for (const take of round % 2 === 0 ? takes : takes.reverse()) await take()
  }
} finally {
  c.stdin.end()
  idle.kill('SIGKILL')
  await once(idle, 'exit')
  await parent.delete()
  bench.remove()
}
for (const [what, [ours, theirs]] of Object.entries(times)) {
  for (const [name, values] of [
    ['cofferdam', ours],
    ['C', theirs],
  ] as const)
    rows.push({
      name: `${what}, ${name}`,
      unit: 'ms',
      median: median(values),
      p95: quantile(values, 0.95),
    })
  const ratio = median(ours) / median(theirs)
  rows.push({
    name: `${what}, against C`,
    unit: 'times',
    median: ratio,
    target: { text: 'at most 1.5', met: ratio <= 1.5 },
  })
}
report(`A group with six limits, ${ROUNDS} times, in turns`, rows)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
