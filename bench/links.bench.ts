// A thousand pairs of devices made, listed and deleted: by the package, by ip(8), and by a C program
// (bench/links.c) that sends the same messages, one by one and 32 at once. They take turns, in one
// network namespace of the bench's own.
//
//   npm run bench -- links [--json]
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { netlink } from 'cofferdam'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const PAIRS = 1000
const ROUNDS = 1
const LISTS = 15

const bench = new Workbench()
const keeper = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 10000'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
await once(keeper.stdout, 'data')
const path = `/proc/${keeper.pid}/ns/net`
const names = Array.from({ length: PAIRS }, (_, i) => i)
for (const [file, line] of [
  ['create', (i: number) => `link add name a${i} type veth peer name b${i}`],
  ['delete', (i: number) => `link delete dev a${i}`],
] as const)
  writeFileSync(join(bench.folder, file), `${names.map(line).join('\n')}\n`)

const inside = (...argv: string[]) =>
  execFileSync('nsenter', [`--net=${path}`, '--', ...argv], { maxBuffer: 1 << 28 })
const c = spawn('nsenter', [`--net=${path}`, bench.program('links'), `${PAIRS}`], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const answers = createInterface({ input: c.stdout })[Symbol.asyncIterator]()
const inC = async (which: string) => {
  c.stdin.write(which)
  return Number((await answers.next()).value) / 1000
}
const clock = async (work: () => unknown) => {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

type Who = 'cofferdam' | 'C, one by one' | 'C, 32 at once' | 'ip'
type What = 'make' | 'delete' | 'list'
const times: Record<What, Map<Who, number[]>> = {
  make: new Map(),
  delete: new Map(),
  list: new Map(),
}
const note = (what: What, who: Who, time: number) => {
  const known = times[what].get(who)
  if (known === undefined) times[what].set(who, [time])
  else known.push(time)
}

const nl = await netlink.open({ netns: path })
const { links } = nl
try {
  const turns: [Who, () => Promise<number>, () => Promise<number>][] = [
    [
      'cofferdam',
      () =>
        clock(() =>
          Promise.all(
            names.map(i => links.create({ kind: 'veth', name: `a${i}`, peer: { name: `b${i}` } })),
          ),
        ),
      () => clock(() => Promise.all(names.map(i => links.delete(`a${i}`)))),
    ],
    ['C, one by one', () => inC('c'), () => inC('d')],
    ['C, 32 at once', () => inC('C'), () => inC('D')],
    [
      'ip',
      () => clock(() => inside('ip', '-batch', join(bench.folder, 'create'))),
      () => clock(() => inside('ip', '-batch', join(bench.folder, 'delete'))),
    ],
  ]
  for (let round = 0; round < ROUNDS; round++)
    for (const [who, make, remove] of round % 2 === 0 ? turns : [...turns].reverse()) {
      note('make', who, await make())
      if (round === 0 && who === 'cofferdam')
        for (let i = -3; i < LISTS; i++) {
          const ours = await clock(() => links.list())
          const theirs = await inC('l')
          const tool = await clock(() => inside('ip', '-j', 'link'))
          if (i < 0) continue
          note('list', 'cofferdam', ours)
          note('list', 'C, one by one', theirs)
          note('list', 'ip', tool)
        }
      note('delete', who, await remove())
    }
} finally {
  await nl.close()
  c.stdin.end()
  keeper.kill('SIGKILL')
  await once(keeper, 'exit')
  bench.remove()
}

const rows: Row[] = []
for (const what of Object.keys(times) as What[]) {
  const of = (who: Who) => times[what].get(who) ?? []
  for (const [who, values] of times[what])
    rows.push({
      name: `${what}, ${who}`,
      unit: 'ms',
      median: median(values),
      p95: quantile(values, 0.95),
    })
  const most = what === 'list' ? 3 : 1.5
  for (const [who, limit] of [
    ['C, one by one', most],
    ['ip', 1],
  ] as const) {
    const ratio = median(of('cofferdam')) / median(of(who))
    rows.push({
      name: `${what}, against ${who}`,
      unit: 'times',
      median: ratio,
      target: { text: `at most ${limit}`, met: ratio <= limit },
    })
  }
}
report(
  `${PAIRS} pairs of devices, ${ROUNDS} times, in turns; ${2 * PAIRS} devices listed ${LISTS} times`,
  rows,
)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
