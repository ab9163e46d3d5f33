import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, netns, nft } from '../../support/netns.js'

const { tcp, accept, counter, ip } = netlink.nft
const place = { family: 'inet', table: 't' } as const

t.test('a batch is all or nothing, and says what was refused', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  await t.rejects(
    nl.nftables.batch(b => {
      b.table({ family: 'inet', name: 't' })
        .chain('c')
        .rule('c', tcp.dport(80), accept())
        .rule('nowhere', accept())
    }),
    {
      code: 'ENOENT',
      operation: 'NFT_MSG_NEWRULE',
      attribute: 'NFTA_RULE_CHAIN',
      message: /4 of 4/,
    },
  )
  t.same((await nft(ns, 'list', 'ruleset')).nftables.length, 1, 'nothing has stayed')
  await t.rejects(
    nl.nftables.batch(b => {
      b.table({ family: 'inet', name: 't' }).chain('c').rule('c', tcp.dport.in('no-set'), accept())
    }),
    {
      code: 'ENOENT',
      operation: 'NFT_MSG_NEWRULE',
      attribute: /^NFTA_RULE_EXPRESSIONS\[3\]\(lookup\)/,
    },
  )
  t.same(await nl.nftables.list('table'), [])
  // Many refusals do not fit into a socket's buffer: the first one is told of.
  await t.rejects(
    nl.nftables.batch(b => {
      b.table({ family: 'inet', name: 't' })
      for (let i = 0; i < 5000; i++) b.add('rule', { ...place, chain: 'nowhere', expressions: [] })
    }),
    { code: 'ENOENT', operation: 'NFT_MSG_NEWRULE', message: /2 of 5001/ },
  )
  t.same(await nl.nftables.list('table'), [])
  await nl.nftables.batch(b => b.add('table', { family: 'inet', name: 't' }))
  t.same(
    (await nl.nftables.list('table')).map(({ name }) => name),
    ['t'],
  )
})

t.test('what can not be is refused before anything is sent', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const generation = await nl.nftables.generation()
  const bad: [string, (b: netlink.nft.Batch) => void][] = [
    ['add(table).family', b => b.add('table', { family: 'ipx' as 'ip', name: 't' })],
    ['add(table).name', b => b.add('table', { family: 'ip', name: '' })],
    ['add(table).nmae', b => b.add('table', { family: 'ip', name: 't', nmae: 1 } as never)],
    ['add(chain).hook', b => b.add('chain', { ...place, name: 'c', hook: 'egress' })],
    [
      'add(chain).priority',
      b => b.add('chain', { ...place, name: 'c', hook: 'input', priority: 'out' }),
    ],
    ['add(chain).policy', b => b.add('chain', { ...place, name: 'c', policy: 'drop' })],
    ['add(set).type', b => b.add('set', { ...place, name: 's', type: 'ipv5' as 'mark' })],
    [
      'add(elements).elements[1]',
      b =>
        b.add('elements', {
          set: { ...place, name: 's', type: 'ipv4_addr' },
          elements: ['10.0.0.1', '10.0.0.256'],
        }),
    ],
    ['inet_service', () => tcp.dport(65536)],
    [
      'add(rule).comment',
      b => b.add('rule', { ...place, chain: 'c', expressions: [], comment: 'x'.repeat(128) }),
    ],
  ]
  for (const [option, fill] of bad) {
    const error = await nl.nftables.batch(fill).catch((caught: unknown) => caught)
    t.match(error, { name: 'CofferdamError', option }, option)
  }
  t.throws(() =>
    new netlink.nft.Batch().add('rule', {
      family: 'ip',
      table: 't',
      chain: 'c',
      expressions: [netlink.nft.ip6.saddr('::1')],
    }),
  )
  t.throws(() =>
    new netlink.nft.Batch().add('rule', {
      ...place,
      chain: 'c',
      expressions: [ip.saddr('10.0.0.1'), netlink.nft.ip6.saddr('::1')],
    }),
  )
  t.equal(await nl.nftables.generation(), generation)
})

t.test('rules are put where they are wanted, replaced and deleted', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const rule = (comment: string) => ({ ...place, chain: 'c', expressions: [counter()], comment })
  const comments = async () =>
    (await nl.nftables.list('rule', { table: 't', chain: 'c' })).map(one => one.comment)
  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 't' }).chain('c')
    b.add('rule', rule('b')).add('rule', rule('d')).insert(rule('a'))
  })
  t.same(await comments(), ['a', 'b', 'd'])
  const [a, b, d] = await nl.nftables.list('rule', { table: 't' })
  if (a === undefined || b === undefined || d === undefined) throw new Error('no rules')
  await nl.nftables.batch(batch => {
    batch.add('rule', { ...rule('c'), position: b.handle })
    batch.replace(d.handle, rule('e')).delete('rule', a)
  })
  t.same(await comments(), ['b', 'c', 'e'])
  const shown = (await nft(ns, 'list', 'chain', 'inet', 't', 'c')).nftables
  t.same(
    shown
      .filter((one: object) => 'rule' in one)
      .map((one: { rule: { comment: string } }) => one.rule.comment),
    ['b', 'c', 'e'],
  )
  await nl.nftables.batch(batch => batch.flush('chain', { ...place, name: 'c' }))
  t.same(await comments(), [])
  await t.rejects(
    nl.nftables.batch(batch => batch.create('chain', { ...place, name: 'c' })),
    { code: 'EEXIST' },
  )
  await nl.nftables.batch(batch => batch.delete('chain', { ...place, name: 'c' }))
  t.same(await nl.nftables.list('chain'), [])
  await nl.nftables.batch(batch => batch.delete('table', { family: 'inet', name: 't' }))
  t.same(await nl.nftables.list('table'), [])
})

t.test('elements come and go, as many as there are', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const set = { ...place, name: 's', type: 'ipv4_addr' } as const
  const keys = Array.from({ length: 20_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
  await nl.nftables.batch(b => {
    b.add('table', { family: 'inet', name: 't' })
      .add('set', set)
      .add('elements', { set, elements: keys })
  })
  t.same((await nl.nftables.elements(set)).map(({ key }) => key).sort(), [...keys].sort())
  const listed = await nft(ns, 'list', 'set', 'inet', 't', 's')
  t.same([...listed.nftables[1].set.elem].sort(), [...keys].sort())
  await nl.nftables.batch(b => b.delete('elements', { set, elements: keys.slice(1) }))
  t.same(await nl.nftables.elements(set), [{ key: keys[0] }])
  await t.rejects(
    nl.nftables.batch(b => b.create('elements', { set, elements: keys.slice(0, 1) })),
    { code: 'EEXIST' },
  )
  await nl.nftables.batch(b => b.flush('set', set))
  t.same(await nl.nftables.elements(set), [])
  await t.rejects(nl.nftables.elements({ ...set, name: 'none' }), { code: 'ENOENT' })
  const ranges = { ...set, name: 'r', interval: true }
  const wanted = ['0.0.0.0/8', { from: '10.0.0.1', to: '10.0.0.5' }, '10.0.0.6', '255.0.0.0/8']
  await nl.nftables.batch(b =>
    b.add('set', ranges).add('elements', { set: ranges, elements: wanted }),
  )
  t.same(
    (await nl.nftables.elements(ranges)).map(({ key }) => key),
    wanted,
  )
  await nl.nftables.batch(b => b.delete('elements', { set: ranges, elements: wanted.slice(1, 3) }))
  t.same(
    (await nl.nftables.elements(ranges)).map(({ key }) => key),
    ['0.0.0.0/8', '255.0.0.0/8'],
  )
})

t.test('a transaction is tried again when somebody else came in between', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const old = await nl.nftables.generation()
  await inNetns(ns, 'nft', 'add table inet other')
  await t.rejects(
    nl.nftables.batch(b => b.add('table', { family: 'inet', name: 't' }), { generation: old }),
    { code: 'ERESTART' },
  )
  t.same(
    (await nl.nftables.list('table')).map(({ name }) => name),
    ['other'],
  )
  let tries = 0
  const count = await nl.nftables.transaction(async (b, nftables) => {
    tries++
    const tables = await nftables.list('table')
    if (tries === 1) await inNetns(ns, 'nft', 'add table inet another')
    b.add('table', { family: 'inet', name: `after-${tables.length}` })
    return tables.length
  })
  t.equal(tries, 2)
  t.equal(count, 2)
  t.same(
    (await nl.nftables.list('table')).map(({ name }) => name),
    ['other', 'another', 'after-2'],
  )
})

t.test('the monitor tells of what others change', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  using monitor = await nl.nftables.monitor()
  await inNetns(
    ns,
    'nft',
    'add table inet t { set s { type ipv4_addr; flags interval; }; chain c { tcp dport 80 drop comment "x"; }; }',
  )
  await inNetns(ns, 'nft', 'add element inet t s { 10.0.0.0/8 }')
  await inNetns(ns, 'nft', 'delete table inet t')
  const told: netlink.nft.NftablesEvent[] = []
  for await (const event of monitor) {
    if (event.kind === 'lost') throw new Error('lost')
    told.push(event)
    if (told.filter(({ kind }) => kind === 'generation').length === 3) break
  }
  t.match(told.slice(0, 5), [
    { kind: 'table', event: 'new', table: { name: 't', family: 'inet' } },
    { kind: 'chain', event: 'new', chain: { name: 'c' } },
    { kind: 'set', event: 'new', set: { name: 's', type: 'ipv4_addr' } },
    { kind: 'rule', event: 'new', rule: { chain: 'c', comment: 'x' } },
    { kind: 'generation', process: 'nft' },
  ])
  const elements = told.find(one => one.kind === 'elements' && one.event === 'new')
  t.match(elements, { set: 's', elements: [{ key: '10.0.0.0/8' }] })
  t.ok(told.some(one => one.kind === 'table' && one.event === 'deleted'))
  const controller = new AbortController()
  const ended = await nl.nftables.monitor({ signal: controller.signal })
  const next = ended.next()
  controller.abort()
  t.same(await next, { done: true, value: undefined })
})
