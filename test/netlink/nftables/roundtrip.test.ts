import { execFileSync } from 'node:child_process'
import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, netns, snapshot } from '../../support/netns.js'
import { everything } from './ruleset.js'

t.test('what nft writes is decoded, and written again it is the same', needsRoot, async t => {
  const before = await snapshot()
  const ns = await netns(t)
  await inNetns(ns, 'ip', 'link', 'set', 'lo', 'up')
  execFileSync('nsenter', [`--net=${ns.path}`, 'nft', '-f', '-'], { input: everything })
  const printed = await inNetns(ns, 'nft', 'list', 'ruleset')
  t.ok(printed.length > 5000)

  await using nl = await netlink.open({ netns: ns.path })
  const ruleset = await nl.nftables.ruleset()
  const raw = ruleset.rules.flatMap(({ expressions }) =>
    expressions.filter(({ kind }) => kind === 'raw'),
  )
  t.same(raw, [], 'every expression is known')
  t.match(
    ruleset.tables.find(({ name }) => name === 'fw'),
    { family: 'inet', comment: 'the firewall' },
  )
  t.same(ruleset.tables.find(({ name }) => name === 'old')?.flags, ['dormant'])
  const set = (name: string) => ruleset.sets.find(one => one.set.name === name)
  t.same(
    set('blocked')?.elements.map(({ key }) => key),
    ['10.0.0.0/8', '192.168.1.1', { from: '192.168.3.10', to: '192.168.3.20' }, '255.255.255.0/24'],
  )
  t.match(set('blocked'), { set: { comment: 'bad ones' }, elements: [{}, { comment: 'printer' }] })
  t.same(
    set('nets')?.elements.map(({ key }) => key),
    [
      ['10.0.0.0/8', { from: 80, to: 90 }],
      ['10.1.1.1', 443],
    ],
  )
  t.same(
    set('marks')?.elements.map(({ key }) => key),
    [{ from: 1, to: 7 }, 9],
  )
  t.match(set('visitors')?.set, {
    timeout: 3_600_000,
    gcInterval: 60_000,
    size: 128,
    dynamic: true,
  })
  const verdicts = set('verdicts')?.elements.map(({ key, verdict }) => `${key}: ${verdict}`)
  t.same(verdicts?.sort(), ['*: drop', '22: accept', '80: jump web'])
  t.match(
    ruleset.objects.find(({ name }) => name === 'web'),
    { type: 'counter', counter: { packets: 3n, bytes: 40n }, comment: 'requests' },
  )
  t.match(
    ruleset.chains.find(({ name }) => name === 'in'),
    { type: 'filter', hook: 'input', priority: 5, policy: 'drop' },
  )
  t.match(
    ruleset.chains.find(({ name }) => name === 'ing'),
    { family: 'netdev', hook: 'ingress', devices: ['lo'] },
  )
  t.ok(ruleset.rules.some(({ comment }) => comment === 'itself'))

  await nl.nftables.flush()
  t.equal((await inNetns(ns, 'nft', 'list', 'ruleset')).trim(), '', 'flushed')
  await nl.nftables.batch(b => b.addRuleset(ruleset))
  t.equal(await inNetns(ns, 'nft', 'list', 'ruleset'), printed)
  t.same(await snapshot(), before, 'nothing of the host has changed')
})

t.test('expressions of the kernel are all told with their values', needsRoot, async t => {
  const ns = await netns(t)
  await inNetns(ns, 'nft', 'add table inet t; add chain inet t c')
  await using nl = await netlink.open({ netns: ns.path })
  const decoded = async (rule: string) => {
    await inNetns(ns, 'nft', `flush chain inet t c; add rule inet t c ${rule}`)
    return (await nl.nftables.list('rule', { table: 't' }))[0]?.expressions
  }
  t.match(await decoded('tcp dport 80'), [
    { kind: 'meta', key: 'l4proto', dreg: 1 },
    { kind: 'cmp', op: 'eq', data: Buffer.from([6]) },
    { kind: 'payload', base: 'transport', offset: 2, length: 2 },
    { kind: 'cmp', op: 'eq', data: Buffer.from([0, 80]) },
  ])
  t.match(await decoded('limit rate over 3/minute burst 9 packets'), [
    { kind: 'limit', rate: 3n, unit: 60n, burst: 9, type: 'packets', flags: ['inverted'] },
  ])
  t.match(await decoded('log prefix "x " level warn'), [
    { kind: 'log', prefix: 'x ', level: 'warn' },
  ])
  t.match(await decoded('reject with icmpx host-unreachable'), [
    { kind: 'reject', type: 'icmpx', code: 2 },
  ])
  t.match(await decoded('numgen random mod 7 offset 3 == 4'), [
    { kind: 'numgen', modulus: 7, type: 'random', offset: 3 },
  ])
  t.match(await decoded('fib daddr . iif type local'), [
    { kind: 'fib', result: 'type', flags: ['daddr', 'iif'] },
  ])
  t.match(await decoded('ct original ip saddr 10.0.0.1'), [
    { kind: 'ct', key: 'srcIp', direction: 'original' },
  ])
})
