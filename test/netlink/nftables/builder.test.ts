import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, type Netns, netns, nft as nftJson } from '../../support/netns.js'

const n = netlink.nft
type Statement = netlink.nft.Statement

/** As nft lists the rules of a chain. */
async function listed(ns: Netns, family: string, chain: string): Promise<string[]> {
  const text = await inNetns(ns, 'nft', 'list', 'chain', family, 't', chain)
  return text
    .split('\n')
    .slice(2, -3)
    .map(line => line.trim())
    .filter(line => !line.startsWith('type '))
}

const filters: [statements: Statement[], printed: string][] = [
  [[n.tcp.dport(80), n.accept()], 'tcp dport 80 accept'],
  [[n.tcp.dport.not(80), n.drop()], 'tcp dport != 80 drop'],
  [[n.tcp.dport(80, 443)], 'tcp dport { 80, 443 }'],
  [[n.tcp.dport(22, { from: 80, to: 90 })], 'tcp dport { 22, 80-90 }'],
  [[n.tcp.dport.not(80, 443)], 'tcp dport != { 80, 443 }'],
  [[n.tcp.dport({ from: 1, to: 1023 })], 'tcp dport 1-1023'],
  [[n.tcp.dport.not({ from: 1, to: 1023 })], 'tcp dport != 1-1023'],
  [[n.tcp.sport.above(1023)], 'tcp sport > 1023'],
  [[n.tcp.sport.below(1024)], 'tcp sport < 1024'],
  [[n.tcp.sport(5), n.tcp.dport(6)], 'tcp sport 5 tcp dport 6'],
  [[n.udp.dport(53)], 'udp dport 53'],
  [[n.sctp.dport(53)], 'sctp dport 53'],
  [[n.tcp.flags.exactly(['syn'], ['syn', 'ack'])], 'tcp flags syn / syn,ack'],
  [[n.ip.saddr('10.0.0.1')], 'ip saddr 10.0.0.1'],
  [[n.ip.saddr('10.0.0.0/8')], 'ip saddr 10.0.0.0/8'],
  [[n.ip.saddr.not('10.0.0.0/12')], 'ip saddr != 10.0.0.0/12'],
  [[n.ip.daddr('10.0.0.0/8', '192.168.1.1')], 'ip daddr { 10.0.0.0/8, 192.168.1.1 }'],
  [[n.ip.protocol('tcp')], 'ip protocol tcp'],
  [[n.ip.ttl(64)], 'ip ttl 64'],
  [[n.ip6.saddr('fe80::/10')], 'ip6 saddr fe80::/10'],
  [[n.ip6.hoplimit(255)], 'ip6 hoplimit 255'],
  [[n.ip6.daddr('fd00::1')], 'ip6 daddr fd00::1'],
  [[n.icmp.type('echo-request')], 'icmp type echo-request'],
  [
    [n.icmpv6.type('nd-neighbor-solicit', 'nd-router-advert')],
    'icmpv6 type { nd-router-advert, nd-neighbor-solicit }',
  ],
  [[n.ether.saddr('02:42:ac:11:00:02')], 'ether saddr 02:42:ac:11:00:02'],
  [[n.ct.state('established', 'related'), n.accept()], 'ct state established,related accept'],
  [[n.ct.state('new')], 'ct state new'],
  [[n.ct.status('dnat')], 'ct status dnat'],
  [[n.ct.mark(7)], 'ct mark 0x00000007'],
  [[n.ct.direction('reply')], 'ct direction reply'],
  [[n.ct.original.daddr('10.0.0.1')], 'ct original ip daddr 10.0.0.1'],
  [[n.meta.iifname('eth0'), n.meta.oifname.not('eth1')], 'iifname "eth0" oifname != "eth1"'],
  [[n.meta.mark(1, { from: 3, to: 5 })], 'meta mark { 0x00000001, 0x00000003-0x00000005 }'],
  [[n.meta.mark({ from: 3, to: 5 })], 'meta mark 0x00000003-0x00000005'],
  [[n.meta.mark.set(10)], 'meta mark set 0x0000000a'],
  [[n.meta.l4proto('udp')], 'meta l4proto udp'],
  [[n.meta.skuid(0)], 'meta skuid 0'],
  [[n.meta.pkttype('broadcast')], 'meta pkttype broadcast'],
  [[n.meta.length.above(1000)], 'meta length > 1000'],
  [[n.ct.mark.set(3)], 'ct mark set 0x00000003'],
  [[n.ip.daddr.set('10.0.0.9')], 'ip daddr set 10.0.0.9'],
  [[n.tcp.dport.set(8080)], 'tcp dport set 8080'],
  [[n.fib.destinationType('local')], 'fib daddr type local'],
  [[n.tcp.dport.in('ports')], 'tcp dport @ports'],
  [[n.tcp.dport.notIn('ports')], 'tcp dport != @ports'],
  [[n.concat(n.ip.saddr, n.tcp.dport).in('pairs')], 'ip saddr . tcp dport @pairs'],
  [
    [
      n.concat(n.ip.saddr, n.tcp.dport).oneOf([
        ['10.0.0.1', 80],
        ['10.0.0.0/8', 81],
      ]),
    ],
    'ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.0/8 . 81 }',
  ],
  [[n.tcp.dport.verdict('byport')], 'tcp dport vmap @byport'],
  [
    [
      n.tcp.dport.verdict([
        [22, 'accept'],
        [80, 'jump other'],
      ]),
    ],
    'tcp dport vmap { 22 : accept, 80 : jump other }',
  ],
  [[n.ip.saddr.addTo('visitors', { timeout: 10_000 })], 'add @visitors { ip saddr timeout 10s }'],
  [
    [
      n.ip.saddr.addTo('visitors', { update: true, each: [n.limitExpression(10, { over: true })] }),
      n.drop(),
    ],
    'update @visitors { ip saddr limit rate over 10/second } drop',
  ],
  [[n.counter()], 'counter packets 0 bytes 0'],
  [[n.counter('web')], 'counter name "web"'],
  [[n.quota(25 << 20)], 'quota 25 mbytes'],
  [[n.quota(1024, { over: true })], 'quota over 1 kbytes'],
  [[n.quotaNamed('month')], 'quota name "month"'],
  [[n.limit(10)], 'limit rate 10/second'],
  [[n.limit(3, { per: 'minute', burst: 9 })], 'limit rate 3/minute burst 9 packets'],
  [[n.limit(1 << 20, { bytes: true, over: true })], 'limit rate over 1 mbytes/second'],
  [[n.log({ prefix: 'in: ', level: 'debug' })], 'log prefix "in: " level debug'],
  [[n.log({ group: 5, snaplen: 64 })], 'log group 5 snaplen 64'],
  [[n.reject()], 'reject'],
  [[n.reject('admin-prohibited')], 'reject with icmpx admin-prohibited'],
  [[n.reject('tcp reset')], 'meta l4proto tcp reject with tcp reset'],
  [[n.notrack()], 'notrack'],
  [[n.jump('other')], 'jump other'],
  [[n.goto('other')], 'goto other'],
  [[n.returnBack()], 'return'],
  [[n.continueOn()], 'continue'],
]

t.test('each statement reads in nft as it is meant', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  await nl.nftables.batch(b => {
    const table = b.table({ family: 'inet', name: 't' })
    table
      .chain('other')
      .chain('c', { hook: 'prerouting', priority: 'raw' })
      .set('ports', { type: 'inet_service' })
      .set('pairs', { type: ['ipv4_addr', 'inet_service'] })
      .set('visitors', { type: 'ipv4_addr', dynamic: true, timeout: '1h', size: 1000 })
      .set('byport', { type: 'inet_service', map: 'verdict' })
      .object('web', { type: 'counter' })
      .object('month', { type: 'quota', quota: { bytes: 1000n } })
    for (const [statements] of filters) table.rule('c', ...statements)
  })
  const lines = await listed(ns, 'inet', 'c')
  t.equal(lines.length, filters.length)
  for (const [i, [, printed]] of filters.entries()) t.equal(lines[i], printed)
  const { nftables } = await nftJson(ns, 'list', 'ruleset')
  t.equal(nftables.filter((one: object) => 'rule' in one).length, filters.length)
})

t.test('statements for translation read in nft as they are meant', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const before: [Statement[], string][] = [
    [
      [n.tcp.dport(80), n.dnat({ address: '10.0.0.2', port: 8080 })],
      'tcp dport 80 dnat ip to 10.0.0.2:8080',
    ],
    [[n.dnat({ address: 'fd00::2' })], 'dnat ip6 to fd00::2'],
    [[n.tcp.dport(81), n.redirect(8081)], 'tcp dport 81 redirect to :8081'],
    [[n.redirect()], 'redirect'],
  ]
  const after: [Statement[], string][] = [
    [[n.masquerade()], 'masquerade'],
    [[n.masquerade('random')], 'masquerade random'],
    [[n.snat({ address: '10.0.0.1' }, 'persistent')], 'snat ip to 10.0.0.1 persistent'],
  ]
  await nl.nftables.batch(b => {
    const table = b.table({ family: 'inet', name: 't' })
    table.chain('pre', { type: 'nat', hook: 'prerouting', priority: 'dstnat' })
    table.chain('post', { type: 'nat', hook: 'postrouting', priority: 'srcnat' })
    for (const [statements] of before) table.rule('pre', ...statements)
    for (const [statements] of after) table.rule('post', ...statements)
  })
  t.same(
    await listed(ns, 'inet', 'pre'),
    before.map(([, printed]) => printed),
  )
  t.same(
    await listed(ns, 'inet', 'post'),
    after.map(([, printed]) => printed),
  )
})

t.test('sets, maps and objects read in nft as they are meant', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  await nl.nftables.batch(b => {
    b.table({ family: 'inet', name: 't', comment: 'mine' })
      .chain('web', { comment: 'of web' })
      .set('nets', { type: 'ipv4_addr', interval: true, comment: 'all bad' }, [
        '10.0.0.0/8',
        { from: '192.168.1.5', to: '192.168.1.9' },
        { key: '255.255.255.255', comment: 'all' },
      ])
      .set('both', { type: ['ipv4_addr', 'inet_service'], interval: true }, [
        ['10.0.0.0/8', { from: 80, to: 90 }],
      ])
      .set('macs', { type: 'ether_addr', size: 5 }, ['02:42:ac:11:00:02'])
      .set('marks', { type: 'mark', interval: true }, [7, { from: 16, to: 31 }])
      .set('names', { type: 'ifname' }, ['eth0'])
      .set('for-a-while', { type: 'ipv6_addr', timeout: '1h' }, [
        { key: 'fd00::1', timeout: '2h' },
        'fd00::2',
      ])
      .object('hits', { type: 'counter', comment: 'all of them' })
      .set('verdicts', { type: 'inet_service', map: 'verdict' }, [
        { key: 80, verdict: 'jump web' },
        { key: '*', verdict: 'drop' },
      ])
      .set('targets', { type: 'inet_service', map: 'ipv4_addr' }, [{ key: 80, value: '10.0.0.2' }])
      .set('counters', { type: 'ipv4_addr', map: { object: 'counter' } }, [
        { key: '10.0.0.7', object: 'hits' },
      ])
  })
  const text = (await inNetns(ns, 'nft', 'list', 'table', 'inet', 't')).replaceAll(/\s+/g, ' ')
  for (const wanted of [
    'comment "mine"',
    'chain web { comment "of web" }',
    'set nets { type ipv4_addr flags interval comment "all bad" elements = { 10.0.0.0/8, 192.168.1.5-192.168.1.9, 255.255.255.255 comment "all" } }',
    'elements = { 10.0.0.0/8 . 80-90 }',
    'set macs { type ether_addr size 5 elements = { 02:42:ac:11:00:02 } }',
    'type mark flags interval elements = { 0x00000007, 0x00000010/28 }',
    'set names { type ifname elements = { "eth0" } }',
    'type ipv6_addr timeout 1h',
    'fd00::1 timeout 2h',
    'counter hits { comment "all of them" packets 0 bytes 0 }',
    'map verdicts { type inet_service : verdict elements = { 80 : jump web, * : drop } }',
    'map targets { type inet_service : ipv4_addr elements = { 80 : 10.0.0.2 } }',
    'map counters { type ipv4_addr : counter elements = { 10.0.0.7 : "hits" } }',
  ])
    t.ok(text.includes(wanted), wanted)
})

t.test('each family has its own chains', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  await nl.nftables.batch(b => {
    for (const family of ['ip', 'ip6', 'inet', 'bridge', 'arp'] as const)
      b.table({ family, name: family }).chain('c', {
        hook: 'input',
        policy: 'drop',
        priority: 'filter',
      })
    b.table({ family: 'netdev', name: 'netdev' }).chain('c', {
      hook: 'ingress',
      devices: ['lo'],
      priority: -7,
    })
  })
  const { nftables } = await nftJson(ns, 'list', 'ruleset')
  const chains = nftables
    .filter((one: object) => 'chain' in one)
    .map((one: { chain: object }) => one.chain)
  t.match(chains, [
    { family: 'ip', hook: 'input', prio: 0, policy: 'drop' },
    { family: 'ip6', hook: 'input', prio: 0, policy: 'drop' },
    { family: 'inet', hook: 'input', prio: 0, policy: 'drop' },
    { family: 'bridge', hook: 'input', prio: -200, policy: 'drop' },
    { family: 'arp', hook: 'input', prio: 0, policy: 'drop' },
    { family: 'netdev', hook: 'ingress', prio: -7, policy: 'accept' },
  ])
  await nl.nftables.batch(b => b.add('table', { family: 'ip', name: 'asleep', flags: ['dormant'] }))
  t.match(await inNetns(ns, 'nft', 'list', 'table', 'ip', 'asleep'), /flags dormant/)
})
