// A table of 10,000 mounts, as a machine with thousands of containers has it:
// parsed here, by a C program (bench/mountinfo.c), and by findmnt, which has to
// start first and to print one column. All read the same file, in turns.
//
//   npm run bench -- mountinfo [--json]
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mounts } from 'cofferdam'
import { type Contender, clocked, spawned, versionOf } from './lib/contenders.js'
import { Workbench } from './lib/rootfs.js'
import { median, quantile, type Row, report, shuffle } from './lib/statistics.js'

const LINES = 10_000
const ROUNDS = 40
const bench = new Workbench()
const file = join(bench.folder, 'table')

/** Overlays, secrets with a space in their names, namespaces, binds. */
function line(i: number): string {
  const id = 100 + i
  const hash = (i * 2_654_435_761).toString(16).padStart(12, '0')
  const layers = `/var/lib/containers/overlay/${hash}`
  switch (i % 4) {
    case 0:
      return `${id} 27 0:${i} / ${layers}/merged rw,relatime shared:${i} - overlay overlay rw,lowerdir=/l/${hash}A:/l/${hash}B:/l/${hash}C,upperdir=${layers}/diff,workdir=${layers}/work`
    case 1:
      return `${id} 27 0:${i} / /var/lib/pods/${hash}/volumes/token\\040${i} rw,relatime shared:${i} master:1 - tmpfs tmpfs rw,size=64k`
    case 2:
      return `${id} 27 0:4 net:[${4_026_530_000 + i}] /run/netns/${hash} rw shared:${i} - nsfs nsfs rw`
    default:
      return `${id} 27 254:0 /srv/data/${hash} /mnt/${hash} rw,nosuid,nodev,relatime - ext4 /dev/vda rw`
  }
}

const root = '27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard'
writeFileSync(file, [root, ...Array.from({ length: LINES - 1 }, (_, i) => line(i)), ''].join('\n'))

const parse: Contender = {
  name: 'parseMountInfo()',
  async run() {
    const begin = performance.now()
    const { length } = mounts.parseMountInfo(readFileSync(file))
    const end = performance.now()
    if (length !== LINES) throw new Error(`${length} mounts`)
    return end - begin
  },
}
const c = clocked('C', bench.program('mountinfo'), [file])
const version = versionOf('findmnt')
const findmnt = (args: readonly string[]) =>
  spawned('findmnt', ['--tab-file', file, '--noheadings', '-o', 'TARGET', ...args])
const contenders: Contender[] = [parse, c]
const list: Contender = {
  name: 'findmnt --list',
  version: version ?? '',
  run: () => findmnt(['-l']),
}
if (version !== undefined) contenders.push(list)

const times = new Map<Contender, number[]>()
const rows: Row[] = []
try {
  for (const contender of contenders) {
    for (let i = 0; i < 20; i++) await contender.run()
    times.set(contender, [])
  }
  for (let i = 0; i < ROUNDS; i++)
    for (const [contender, list] of shuffle([...times])) list.push(await contender.run())
  for (const [{ name, version }, list] of times)
    rows.push({
      name: version ? `${name} (${version})` : name,
      unit: 'ms',
      median: median(list),
      p95: quantile(list, 0.95),
    })
  if (version !== undefined) {
    const tree = await findmnt([])
    rows.push({ name: 'findmnt, as a tree, once', unit: 'ms', median: tree })
  }
} finally {
  c.close?.()
  bench.remove()
}
const middle = (contender: Contender) => median(times.get(contender) ?? [])
function compare(name: string, a: Contender, b: Contender, most: number): void {
  const ratio = middle(a) / middle(b)
  rows.push({
    name,
    unit: 'times',
    median: ratio,
    target: { text: `at most ${most}`, met: ratio <= most },
  })
}
compare('against C', parse, c, 3)
if (version !== undefined) compare('against findmnt --list', parse, list, 1)
report(`A table of ${LINES.toLocaleString('en')} mounts, ${ROUNDS} times, in turns`, rows)
if (rows.some(row => row.target?.met === false)) process.exitCode = 1
