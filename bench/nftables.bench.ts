// 10,000 elements into a set, and 1,000 rules into a chain, each as one batch: by the package, by
// `nft -f`, and by a C program (bench/nftables.c) that sends the bytes which the package made. They
// take turns, each time into an empty table. The package's time is from plain values to the
// kernel's answer; that of nft is the process's whole life.
//
//   npm run bench -- nftables [--json]
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { netlink } from 'cofferdam'
import { enclosed } from '#lib/netlink/nftables/wire.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report } from './lib/statistics.js'

const ROUNDS = 30
const ELEMENTS = 10_000
const RULES = 1_000
const { accept, counter, ip, tcp } = netlink.nft
const table = { family: 'inet', name: 't' } as const
const set = { family: 'inet', table: 't', name: 's', type: 'ipv4_addr' } as const

const keys = Array.from(
  { length: ELEMENTS },
  (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
)
const address = (i: number) => `10.1.${i >> 8}.${i & 255}`

const works = {
  [`${ELEMENTS} elements`]: {
    fill: (b: netlink.nft.Batch) => b.add('elements', { set, elements: keys }),
    text: `add element inet t s { ${keys.join(', ')} }\n`,
  },
  [`${RULES} rules`]: {
    fill: (b: netlink.nft.Batch) => {
      const into = b.table(table)
      for (let i = 0; i < RULES; i++)
        into.rule('c', ip.saddr(address(i)), tcp.dport(80), counter(), accept())
    },
    text: Array.from(
      { length: RULES },
      (_, i) => `add rule inet t c ip saddr ${address(i)} tcp dport 80 counter accept\n`,
    ).join(''),
  },
}

const bench = new Workbench()
const sleeper = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 1000'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
await once(sleeper.stdout, 'data')
const path = `/proc/${sleeper.pid}/ns/net`
const nl = await netlink.open({ netns: path })
const inside = (...argv: string[]) =>
  execFileSync('nsenter', [`--net=${path}`, '--', ...argv], { encoding: 'utf8' })

/** An empty table; the kernel takes the old one to pieces by itself, for which there is time. */
async function empty(): Promise<void> {
  await nl.nftables.flush()
  await nl.nftables.batch(b =>
    b.table(table).chain('c').set('s', { type: 'ipv4_addr', size: 65536 }),
  )
  await new Promise(resolve => setTimeout(resolve, 30))
}

/** How many there are afterwards. */
async function count(): Promise<number> {
  const rules = await nl.nftables.list('rule')
  return rules.length + (await nl.nftables.elements(set)).length
}

const rows: Row[] = []
try {
  const program = bench.program('nftables')
  for (const [title, { fill, text }] of Object.entries(works)) {
    const [script, message] = [join(bench.folder, 'script.nft'), join(bench.folder, 'message')]
    writeFileSync(script, text)
    const batch = new netlink.nft.Batch()
    fill(batch)
    // Each message stands at a multiple of four.
    const parts = enclosed(batch.messages).flatMap(({ bytes }) => [
      bytes,
      Buffer.alloc(-bytes.length & 3),
    ])
    writeFileSync(message, Buffer.concat(parts))
    const contenders: [name: string, run: () => Promise<number> | number][] = [
      [
        'nftables.batch()',
        async () => {
          const begin = performance.now()
          await nl.nftables.batch(b => void fill(b))
          return performance.now() - begin
        },
      ],
      ['plain C, the same bytes', () => Number(inside(program, message))],
      [
        'nft -f',
        () => {
          const begin = performance.now()
          inside('nft', '-f', script)
          return performance.now() - begin
        },
      ],
    ]
    const times = new Map<string, number[]>(contenders.map(([name]) => [name, []]))
    for (let round = 0; round < ROUNDS; round++)
      for (const [name, run] of contenders) {
        await empty()
        const time = await run()
        if (round === 0 && (await count()) < RULES) throw new Error(`${name} has made nothing`)
        if (round >= 3) times.get(name)?.push(time)
      }
    for (const [name, all] of times)
      rows.push({
        name: `${title}: ${name}`,
        unit: 'ms',
        median: median(all),
        p95: quantile(all, 0.95),
      })
    const against = (name: string, most: number) => {
      const ratio = median(times.get('nftables.batch()') ?? []) / median(times.get(name) ?? [])
      const target = { text: `at most ${most}`, met: ratio <= most }
      rows.push({ name: `${title}, against ${name}`, unit: 'times', median: ratio, target })
    }
    against('plain C, the same bytes', 1.5)
    against('nft -f', 1)
  }
} finally {
  await nl.close()
  sleeper.kill('SIGKILL')
  bench.remove()
}
report(`nf_tables, one batch, ${ROUNDS} times, in turns`, rows)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
