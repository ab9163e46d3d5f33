import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, netns, tc } from '../../support/netns.js'
import { lacks } from './support.js'

const { open } = netlink
type Options = netlink.QdiscOptions
// biome-ignore lint/suspicious/noExplicitAny: what tc prints
type Printed = any

/** What we write, what tc calls it, and how tc writes the same. */
const written: {
  options: Options
  shows: Printed
  as: string
  listed?: Printed
}[] = [
  {
    options: { kind: 'tbf', rate: '10mbit', burst: '32KiB', latency: '50ms' },
    as: 'tbf rate 10mbit burst 32k latency 50ms',
    shows: { rate: 1250000, lat: 50000 },
    listed: { rate: 10e6, burst: 32768, limit: 95268 },
  },
  {
    options: { kind: 'tbf', rate: 40e9, burst: '2MiB', limit: '4MiB' },
    as: 'tbf rate 40gbit burst 2m limit 4m',
    shows: { rate: 5e9 },
    listed: { rate: 40e9, limit: 4 << 20 },
  },
  {
    options: {
      kind: 'tbf',
      rate: '1mbit',
      burst: 10000,
      limit: 20000,
      peakRate: '2mbit',
      mtu: 1600,
    },
    as: 'tbf rate 1mbit burst 10000 limit 20000 peakrate 2mbit mtu 1600',
    shows: { rate: 125000 },
    listed: { rate: 1e6, peakRate: 2e6, mtu: 1600, limit: 20000 },
  },
  {
    options: { kind: 'htb', default: 0x10, rateToQuantum: 20, directQueue: 500 },
    as: 'htb default 10 r2q 20 direct_qlen 500',
    shows: { r2q: 20, default: '0x10', direct_qlen: 500 },
  },
  { options: { kind: 'pfifo', limit: 77 }, as: 'pfifo limit 77', shows: { limit: 77 } },
  { options: { kind: 'bfifo', limit: 9999 }, as: 'bfifo limit 9999', shows: { limit: 9999 } },
  {
    options: {
      kind: 'prio',
      bands: 4,
      priorities: [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 3],
    },
    as: 'prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 3',
    shows: { bands: 4, priomap: [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 3] },
  },
  {
    options: {
      kind: 'fq_codel',
      target: '3ms',
      limit: 500,
      interval: 80,
      ecn: false,
      flows: 256,
      quantum: 3000,
      memory: 1 << 20,
      dropBatch: 16,
    },
    as: 'fq_codel target 3ms limit 500 interval 80ms noecn flows 256 quantum 3000 memory_limit 1m drop_batch 16',
    shows: { limit: 500, flows: 256, quantum: 3000, target: 2999, interval: 79999 },
    listed: { target: 2.999, interval: 79.999, ecn: false, flows: 256, memory: 1 << 20 },
  },
  {
    options: {
      kind: 'fq',
      limit: 5000,
      flowLimit: 50,
      quantum: 3028,
      pacing: true,
      maxRate: '8mbit',
    },
    as: 'fq limit 5000 flow_limit 50 quantum 3028 pacing maxrate 8mbit',
    shows: { limit: 5000, flow_limit: 50, quantum: 3028, maxrate: 1000000 },
    listed: { limit: 5000, flowLimit: 50, maxRate: 8e6 },
  },
  {
    options: { kind: 'sfq', quantum: 2000, perturb: 10, limit: 100 },
    as: 'sfq quantum 2000 perturb 10 limit 100',
    shows: { quantum: 2000, perturb: 10, limit: 100 },
  },
  {
    options: {
      kind: 'netem',
      delay: '20ms',
      jitter: 2.5,
      delayCorrelation: 25,
      loss: 1.5,
      duplicate: 2,
      corrupt: 3,
      rate: '5mbit',
      limit: 300,
    },
    as: 'netem delay 20ms 2.5ms 25% loss 1.5% duplicate 2% corrupt 3% rate 5mbit limit 300',
    shows: { limit: 300, delay: { delay: 0.02, jitter: 0.0025, correlation: 0.25 } },
    listed: { delay: 20, jitter: 2.5, limit: 300, rate: 5e6 },
  },
  {
    options: { kind: 'netem', delay: 5, reorder: 25, reorderCorrelation: 50, gap: 5 },
    as: 'netem delay 5ms reorder 25% 50% gap 5',
    shows: { delay: { delay: 0.005 }, gap: 5 },
    listed: { delay: 5, gap: 5 },
  },
  { options: { kind: 'ingress' }, as: 'ingress', shows: {} },
  { options: { kind: 'clsact' }, as: 'clsact', shows: {} },
]

for (const { options, as, shows, listed } of written)
  t.test(`${as}: written, read back by tc; written by tc, read here`, needsRoot, async t => {
    const ns = await netns(t)
    await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    const atIngress = options.kind === 'ingress' || options.kind === 'clsact'
    const where = atIngress ? options.kind : 'root'
    const words = atIngress ? [where] : ['root', 'handle', '5:', ...as.split(' ')]
    const missing = await lacks(ns, 'tc', 'qdisc', 'add', 'dev', 'v1', ...words)
    if (missing !== undefined) return void t.pass('the same', { skip: missing })
    await using nl = await open({ netns: ns.path })
    const place = atIngress ? { device: 'v0' } : { device: 'v0', handle: '5:' }
    await nl.qdiscs.create({ ...place, ...options })

    const shown = async (device: string): Promise<Printed> =>
      (await tc(ns, '-d', 'qdisc', 'show', 'dev', device)).filter(
        ({ kind }: Printed) => kind === options.kind,
      )
    const [ours] = await shown('v0')
    const [theirs] = await shown('v1')
    t.match(ours, { kind: options.kind, handle: atIngress ? 'ffff:' : '5:', options: shows })
    t.same({ ...ours, dev: '' }, { ...theirs, dev: '' }, 'tc sees no difference')

    const find = async (device: string) =>
      (await nl.qdiscs.list({ device })).find(({ kind }) => kind === options.kind)
    const [mine, other] = [await find('v0'), await find('v1')]
    t.match(mine?.options, listed ?? options)
    t.same({ ...mine, index: 0 }, { ...other, index: 0 }, 'nor do we')
    t.equal(mine?.parent, atIngress ? 'ingress' : 'root')

    await t.rejects(nl.qdiscs.create({ ...place, ...options }), { code: 'EEXIST' })
    // What has been listed can be written.
    await nl.qdiscs.delete({ device: 'v0', parent: atIngress ? 'ingress' : 'root' })
    t.equal(await find('v0'), undefined)
    await nl.qdiscs.replace({ ...place, ...(mine?.options as Options) })
    const again = (await find('v0'))?.options as Printed
    for (const [name, value] of Object.entries(mine?.options ?? {})) {
      if (typeof value !== 'number') t.same(again[name], value)
      // Times and bursts are rounded to ticks and microseconds.
      else t.ok(Math.abs(again[name] - value) <= Math.max(1e-3, value * 1e-3), `${name} ${value}`)
    }
  })

t.test('a qdisc is set without being made anew', needsRoot, async t => {
  const ns = await netns(t)
  await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  await using nl = await open({ netns: ns.path })
  const tbf = { device: 'v0', handle: '1:', kind: 'tbf', burst: 5000, limit: 9000 } as const
  await t.rejects(nl.qdiscs.set({ ...tbf, rate: '1mbit' }), {
    code: 'ENOENT',
    operation: 'RTM_NEWQDISC',
  })
  await nl.qdiscs.create({ ...tbf, rate: '1mbit' })
  await nl.qdiscs.set({ ...tbf, rate: '2mbit' })
  t.match(await tc(ns, 'qdisc', 'show', 'dev', 'v0'), [{ options: { rate: 250000 } }])
  await nl.qdiscs.delete({ device: 'v0', handle: '1:', parent: 'root' })
  t.match(await tc(ns, 'qdisc', 'show', 'dev', 'v0'), [])
})

t.test('classes of htb, written and read by both', needsRoot, async t => {
  const ns = await netns(t)
  await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  await using nl = await open({ netns: ns.path })
  for (const device of ['v0', 'v1'])
    await nl.qdiscs.create({ device, handle: '1:', kind: 'htb', default: 0x20 })
  const own: (netlink.ClassPlace & { parent: string } & netlink.ClassOptions)[] = [
    { device: 'v0', parent: '1:', handle: '1:1', kind: 'htb', rate: '100mbit' },
    {
      device: 'v0',
      parent: '1:1',
      handle: '1:10',
      kind: 'htb',
      rate: '10mbit',
      ceil: '20mbit',
      priority: 3,
    },
    {
      device: 'v0',
      parent: '1:1',
      handle: '1:20',
      kind: 'htb',
      rate: '40gbit',
      burst: 1_000_000,
      ceilBurst: '2MB',
      quantum: 60000,
    },
  ]
  for (const one of own) await nl.classes.create(one)
  await t.rejects(nl.classes.create(own[0] as (typeof own)[0]), { code: 'EEXIST' })
  for (const words of [
    'parent 1: classid 1:1 htb rate 100mbit',
    'parent 1:1 classid 1:10 htb rate 10mbit ceil 20mbit prio 3',
    'parent 1:1 classid 1:20 htb rate 40gbit burst 1000000 cburst 2000000 quantum 60000',
  ])
    await inNetns(ns, 'tc', 'class', 'add', 'dev', 'v1', ...words.split(' '))
  // tc -j prints classes as text in this version.
  const shown = async (device: string) =>
    (await inNetns(ns, 'tc', '-d', 'class', 'show', 'dev', device)).split('\n').sort()
  const [ours, theirs] = [await shown('v0'), await shown('v1')]
  t.same(ours, theirs, 'tc sees no difference')
  t.match(ours.join('\n'), /class htb 1:10 parent 1:1 .*prio 3 .*rate 10Mbit ceil 20Mbit/)
  const listed = async (device: string) =>
    (await nl.classes.list({ device }))
      .map(one => ({ ...one, index: 0 }))
      .sort((a, b) => (a.handle < b.handle ? -1 : 1))
  const mine = await listed('v0')
  t.same(mine, await listed('v1'), 'nor do we')
  t.match(mine, [
    { kind: 'htb', handle: '1:1', parent: 'root', options: { rate: 100e6, ceil: 100e6 } },
    { handle: '1:10', parent: '1:1', options: { rate: 10e6, ceil: 20e6, priority: 3 } },
    {
      handle: '1:20',
      parent: '1:1',
      options: { rate: 40e9, burst: 1_000_000, ceilBurst: 2_000_000, quantum: 60000 },
    },
  ])
  await nl.classes.replace({ ...(own[1] as (typeof own)[1]), rate: '5mbit' })
  t.match((await shown('v0')).join(), /1:10 .*rate 5Mbit/)
  await nl.qdiscs.create({ device: 'v0', parent: '1:10', handle: '10:', kind: 'pfifo', limit: 5 })
  t.match(
    (await tc(ns, 'qdisc', 'show', 'dev', 'v0')).find(({ handle }: Printed) => handle === '10:'),
    { kind: 'pfifo', parent: '1:10', options: { limit: 5 } },
  )
  t.equal((await nl.classes.list({ device: 'v0' })).find(one => one.handle === '1:10')?.leaf, '10:')
  await nl.classes.delete({ device: 'v0', handle: '1:20' })
  t.notMatch((await shown('v0')).join(), /1:20/)
})

t.test('what can not be right is refused before anything is sent', async t => {
  await using nl = await open()
  const refused = (options: object, option: string, code = 'ERR_INVALID_OPTION') =>
    t.rejects(nl.qdiscs.create({ device: 'lo', ...options } as never), { code, option })
  await refused({ kind: 'tbe' }, 'qdiscs.create: options.kind')
  await refused({ kind: 'tbf', rate: '10m', burst: 1, limit: 1 }, 'qdiscs.create: options.rate')
  await refused({ kind: 'tbf', rate: -1, burst: 1, limit: 1 }, 'qdiscs.create: options.rate')
  await refused(
    { kind: 'tbf', rate: '1mbit', burst: '1k', limit: 1 },
    'qdiscs.create: options.burst',
  )
  await refused(
    { kind: 'tbf', rate: '1mbit', burst: 1 },
    'qdiscs.create: options.limit',
    'ERR_CONFLICT',
  )
  await refused({ kind: 'tbf', rate: '8bit', burst: 1e9, limit: 1 }, 'qdiscs.create: options.burst')
  await refused({ kind: 'pfifo', limit: -1 }, 'qdiscs.create: options.limit')
  await refused({ kind: 'pfifo', limits: 1 }, 'qdiscs.create: options')
  await refused({ kind: 'netem', loss: 101 }, 'qdiscs.create: options.loss')
  await refused({ kind: 'netem', delay: '1 day' }, 'qdiscs.create: options.delay')
  await refused({ kind: 'prio', priorities: [1] }, 'qdiscs.create: options.priorities')
  await refused({ kind: 'ingress', limit: 1 }, 'qdiscs.create: options.limit')
  await refused({ kind: 'pfifo', handle: '1' }, 'qdiscs.create: handle')
  await refused({ kind: 'pfifo', parent: 'top' }, 'qdiscs.create: parent')
  await refused({ kind: 'pfifo', device: '' }, 'qdiscs.create: device')
  await t.rejects(nl.qdiscs.delete({ device: 'lo' }), { code: 'ERR_CONFLICT' })
  await t.rejects(nl.qdiscs.list({ device: 'no-such' }), { code: 'ENODEV' })
  await t.rejects(
    nl.classes.create({ device: 'lo', parent: '1:', handle: '1:1', kind: 'htb' } as never),
    { code: 'ERR_INVALID_OPTION', option: 'classes.create: options.rate' },
  )
  await t.rejects(nl.filters.create({ device: 'lo', kind: 'u32', source: '10/8' }), {
    code: 'ERR_INVALID_OPTION',
    option: 'filters.create: options.source',
  })
  await t.rejects(
    nl.filters.create({
      device: 'lo',
      kind: 'u32',
      actions: [{ kind: 'gact', action: 'burn' } as never],
    }),
    { code: 'ERR_INVALID_OPTION', option: /actions\.0/ },
  )
})
