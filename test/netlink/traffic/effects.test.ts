import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns } from '../../support/netns.js'
import { lacks, pair, streamed } from './support.js'

/** A tenth of it where there is no better machine than one that is emulated. */
let megabit = 1e6

function near(t: Test, rate: number, wanted: number): void {
  t.ok(rate > wanted * 0.7 && rate < wanted * 1.2, `${rate} is near ${wanted}`)
}

t.test('a stream over a link is as fast as its queue lets it be', needsRoot, async t => {
  const [a, b] = await pair(t)
  await using nl = await netlink.open({ netns: a.path })
  const free = await streamed(a, b, '10.9.0.2', 1000)
  if (free < 100 * megabit) megabit /= 10
  t.ok(free > 25 * megabit, `without a limit ${free}`)

  await t.test('tbf', async t => {
    await nl.qdiscs.create({
      device: 'v0',
      kind: 'tbf',
      rate: 20 * megabit,
      burst: '16KiB',
      latency: '100ms',
    })
    near(t, await streamed(a, b, '10.9.0.2'), 20 * megabit)
    const [{ statistics } = { statistics: undefined }] = await nl.qdiscs.list({ device: 'v0' })
    t.ok((statistics?.bytes ?? 0n) > 100_000n, 'it counts bytes')
    t.ok((statistics?.overlimits ?? 0n) > 0n, 'and how often one had to wait')
    await nl.qdiscs.delete({ device: 'v0', parent: 'root' })
  })

  await t.test('htb, in the class that a filter says', async t => {
    await nl.qdiscs.create({ device: 'v0', handle: '1:', kind: 'htb' })
    await nl.classes.create({
      device: 'v0',
      parent: '1:',
      handle: '1:10',
      kind: 'htb',
      rate: 15 * megabit,
    })
    await nl.filters.create({
      device: 'v0',
      protocol: 'ip',
      kind: 'u32',
      destination: '10.9.0.2',
      class: '1:10',
    })
    near(t, await streamed(a, b, '10.9.0.2'), 15 * megabit)
    const [one] = await nl.classes.list({ device: 'v0' })
    t.ok((one?.statistics.bytes ?? 0n) > 100_000n)
    await nl.qdiscs.delete({ device: 'v0', parent: 'root' })
  })
})

t.test('what arrives is shaped by way of an ifb', needsRoot, async t => {
  const [a, b] = await pair(t)
  const missing = await lacks(b, 'ip', 'link', 'add', 'ifb0', 'type', 'ifb')
  if (missing !== undefined) return void t.pass('the same', { skip: missing })
  await inNetns(b, 'ip', 'link', 'set', 'ifb0', 'up')
  await using nl = await netlink.open({ netns: b.path })
  await nl.qdiscs.create({
    device: 'ifb0',
    kind: 'tbf',
    rate: 10 * megabit,
    burst: '16KiB',
    latency: '100ms',
  })
  await nl.qdiscs.create({ device: 'v1', kind: 'ingress' })
  await nl.filters.create({
    device: 'v1',
    parent: 'ingress',
    kind: 'u32',
    actions: [{ kind: 'mirred', action: 'redirect', device: 'ifb0' }],
  })
  t.match(await nl.filters.list({ device: 'v1', parent: 'ingress' }), { length: 3 })
  near(t, await streamed(a, b, '10.9.0.2'), 10 * megabit)
})

t.test('what arrives too fast is dropped by police', needsRoot, async t => {
  const [a, b] = await pair(t)
  await using nl = await netlink.open({ netns: b.path })
  await nl.qdiscs.create({ device: 'v1', kind: 'clsact' })
  try {
    await nl.filters.create({
      device: 'v1',
      parent: 'ingress',
      kind: 'matchall',
      actions: [{ kind: 'police', rate: 10 * megabit, burst: '64KiB' }],
    })
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
    return void t.pass('the same', { skip: `this kernel lacks it: ${(error as Error).message}` })
  }
  const rate = await streamed(a, b, '10.9.0.2')
  t.ok(rate < 14 * megabit && rate > 2 * megabit, `${rate} is not more than 10 Mbit`)
})

t.test('netem delays', needsRoot, async t => {
  const [a] = await pair(t)
  await using nl = await netlink.open({ netns: a.path })
  const missing = await lacks(a, 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem')
  if (missing !== undefined) return void t.pass('the same', { skip: missing })
  await nl.qdiscs.create({ device: 'v0', kind: 'netem', delay: '100ms' })
  // Nobody listens, which the other side says at once: the time there and back.
  const script = `
    const begin = performance.now()
    require('node:net').connect(9, '10.9.0.2').on('error', () => console.log(performance.now() - begin))`
  const time = Number(await inNetns(a, process.execPath, '-e', script))
  t.ok(time >= 100 && time < 1500, `${time} ms`)
})
