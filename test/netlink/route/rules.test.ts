import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { ip, netns } from '../../support/netns.js'

async function opened(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'set', 'lo', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

t.test('the rules that each namespace has', needsRoot, async t => {
  const { nl } = await opened(t)
  t.same(
    (await nl.rules.list()).map(({ family, priority, action, table }) => [
      family,
      priority,
      action,
      table,
    ]),
    [
      ['inet', 0, 'table', 255],
      ['inet', 32766, 'table', 254],
      ['inet', 32767, 'table', 253],
      ['inet6', 0, 'table', 255],
      ['inet6', 32766, 'table', 254],
    ],
  )
})

t.test('a rule is as it was asked for, of both families', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  for (const [flag, from, to] of [
    ['-4', '10.1.0.0/16', '10.2.0.0/24'],
    ['-6', 'fd01::/16', 'fd02::/64'],
  ] as const) {
    const options = {
      from,
      to,
      priority: 100,
      table: 100_000,
      input: 'lo',
      output: 'eth7',
      mark: 0x10,
      mask: 0xf0,
      ipProtocol: 6,
      sourcePorts: { first: 1000, last: 2000 },
      destinationPorts: { first: 80, last: 80 },
      users: { first: 5, last: 7 },
      suppressPrefixLength: 0,
      suppressGroup: 3,
      invert: true,
      protocol: 'static',
    } as const
    await nl.rules.create(options)
    const [found] = await ip(ns, '-d', flag, 'rule', 'show', 'priority', '100')
    const [src, srclen] = from.split('/')
    const [dst, dstlen] = to.split('/')
    t.match(found, {
      priority: 100,
      not: null,
      src,
      srclen: Number(srclen),
      dst,
      dstlen: Number(dstlen),
      iif: 'lo',
      oif: 'eth7',
      fwmark: '0x10',
      fwmask: '0xf0',
      ipproto: 'tcp',
      sport_start: 1000,
      sport_end: 2000,
      dport: 80,
      uid_start: 5,
      uid_end: 7,
      suppress_prefixlen: 0,
      table: '100000',
      protocol: 'static',
    })
    t.ok('not' in found)
    const read = (await nl.rules.list()).find(rule => rule.priority === 100)
    t.match(read, options)
    await t.rejects(nl.rules.create(options), { code: 'EEXIST', operation: 'RTM_NEWRULE' })
    // What was read names it.
    if (read) await nl.rules.delete(read)
    t.same(await ip(ns, flag, 'rule', 'show', 'priority', '100'), [])
    await t.rejects(nl.rules.delete(options), { code: 'ENOENT', operation: 'RTM_DELRULE' })
  }
})

t.test('every action', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  for (const family of ['inet', 'inet6'] as const) {
    await nl.rules.create({ family, priority: 1, goto: 32766 })
    await nl.rules.create({ family, priority: 2, action: 'nop' })
    await nl.rules.create({ family, priority: 3, action: 'blackhole', mark: 1 })
    await nl.rules.create({ family, priority: 4, action: 'unreachable', mark: 1 })
    await nl.rules.create({ family, priority: 5, action: 'prohibit', mark: 1 })
    await nl.rules.create({ family, priority: 6 })
    const printed = await ip(ns, family === 'inet' ? '-4' : '-6', 'rule', 'show')
    const of = (priority: number) =>
      printed.find((rule: { priority: number }) => rule.priority === priority)
    t.equal(of(1).goto, 32766)
    t.ok('action' in of(2) ? of(2).action === 'nop' : 'nop' in of(2), JSON.stringify(of(2)))
    t.match(
      [of(3), of(4), of(5)],
      [{ action: 'blackhole' }, { action: 'unreachable' }, { action: 'prohibit' }],
    )
    t.equal(of(6).table, 'main')
    const read = (await nl.rules.list({ family })).filter(
      ({ priority }) => priority in [0, 1, 2, 3, 4, 5, 6],
    )
    t.same(
      read.slice(1).map(({ action }) => action),
      ['goto', 'nop', 'blackhole', 'unreachable', 'prohibit', 'table'],
    )
    t.equal(read[1]?.goto, 32766)
  }
})

t.test('what ip makes is read the same', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  await ip(ns, 'rule', 'add', 'not', 'from', '10.0.0.1', 'tos', '0x10', 'lookup', '77', 'pref', '9')
  await ip(
    ns,
    '-6',
    'rule',
    'add',
    'sport',
    '53',
    'ipproto',
    'udp',
    'uidrange',
    '0-9',
    'table',
    '300',
    'pref',
    '8',
  )
  const read = await nl.rules.list()
  t.match(
    read.find(({ priority }) => priority === 9),
    {
      from: '10.0.0.1/32',
      invert: true,
      tos: 16,
      table: 77,
      family: 'inet',
    },
  )
  t.match(
    read.find(({ priority }) => priority === 8),
    {
      family: 'inet6',
      ipProtocol: 17,
      sourcePorts: { first: 53, last: 53 },
      users: { first: 0, last: 9 },
      table: 300,
    },
  )
})

t.test('the table of a VRF, where the kernel has them', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  try {
    await nl.rules.create({ l3mdev: true, priority: 1000 })
  } catch (error) {
    t.match(error, { code: /^E/ })
    t.pass('l3mdev', { skip: `this kernel has no l3mdev: ${(error as Error).message}` })
    return
  }
  const [found] = await ip(ns, 'rule', 'show', 'priority', '1000')
  t.ok('l3mdev' in found)
  t.match(
    (await nl.rules.list()).find(({ priority }) => priority === 1000),
    { l3mdev: true },
  )
})

t.test('what can’t be right is refused before anything is sent', needsRoot, async t => {
  const { nl } = await opened(t)
  const refused = (options: object, option: string) =>
    t.rejects(
      nl.rules.create(options),
      { option, code: /^ERR_(INVALID_OPTION|CONFLICT)$/ },
      JSON.stringify(options),
    )
  await refused({ form: '10.0.0.0/8' }, 'options.form')
  await refused({ from: '10.0.0.0/8', to: 'fd00::/8' }, 'options.to')
  await refused({ action: 'goto' }, 'options.goto')
  await refused({ action: 'nop', goto: 5 }, 'options.goto')
  await refused({ action: 'dance' }, 'options.action')
  await refused({ mask: 5 }, 'options.mask')
  await refused({ l3mdev: true, table: 5 }, 'options.table')
  await refused({ table: -5 }, 'options.table')
  await refused({ users: { first: 9, last: 1 } }, 'options.users')
  await refused({ sourcePorts: { first: 1, last: 65536 } }, 'options.sourcePorts.last')
  await refused({ priority: -1 }, 'options.priority')
  await refused({ input: 'x'.repeat(16) }, 'options.input')
})
