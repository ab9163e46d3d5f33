// Parsers of what the kernel says of groups, on texts of every kind.

import fc from 'fast-check'
import t from 'tap'
import type { GroupFolders } from '#lib/cgroups/folders.js'
import { planFor, StatsAnswers } from '#lib/cgroups/stats/plan.js'
import { readPressure } from '#lib/cgroups/stats/pressure.js'
import type { StatsPart } from '#lib/cgroups/stats/source.js'
import { FlatKeys, StatsText } from '#lib/cgroups/stats/text.js'

const parts: StatsPart[] = [
  'cpu',
  'perCpu',
  'memory',
  'pids',
  'io',
  'hugetlb',
  'rdma',
  'misc',
  'pressure',
]
const unified: GroupFolders = {
  path: '/x',
  folders: [
    {
      version: 2,
      controllers: ['cpu', 'io', 'memory', 'hugetlb', 'pids', 'rdma', 'misc'],
      path: '/u/x',
    },
  ],
}
const legacy: GroupFolders = {
  path: '/x',
  folders: ['cpu', 'cpuacct', 'memory', 'blkio', 'pids', 'rdma', 'misc'].map(name => ({
    version: 1,
    controllers: [name],
    path: `/${name}/x`,
  })),
}

/** What a group with these files has; a file that is not given is not there. */
function statsOf(group: GroupFolders, files: (name: string) => Uint8Array | undefined) {
  const plan = planFor(group, parts)
  const names = plan.folders.flatMap(({ names }) => names.split('\0').slice(0, -1))
  const texts = names.map(files)
  const sizes = Int32Array.from(texts.map(text => text?.length ?? -2))
  const bytes = Buffer.concat(texts.filter(text => text !== undefined))
  return new StatsAnswers(bytes, sizes).next(group, plan, 1)
}
const fromTexts = (group: GroupFolders, texts: Record<string, string>) =>
  statsOf(group, name => (name in texts ? Buffer.from(texts[name] as string) : undefined))

t.test('version 2, as a kernel with all controllers has it', async t => {
  const stats = fromTexts(unified, {
    'cpu.stat':
      'usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnr_periods 10\nnr_throttled 3\nthrottled_usec 77\nnr_bursts 1\nburst_usec 5\n',
    'memory.current': '5000000\n',
    'memory.stat':
      'anon 1000\nfile 2000\nkernel 300\nkernel_stack 16\npagetables 20\nsock 1\nshmem 2\nfile_mapped 3\nfile_dirty 4\nfile_writeback 5\ninactive_anon 6\nactive_anon 7\ninactive_file 1000000\nactive_file 9\nunevictable 10\nslab 11\npgfault 12\npgmajfault 13\n',
    'memory.events': 'low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n',
    'memory.peak': '6000000\n',
    'memory.max': 'max\n',
    'memory.swap.current': '4096\n',
    'memory.swap.max': '8192\n',
    'pids.current': '7\n',
    'pids.max': '64\n',
    'pids.events': 'max 2\n',
    'io.stat':
      '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n259:1 \n8:16 rbytes=18446744073709551615 wbytes=0 rios=0 wios=0 dbytes=0 dios=0\n',
    'rdma.current': 'mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=0 hca_object=0\n',
    'misc.current': 'res_a 3\nres_b 0\n',
    'misc.peak': 'res_a 5\nres_b 0\n',
    'misc.max': 'res_a max\nres_b 4\n',
    'misc.events': 'res_a.max 0\nres_b.max 2\n',
    'irq.pressure': 'full avg10=0.01 avg60=0.02 avg300=99.99 total=123\n',
  })
  t.match(stats, {
    time: 1,
    cpu: {
      usage: 1_234_567,
      user: 1_000_000,
      system: 234_567,
      periods: 10,
      throttledPeriods: 3,
      throttledTime: 77,
      bursts: 1,
      burstTime: 5,
    },
    memory: {
      usage: 5_000_000,
      workingSet: 4_000_000,
      peak: 6_000_000,
      limit: 'max',
      limitHits: 3,
      oom: 4,
      oomKills: 5,
      swap: { usage: 4096, limit: 8192 },
      anon: 1000,
      file: 2000,
      kernel: 300,
      slab: 11,
      kernelStack: 16,
      pageTables: 20,
      sock: 1,
      shmem: 2,
      mapped: 3,
      dirty: 4,
      writeback: 5,
      inactiveAnon: 6,
      activeAnon: 7,
      inactiveFile: 1_000_000,
      activeFile: 9,
      unevictable: 10,
      pageFaults: 12,
      majorPageFaults: 13,
    },
    pids: { current: 7, limit: 64, limitHits: 2 },
    rdma: {
      mlx4_0: { hcaHandles: 2, hcaObjects: 2000 },
      ocrdma1: { hcaHandles: 0, hcaObjects: 0 },
    },
    misc: {
      res_a: { current: 3, peak: 5, limit: 'max', limitHits: 0 },
      res_b: { current: 0, peak: 0, limit: 4, limitHits: 2 },
    },
    pressure: { irq: { full: { avg10: 0.01, avg60: 0.02, avg300: 99.99, total: 123 } } },
  })
  t.strictSame(stats?.io, {
    devices: [
      { device: '8:0', rbytes: 1, wbytes: 2, rios: 3, wios: 4, dbytes: 5, dios: 6 },
      {
        device: '8:16',
        rbytes: 18_446_744_073_709_551_615n,
        wbytes: 0,
        rios: 0,
        wios: 0,
        dbytes: 0,
        dios: 0,
      },
    ],
  })
  t.notOk(stats?.pids?.peak)
})

t.test('version 1 in the same words', async t => {
  const stats = fromTexts(legacy, {
    'cpuacct.usage': '20000000000000001\n', // 231 days: beyond 2^53 nanoseconds
    'cpuacct.usage_user': '15000000000000999\n',
    'cpuacct.usage_percpu': '1000 2999 \n',
    'cpu.stat':
      'nr_periods 9\nnr_throttled 8\nthrottled_time 9000000000000000999\nnr_bursts 0\nburst_time 1999\n',
    'memory.usage_in_bytes': '100\n',
    'memory.stat':
      'cache 1\nrss 2\nswap 3\npgfault 4\ninactive_file 5\nhierarchical_memory_limit 6\ntotal_cache 10\ntotal_rss 20\ntotal_swap 30\ntotal_pgfault 40\ntotal_inactive_file 500\n',
    'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
    'memory.max_usage_in_bytes': '200\n',
    'memory.limit_in_bytes': '1048576\n',
    'memory.failcnt': '17\n',
    'memory.kmem.usage_in_bytes': '50\n',
    'memory.memsw.limit_in_bytes': '9223372036854771712\n',
    'blkio.throttle.io_service_bytes_recursive':
      '8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Async 0\n8:0 Discard 4\n8:0 Total 3\nTotal 3\n',
    'blkio.throttle.io_serviced_recursive': '8:0 Read 5\n8:0 Write 6\n8:0 Discard 7\nTotal 11\n',
  })
  t.match(stats, {
    cpu: {
      usage: 20_000_000_000_000,
      user: 15_000_000_000_000,
      system: 5_000_000_000_000,
      perCpu: [1, 2],
      throttledTime: 9_000_000_000_000_000,
      burstTime: 1,
    },
    memory: {
      usage: 100,
      workingSet: 0,
      anon: 20,
      file: 10,
      kernel: 50,
      peak: 200,
      limit: 1_048_576,
      limitHits: 17,
      oomKills: 2,
      pageFaults: 40,
      inactiveFile: 500,
      swap: { usage: 30, limit: 'max' },
    },
    io: {
      devices: [{ device: '8:0', rbytes: 1, wbytes: 2, dbytes: 4, rios: 5, wios: 6, dios: 7 }],
    },
  } as object)
})

t.test('a file that can not be read is an error that names it', async t => {
  const plan = planFor(unified, ['cpu', 'memory'])
  const sizes = new Int32Array(plan.count).fill(-2)
  sizes[2] = -24
  t.throws(() => new StatsAnswers(new Uint8Array(), sizes).next(unified, plan, 0), {
    code: 'EMFILE',
    path: '/u/x/memory.stat',
    hint: /open files/,
  })
  sizes[2] = -95
  t.equal(new StatsAnswers(new Uint8Array(), sizes).next(unified, plan, 0), undefined)
})

/** Bytes that look like such files, more or less. */
const bits = [
  ...['usage_usec', 'anon', 'oom_kill', 'max', 'total_cache', 'nr_periods', 'res_a', 'res_a.max'],
  ...['8:0', 'Read', 'Write', 'rbytes=', 'some', 'full', 'avg10=', 'total=', 'hca_handle=', '='],
  ...[
    ' ',
    '\n',
    '  ',
    '\n\n',
    '0',
    '1',
    '18446744073709551616',
    '-1',
    '1.5',
    '__proto__',
    '\0',
    'é',
  ],
]
const noise = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.array(fc.constantFrom(...bits), { maxLength: 40 }).map(list => Buffer.from(list.join(''))),
)

t.test('no text makes it fail or hang, or give what is no figure', async () => {
  const figure = (value: unknown): boolean =>
    value === undefined ||
    value === 'max' ||
    (typeof value === 'bigint' && value > 2n ** 53n) ||
    (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) ||
    (typeof value === 'string' && /^\d+:\d+$/.test(value)) ||
    (typeof value === 'object' && value !== null && Object.values(value).every(figure))
  for (const group of [unified, legacy])
    fc.assert(
      fc.property(fc.infiniteStream(fc.option(noise, { nil: undefined })), texts => {
        const stats = statsOf(group, () => texts.next().value)
        return figure(stats)
      }),
      { numRuns: 500 },
    )
})

t.test('numbers come back as they were written', async () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), value => {
      const text = () => new StatsText().set(Buffer.from(`${value}\n`))
      const small = value <= BigInt(Number.MAX_SAFE_INTEGER)
      return (
        text().counter() === (small ? Number(value) : value) &&
        text().number() === (small ? Number(value) : undefined) &&
        text().limit() === (small ? Number(value) : 'max')
      )
    }),
  )
})

t.test('keys are found in any order, and none is taken for another', async () => {
  const names = ['anon', 'file', 'file_mapped', 'Aa', 'BB'] // the last two have one hash
  const keys = new FlatKeys(names)
  const lines = fc.uniqueArray(
    fc.tuple(fc.constantFrom(...names, 'C#', 'anonx', 'nona'), fc.nat()),
    {
      selector: ([name]) => name,
    },
  )
  fc.assert(
    fc.property(lines, list => {
      const text = list.map(([name, value]) => `${name} ${value}\n`).join('')
      const values = keys.read(new StatsText().set(Buffer.from(text)))
      const wanted = new Map(list)
      return names.every((name, i) => values[i] === wanted.get(name))
    }),
  )
})

t.test('pressure as the kernel writes it', async t => {
  const percent = fc.nat({ max: 10_000 }).map(n => n / 100)
  const figures = fc.record({
    avg10: percent,
    avg60: percent,
    avg300: percent,
    total: fc.nat(),
  })
  const line = (kind: string, { avg10, avg60, avg300, total }: Record<string, number>) =>
    `${kind} avg10=${avg10?.toFixed(2)} avg60=${avg60?.toFixed(2)} avg300=${avg300?.toFixed(2)} total=${total}\n`
  fc.assert(
    fc.property(figures, figures, (some, full) => {
      const text = new StatsText().set(Buffer.from(line('some', some) + line('full', full)))
      t.strictSame(readPressure(text), { some: { ...some }, full: { ...full } })
    }),
    { numRuns: 50 },
  )
})
