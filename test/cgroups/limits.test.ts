import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cgroups } from 'cofferdam'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { kindNames, kindOf } from '#lib/cgroups/limits/limits.js'
import { scratch } from '../support/index.js'

const { limitWrites, parseLimits } = cgroups
const parse = (limits: unknown) => parseLimits('limits', limits as cgroups.Limits)

// Files that kernels have, in folders of our own: what is written, and in which order.
const files = {
  1: {
    memory:
      'memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.kmem.tcp.limit_in_bytes memory.kmem.limit_in_bytes memory.swappiness memory.oom_control',
    cpu: 'cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us cpu.shares cpu.idle cpu.rt_runtime_us cpu.rt_period_us',
    cpuset: 'cpuset.cpus cpuset.mems',
    pids: 'pids.max',
    blkio:
      'blkio.bfq.weight blkio.bfq.weight_device blkio.throttle.read_bps_device blkio.throttle.write_bps_device blkio.throttle.read_iops_device blkio.throttle.write_iops_device',
    hugetlb: 'hugetlb.2MB.limit_in_bytes hugetlb.2MB.rsvd.limit_in_bytes',
    net_cls: 'net_cls.classid',
    net_prio: 'net_prio.ifpriomap',
    rdma: 'rdma.max',
    misc: 'misc.max',
  },
  2: {
    memory:
      'memory.max memory.high memory.low memory.min memory.swap.max memory.swap.high memory.zswap.max memory.oom.group',
    cpu: 'cpu.max cpu.max.burst cpu.weight cpu.idle',
    cpuset: 'cpuset.cpus cpuset.mems cpuset.cpus.exclusive cpuset.cpus.partition',
    pids: 'pids.max',
    io: 'io.weight io.bfq.weight io.max io.latency',
    hugetlb: 'hugetlb.2MB.max hugetlb.2MB.rsvd.max',
    rdma: 'rdma.max',
    misc: 'misc.max',
    cgroup: 'cgroup.max.descendants',
  },
} as const

function group(t: Test, version: 1 | 2): cgroups.GroupFolders {
  const root = scratch(t)
  const folders = Object.entries(files[version]).map(([controller, names]) => {
    const path = version === 1 ? join(root, controller) : root
    mkdirSync(path, { recursive: true })
    for (const name of names.split(' ')) writeFileSync(join(path, name), '')
    return { version, controllers: [controller], path }
  })
  const controllers = Object.keys(files[version])
  return {
    path: '/x',
    folders: version === 1 ? folders : [{ version, controllers, path: root }],
  }
}

/** Name of the file and value, in order. */
const writes = (group: cgroups.GroupFolders, limits: unknown, present?: cgroups.CheckedLimits) =>
  limitWrites(group, parse(limits), 'limits', present).map(
    ({ path, value }) => `${basename(path)}=${value.trimEnd()}`,
  )

t.test('short forms, units and rounding', async t => {
  t.same(parse({ memory: '256MiB', cpus: 0.5, pids: 64 }), {
    memory: { max: 268_435_456 },
    cpu: { quota: 50_000, period: 100_000 },
    pids: 64,
  })
  t.same(parse({ memory: { max: 4097, swap: 'max', low: 0 } }), {
    memory: { max: 4096, swap: 'max', low: 0 },
  })
  t.same(parse({ cpu: { quota: '50ms', period: '0.2s', burst: '300us' } }), {
    cpu: { quota: 50_000, period: 200_000, burst: 300 },
  })
  t.same(parse({ cpus: 0.002 }), { cpu: { quota: 2000, period: 1_000_000 } })
  t.same(parse({ cpus: 'max' }), { cpu: { quota: 'max' } })
  t.same(parse({ cpuset: { cpus: [3, 1, 0], mems: '0' } }), {
    cpuset: { cpus: '0-1,3', mems: '0' },
  })
  t.same(parse({ hugetlb: { '2MB': '5MiB', '1GB': { max: 'max', reserved: 0 } } }), {
    hugetlb: { '2MB': { max: 4_194_304 }, '1GB': { max: 'max', reserved: 0 } },
  })
  t.same(parse({ network: { classId: '10:1' } }), { network: { classId: 0x100001 } })
  t.same(parse({ raw: { 'memory.reclaim': 1, 'io.max': ['a', 'b'] } }), {
    raw: { 'memory.reclaim': ['1'], 'io.max': ['a', 'b'] },
  })
  t.same(parse({ io: { devices: [{ device: '08:0', rbps: '1MiB', latency: '10ms' }] } }), {
    io: { devices: [{ device: '8:0', rbps: 1_048_576, latency: 10_000 }] },
  })
  t.same(parse({}), {})
  t.same(parse({ memory: undefined, cpu: {} }), { cpu: {} })
})

t.test('what can not be right is refused, naming the option', async t => {
  const refused: [unknown, string, string?][] = [
    [null, 'limits'],
    [[], 'limits'],
    [{ memmory: 1 }, 'limits.memmory'],
    [{ memory: -1 }, 'limits.memory'],
    [{ memory: '1XB' }, 'limits.memory'],
    [{ memory: { max: Number.NaN } }, 'limits.memory.max'],
    [{ memory: { hihg: 1 } }, 'limits.memory.hihg'],
    [{ memory: { oomGroup: 1 } }, 'limits.memory.oomGroup'],
    [{ memory: { swappiness: 201 } }, 'limits.memory.swappiness'],
    [{ cpus: 0 }, 'limits.cpus'],
    [{ cpus: '0.5' }, 'limits.cpus'],
    [{ cpus: 1e12 }, 'limits.cpus'],
    [{ cpus: 1, cpu: { quota: 1000 } }, 'limits.cpu.quota', 'ERR_CONFLICT'],
    [{ cpus: 0.5, cpu: { burst: 50_001 } }, 'limits.cpu.burst', 'ERR_CONFLICT'],
    [{ cpu: { quota: 999 } }, 'limits.cpu.quota'],
    [{ cpu: { quota: '50' } }, 'limits.cpu.quota'],
    [{ cpu: { period: 1_000_001 } }, 'limits.cpu.period'],
    [{ cpu: { weight: 0 } }, 'limits.cpu.weight'],
    [{ cpu: { weight: 1.5 } }, 'limits.cpu.weight'],
    [{ cpu: { shares: 1 } }, 'limits.cpu.shares'],
    [{ cpu: { shares: 2, weight: 1 } }, 'limits.cpu.shares', 'ERR_CONFLICT'],
    [{ cpu: { idle: true, weight: 1 } }, 'limits.cpu.weight', 'ERR_CONFLICT'],
    [{ cpu: { quota: 2000, burst: 3000 } }, 'limits.cpu.burst', 'ERR_CONFLICT'],
    [
      { cpu: { realtimeRuntime: 2, realtimePeriod: 1 } },
      'limits.cpu.realtimeRuntime',
      'ERR_CONFLICT',
    ],
    [{ cpuset: { cpus: '' } }, 'limits.cpuset.cpus'],
    [{ cpuset: { cpus: '1-0' } }, 'limits.cpuset.cpus'],
    [{ cpuset: { partition: 'mine' } }, 'limits.cpuset.partition'],
    [{ pids: -1 }, 'limits.pids'],
    [{ pids: 2 ** 22 + 1 }, 'limits.pids'],
    [{ io: { weight: 10_001 } }, 'limits.io.weight'],
    [{ io: { bfqWeight: 9 } }, 'limits.io.bfqWeight'],
    [{ io: { weight: 1, bfqWeight: 10 } }, 'limits.io.bfqWeight', 'ERR_CONFLICT'],
    [{ io: { devices: {} } }, 'limits.io.devices'],
    [{ io: { devices: [{ device: 'sda' }] } }, 'limits.io.devices[0].device'],
    [{ io: { devices: [{ device: '/dev/null' }] } }, 'limits.io.devices[0].device'],
    [{ io: { devices: [{ device: '/dev/nothing' }] } }, 'limits.io.devices[0].device'],
    [{ io: { devices: [{ device: '8:0', rbps: 0 }] } }, 'limits.io.devices[0].rbps'],
    [{ io: { devices: [{ device: '8:0', riops: 2 ** 32 }] } }, 'limits.io.devices[0].riops'],
    [
      { io: { devices: [{ device: '8:0' }, { device: '08:00' }] } },
      'limits.io.devices[1].device',
      'ERR_CONFLICT',
    ],
    [{ hugetlb: { '3XB': 1 } }, 'limits.hugetlb.3XB'],
    [{ hugetlb: { '2MB': { maximum: 1 } } }, 'limits.hugetlb.2MB.maximum'],
    [{ rdma: { 'a b': {} } }, 'limits.rdma.a b'],
    [{ rdma: { a: { hcaHandles: -1 } } }, 'limits.rdma.a.hcaHandles'],
    [{ misc: { a: 'most' } }, 'limits.misc.a'],
    [{ network: { classId: '10:10000' } }, 'limits.network.classId'],
    [{ network: { classId: -1 } }, 'limits.network.classId'],
    [{ network: { priorities: { eth0: -1 } } }, 'limits.network.priorities.eth0'],
    [{ raw: { '../x': 1 } }, 'limits.raw.../x'],
    [{ raw: { 'cgroup.procs': 1 } }, 'limits.raw.cgroup.procs'],
    [{ raw: { 'memory.max': {} } }, 'limits.raw.memory.max'],
  ]
  for (const [limits, option, code = 'ERR_INVALID_OPTION'] of refused)
    t.throws(() => parse(limits), { code, option }, JSON.stringify(limits))
})

t.test('whatever is given, the answer is limits or a typed error', async () => {
  const names = ['memory', 'cpu', 'cpuset', 'io', 'hugetlb', 'rdma', 'misc', 'network', 'raw']
  const keys = ['max', 'swap', 'quota', 'cpus', 'weight', 'devices', '2MB', 'classId', 'io.max']
  const limits = fc.dictionary(
    fc.constantFrom(...names, 'cpus', 'pids'),
    fc.oneof(fc.anything(), fc.dictionary(fc.constantFrom(...keys), fc.anything())),
  )
  fc.assert(
    fc.property(limits, limits => {
      try {
        return typeof parse(limits) === 'object'
      } catch (error) {
        return (error as Error).name === 'CofferdamError'
      }
    }),
    { numRuns: 2000 },
  )
})

t.test('v2: names and order', async t => {
  const v2 = group(t, 2)
  t.same(writes(v2, { memory: { max: '64MiB', swap: 0, high: '1MiB', oomGroup: true }, pids: 3 }), [
    'memory.oom.group=1',
    'memory.swap.max=0',
    'memory.high=1048576',
    'memory.max=67108864',
    'pids.max=3',
  ])
  t.same(writes(v2, { cpus: 1.5, cpu: { weight: 50, burst: 1000 } }), [
    'cpu.max=150000 100000',
    'cpu.max.burst=1000',
    'cpu.weight=50',
  ])
  t.same(writes(v2, { cpu: { shares: 1024 } }), ['cpu.weight=100'])
  // What is not named is what it was.
  t.same(writes(v2, { cpu: { period: 50_000 } }, { cpu: { quota: 7000, period: 100_000 } }), [
    'cpu.max=7000 50000',
  ])
  t.same(writes(v2, { cpu: { quota: 7000 } }), ['cpu.max=7000'])
  // At no moment may the burst be above the quota.
  const present = { cpu: { quota: 50_000, burst: 40_000 } } as const
  t.same(writes(v2, { cpu: { quota: 10_000, burst: 5000 } }, present), [
    'cpu.max.burst=5000',
    'cpu.max=10000',
  ])
  t.same(writes(v2, { cpuset: { cpus: '0-1', mems: 'max', partition: 'root' } }), [
    'cpuset.cpus=0-1',
    'cpuset.mems=',
    'cpuset.cpus.partition=root',
  ])
  t.same(writes(v2, { cpuset: { cpus: '0', partition: 'member' } }), [
    'cpuset.cpus.partition=member',
    'cpuset.cpus=0',
  ])
  const io = {
    bfqWeight: 100,
    devices: [{ device: '8:0', weight: 5, rbps: 'max', wiops: 9, latency: 1 }],
  }
  t.same(writes(v2, { io }), [
    'io.bfq.weight=100',
    'io.weight=8:0 5',
    'io.max=8:0 rbps=max wiops=9',
    'io.latency=8:0 target=1',
  ])
  t.same(
    writes(v2, {
      hugetlb: { '2MB': { max: 'max', reserved: 0 } },
      rdma: { mlx4_0: { hcaHandles: 2, hcaObjects: 'max' } },
      misc: { sev: 4 },
      raw: { 'cgroup.max.descendants': 3, 'memory.zswap.max': [0, 'max'] },
    }),
    [
      'hugetlb.2MB.rsvd.max=0',
      'hugetlb.2MB.max=max',
      'rdma.max=mlx4_0 hca_handle=2 hca_object=max',
      'misc.max=sev 4',
      'cgroup.max.descendants=3',
      'memory.zswap.max=0',
      'memory.zswap.max=max',
    ],
  )
})

t.test('v1: names and order', async t => {
  const v1 = group(t, 1)
  // Memory is at most both together, at every moment.
  const both = { max: '64MiB', swap: '32MiB' }
  const [limit, together] = [
    'memory.limit_in_bytes=67108864',
    'memory.memsw.limit_in_bytes=100663296',
  ]
  t.same(writes(v1, { memory: both }), [limit, together])
  const small = { memory: { max: 4096, swap: 4096 } }
  t.same(writes(v1, { memory: both }, small), [together, limit])
  const large = { memory: { max: 2 ** 30, swap: 2 ** 30 } }
  t.same(writes(v1, { memory: both }, large), [limit, together])
  // Swap stays what it was, so both together move along with memory.
  t.same(writes(v1, { memory: 8192 }, small), [
    'memory.limit_in_bytes=8192',
    'memory.memsw.limit_in_bytes=12288',
  ])
  t.same(writes(v1, { memory: 16384 }, small), [
    'memory.memsw.limit_in_bytes=20480',
    'memory.limit_in_bytes=16384',
  ])
  t.same(writes(v1, { memory: 8192 }), ['memory.limit_in_bytes=8192'])
  t.same(writes(v1, { memory: 'max' }), ['memory.limit_in_bytes=-1'])
  t.same(writes(v1, { memory: { max: 'max', swap: 'max' } }, small), [
    'memory.memsw.limit_in_bytes=-1',
    'memory.limit_in_bytes=-1',
  ])
  t.throws(() => writes(v1, { memory: { swap: 0 } }), {
    code: 'ERR_CONFLICT',
    option: 'limits.memory.swap',
  })
  // A quota that falls, falls first: the group above may not have more to give.
  const cpu = { quota: 20_000, period: 50_000 }
  const [quota, period] = ['cpu.cfs_quota_us=20000', 'cpu.cfs_period_us=50000']
  t.same(writes(v1, { cpu }), [period, quota])
  t.same(writes(v1, { cpu }, { cpu: { quota: 40_000, period: 100_000 } }), [quota, period])
  t.same(writes(v1, { cpu }, { cpu: { quota: 10_000, period: 10_000 } }), [period, quota])
  t.same(writes(v1, { cpus: 'max' }), ['cpu.cfs_quota_us=-1'])
  t.same(writes(v1, { cpu: { weight: 100, idle: false } }), ['cpu.idle=0', 'cpu.shares=1024'])
  t.same(writes(v1, { cpu: { realtimeRuntime: 1000, realtimePeriod: 9000 } }), [
    'cpu.rt_period_us=9000',
    'cpu.rt_runtime_us=1000',
  ])
  const io = {
    weight: 10_000,
    devices: [{ device: '8:0', bfqWeight: 20, rbps: 'max', wbps: 5, riops: 6, wiops: 7 }],
  }
  t.same(writes(v1, { io }), [
    'blkio.bfq.weight=1000',
    'blkio.bfq.weight_device=8:0 20',
    'blkio.throttle.read_bps_device=8:0 0',
    'blkio.throttle.write_bps_device=8:0 5',
    'blkio.throttle.read_iops_device=8:0 6',
    'blkio.throttle.write_iops_device=8:0 7',
  ])
  t.same(
    writes(v1, {
      hugetlb: { '2MB': 'max' },
      network: { classId: '1:2', priorities: { eth0: 3 } },
      memory: { softLimit: 'max', kernelTcp: 4096, swappiness: 0, disableOomKiller: true },
    }),
    [
      'hugetlb.2MB.limit_in_bytes=-1',
      'net_cls.classid=65538',
      'net_prio.ifpriomap=eth0 3',
      'memory.kmem.tcp.limit_in_bytes=4096',
      'memory.soft_limit_in_bytes=-1',
      'memory.swappiness=0',
      'memory.oom_control=1',
    ],
  )
})

t.test('what a version can not express is refused before anything is written', async t => {
  const refuse = (
    group: cgroups.GroupFolders,
    limits: unknown,
    option: string,
    controller: string,
  ) => t.throws(() => writes(group, limits), { code: 'ERR_UNSUPPORTED', option, controller })
  const [v1, v2] = [group(t, 1), group(t, 2)]
  for (const key of ['high', 'low', 'min', 'swapHigh', 'zswap'])
    refuse(v1, { pids: 1, memory: { [key]: 4096 } }, `limits.memory.${key}`, 'memory')
  refuse(v1, { memory: { oomGroup: true } }, 'limits.memory.oomGroup', 'memory')
  refuse(v1, { cpuset: { partition: 'root' } }, 'limits.cpuset.partition', 'cpuset')
  refuse(v1, { cpuset: { exclusive: '0' } }, 'limits.cpuset.exclusive', 'cpuset')
  const latency = [{ device: '8:0', latency: 1 }]
  refuse(v1, { io: { devices: latency } }, 'limits.io.devices[0].latency', 'blkio')
  refuse(v1, { raw: { 'cgroup.max.depth': 1 } }, 'limits.raw.cgroup.max.depth', 'cgroup')
  for (const key of ['softLimit', 'kernel', 'kernelTcp'])
    refuse(v2, { memory: { [key]: 4096 } }, `limits.memory.${key}`, 'memory')
  refuse(v2, { memory: { swappiness: 1 } }, 'limits.memory.swappiness', 'memory')
  refuse(v2, { memory: { disableOomKiller: true } }, 'limits.memory.disableOomKiller', 'memory')
  for (const key of ['realtimeRuntime', 'realtimePeriod'])
    refuse(v2, { cpu: { [key]: 1 } }, `limits.cpu.${key}`, 'cpu')
  refuse(v2, { network: { classId: 1 } }, 'limits.network.classId', 'net_cls')
  refuse(v2, { network: { priorities: { lo: 1 } } }, 'limits.network.priorities.lo', 'net_prio')
  refuse(v2, { hugetlb: { '16KB': 0 } }, 'limits.hugetlb.16KB.max', 'hugetlb')
  refuse(v2, { raw: { 'memory.nothing': 1 } }, 'limits.raw.memory.nothing', 'memory')
  const none = { path: '/x', folders: [] }
  refuse(none, { pids: 1 }, 'limits.pids', 'pids')
  refuse(none, { memory: 4096 }, 'limits.memory', 'memory')
  for (const path of v1.folders.map(folder => join(folder.path, files[1].pids)))
    if (path.endsWith('/pids/pids.max')) t.equal(readFileSync(path, 'utf8'), '')
})

t.test('which controllers are needed', async t => {
  const needed = (limits: unknown) => cgroups.limitControllers(parse(limits)).sort()
  t.same(needed({ memory: 0, cpus: 1, pids: 1 }), ['cpu', 'memory', 'pids'])
  t.same(needed({ io: {}, network: { classId: 1 } }), ['io', 'net_cls'])
  t.same(needed({ raw: { 'blkio.x': 1, 'cgroup.max.depth': 1, 'perf_event.y': 1 } }), [
    'io',
    'perf_event',
  ])
})

t.test('whatever files say, reading gives values', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('max', '-1', '9223372036854771712', '0-1,3', 'root invalid (x)', 'default 100'),
    fc.string({ unit: fc.constantFrom(...'0123456789: =maxrbps\ndefault'), maxLength: 60 }),
  )
  for (const version of [1, 2] as const) {
    const names = Object.values(files[version]).flatMap(names => names.split(' '))
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), text), texts =>
        kindNames.every(name => {
          const told = kindOf(name).read(file => texts[file], version)
          return ['undefined', 'number', 'string', 'object'].includes(typeof told)
        }),
      ),
      { numRuns: 1000 },
    )
  }
})
