import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, ip, type Netns, netns } from '../../support/netns.js'

/** A namespace with a veth whose ends have addresses of both families. */
async function withVeth(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  for (const [name, last] of [
    ['eth0', 1],
    ['eth1', 2],
  ] as const) {
    await ip(ns, 'link', 'set', name, 'up')
    await ip(ns, 'address', 'add', `10.0.${last}.1/24`, 'dev', name)
    await ip(ns, 'address', 'add', `fd0${last}::1/64`, 'dev', name, 'nodad')
  }
  await ip(ns, 'link', 'set', 'lo', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

/** What `ip` says of the routes to a destination, in any table. */
async function shown(ns: Netns, destination: string, ...more: string[]) {
  const family = destination.includes(':') ? '-6' : '-4'
  return ip(ns, '-d', family, 'route', 'show', 'table', 'all', ...more, 'exact', destination)
}

t.test(
  'a route is as it was asked for, with a gateway, metrics, and in any table',
  needsRoot,
  async t => {
    const { ns, nl } = await withVeth(t)
    await nl.routes.create({
      destination: '192.0.2.0/24',
      gateway: '10.0.1.7',
      device: 'eth0',
      source: '10.0.1.1',
      priority: 42,
      table: 70000,
      protocol: 'static',
      tos: 16,
      metrics: {
        mtu: 1400,
        lock: ['mtu'],
        advertisedMss: 1360,
        window: 5000,
        rtt: 300,
        rttVariance: 75,
        slowStartThreshold: 11,
        congestionWindow: 12,
        reordering: 4,
        hopLimit: 33,
        initialCongestionWindow: 20,
        initialReceiveWindow: 21,
        rtoMin: 40,
        quickAck: true,
        congestionControl: 'cubic',
        features: ['ecn'],
        fastOpenWithoutCookie: true,
      },
    })
    const [found] = await shown(ns, '192.0.2.0/24')
    t.match(found, {
      type: 'unicast',
      dst: '192.0.2.0/24',
      gateway: '10.0.1.7',
      dev: 'eth0',
      prefsrc: '10.0.1.1',
      metric: 42,
      table: '70000',
      protocol: 'static',
      scope: 'global',
      tos: '0x10',
    })
    const text = await inNetns(ns, 'ip', 'route', 'show', 'table', '70000')
    for (const part of [
      'mtu lock 1400',
      'advmss 1360',
      'window 5000',
      'rtt 300ms',
      'rttvar 75ms',
      'ssthresh 11',
      'cwnd 12',
      'reordering 4',
      'hoplimit 33',
      'initcwnd 20',
      'initrwnd 21',
      'rto_min 40ms',
      'quickack 1',
      'congctl cubic',
      'features ecn',
      'fastopen_no_cookie 1',
    ])
      t.match(text, part)
    const read = await nl.routes.list({ table: 70000 })
    t.match(read, [
      {
        family: 'inet',
        destination: '192.0.2.0/24',
        gateway: '10.0.1.7',
        source: '10.0.1.1',
        priority: 42,
        table: 70000,
        protocol: 'static',
        tos: 16,
        metrics: {
          mtu: 1400,
          lock: ['mtu'],
          rtt: 300,
          rttVariance: 75,
          quickAck: true,
          congestionControl: 'cubic',
          features: ['ecn'],
        },
      },
    ])
    const [{ metrics, ...rest } = { destination: '' }] = read
    await nl.routes.delete(rest)
    t.same(await shown(ns, '192.0.2.0/24'), [])
  },
)

t.test('the same of IPv6, with a preference and an end', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.routes.create({
    destination: '2001:db8::/32',
    gateway: 'fd01::7',
    device: 'eth0',
    source: 'fd01::1',
    priority: 9,
    table: 300,
    preference: 'high',
    expires: 500,
    protocol: 'ra',
    metrics: { mtu: 1300, hopLimit: 9 },
  })
  const [found] = await shown(ns, '2001:db8::/32')
  t.match(found, {
    gateway: 'fd01::7',
    dev: 'eth0',
    prefsrc: 'fd01::1',
    metric: 9,
    table: '300',
    pref: 'high',
    protocol: 'ra',
    metrics: [{ mtu: 1300, hoplimit: 9 }],
  })
  t.ok(found.expires > 400 && found.expires <= 500, `${found.expires}`)
  const [read] = await nl.routes.list({ table: 300, family: 'inet6' })
  t.match(read, { preference: 'high', metrics: { mtu: 1300 }, gateway: 'fd01::7' })
  t.ok((read?.expires ?? 0) > 400 && (read?.expires ?? 0) <= 500)
})

t.test('every type that needs no device', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  for (const [prefix, family] of [
    ['10.20.', '.0/24'],
    ['fd20:', '::/48'],
  ] as const)
    for (const [i, type] of (
      ['blackhole', 'unreachable', 'prohibit', 'throw'] as const
    ).entries()) {
      const destination = `${prefix}${i + 1}${family}`
      await nl.routes.create({ destination, type })
      const [found] = await shown(ns, destination)
      t.match(found, { type, table: 'main' }, `${type} ${destination}`)
      const [read] = await nl.routes.list({ type, family: family.includes(':') ? 'inet6' : 'inet' })
      t.match(read, { destination, type })
      await nl.routes.delete({ destination, type })
      t.same(await shown(ns, destination), [])
    }
})

t.test('types of the table local', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.routes.create({ destination: '10.77.0.1', type: 'local', device: 'lo' })
  t.match(await shown(ns, '10.77.0.1'), [{ type: 'local', table: 'local', scope: 'host' }])
  await nl.routes.create({ destination: '10.77.0.255', type: 'broadcast', device: 'eth0' })
  t.match(await shown(ns, '10.77.0.255'), [{ type: 'broadcast', table: 'local', scope: 'link' }])
  await nl.routes.create({ destination: '224.0.0.0/8', type: 'multicast', device: 'eth0' })
  t.match(await shown(ns, '224.0.0.0/8'), [{ type: 'multicast', table: 'main' }])
  await nl.routes.create({ destination: 'fd77::1', type: 'local', device: 'lo' })
  t.match(await shown(ns, 'fd77::1'), [{ type: 'local', table: 'local' }])
  await nl.routes.create({ destination: 'fd77::2', type: 'anycast', device: 'eth0' })
  t.match(await shown(ns, 'fd77::2'), [{ type: 'anycast', table: 'local' }])
})

t.test('several ways, with weights', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  for (const [destination, left, right] of [
    ['198.51.100.0/24', '10.0.1.9', '10.0.2.9'],
    ['2001:db8:1::/48', 'fd01::9', 'fd02::9'],
  ] as const) {
    await nl.routes.create({
      destination,
      nexthops: [
        { gateway: left, device: 'eth0', weight: 3 },
        { gateway: right, device: 'eth1', weight: 256, flags: ['onlink'] },
      ],
    })
    const [found] = await shown(ns, destination)
    t.match(found.nexthops, [
      { gateway: left, dev: 'eth0', weight: 3 },
      { gateway: right, dev: 'eth1', weight: 256, flags: ['onlink'] },
    ])
    const read = (await nl.routes.list()).find(route => route.destination === destination)
    t.match(read?.nexthops, [
      { gateway: left, weight: 3, flags: [] },
      { gateway: right, weight: 256, flags: ['onlink'] },
    ])
    // What was read can be made again elsewhere.
    if (read) await nl.routes.create({ ...read, table: 99 })
    t.match(await nl.routes.list({ table: 99 }), [{ destination, nexthops: [{}, {}] }])
    if (read) await nl.routes.delete({ ...read, table: 99 })
    t.same(await nl.routes.list({ table: 99 }), [])
  }
})

t.test('a gateway of the other family, and one that no route leads to', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.routes.create({ destination: '203.0.113.0/24', gateway: 'fd01::5', device: 'eth0' })
  t.match(await shown(ns, '203.0.113.0/24'), [{ via: { family: 'inet6', host: 'fd01::5' } }])
  await nl.routes.create({
    destination: '203.0.114.0/24',
    nexthops: [
      { gateway: 'fd01::6', device: 'eth0' },
      { gateway: '10.0.2.6', device: 'eth1' },
    ],
  })
  t.match(await shown(ns, '203.0.114.0/24'), [
    { nexthops: [{ via: { host: 'fd01::6' } }, { gateway: '10.0.2.6' }] },
  ])
  const far = { destination: '203.0.115.0/24', gateway: '172.31.0.1', device: 'eth0' }
  await t.rejects(nl.routes.create(far), {
    code: 'ENETUNREACH',
    operation: 'RTM_NEWROUTE',
    message: /Nexthop has invalid gateway/,
  })
  await nl.routes.create({ ...far, flags: ['onlink'] })
  t.match(await shown(ns, far.destination), [{ flags: ['onlink'], gateway: '172.31.0.1' }])
  const read = await nl.routes.list({ family: 'inet', table: 'main' })
  const one = (destination: string) => read.find(route => route.destination === destination)
  t.equal(one('203.0.113.0/24')?.gateway, 'fd01::5')
  t.match(one('203.0.114.0/24')?.nexthops, [{ gateway: 'fd01::6' }, { gateway: '10.0.2.6' }])
  t.match(one('203.0.115.0/24')?.flags, ['onlink'])
})

t.test('default routes, of the family that the rest says', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.routes.create({ destination: 'default', gateway: '10.0.1.254' })
  await nl.routes.create({ destination: 'default', gateway: 'fd01::254' })
  await nl.routes.create({ destination: 'default', family: 'inet6', type: 'unreachable', table: 5 })
  t.match(await ip(ns, 'route', 'show', 'default'), [{ gateway: '10.0.1.254' }])
  t.match(await ip(ns, '-6', 'route', 'show', 'default'), [{ gateway: 'fd01::254' }])
  t.match(await nl.routes.list({ table: 5 }), [
    { family: 'inet6', destination: 'default', type: 'unreachable' },
  ])
  await nl.routes.delete({ destination: 'default', gateway: 'fd01::254' })
  t.same(await ip(ns, '-6', 'route', 'show', 'default'), [])
  t.equal((await ip(ns, 'route', 'show', 'default')).length, 1)
})

t.test('create, replace, append and delete keep what there is apart', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  const destination = '192.0.2.0/24'
  const gateways = async () =>
    (await shown(ns, destination)).map((one: { gateway: string }) => one.gateway)
  await nl.routes.create({ destination, gateway: '10.0.1.2' })
  await t.rejects(nl.routes.create({ destination, gateway: '10.0.1.3' }), { code: 'EEXIST' })
  await nl.routes.replace({ destination, gateway: '10.0.1.3' })
  t.same(await gateways(), ['10.0.1.3'])
  await nl.routes.append({ destination, gateway: '10.0.1.4' })
  t.same(await gateways(), ['10.0.1.3', '10.0.1.4'])
  await nl.routes.delete({ destination, gateway: '10.0.1.4' })
  t.same(await gateways(), ['10.0.1.3'])
  await nl.routes.delete({ destination })
  await t.rejects(nl.routes.delete({ destination }), { code: 'ESRCH', operation: 'RTM_DELROUTE' })
})

t.test(
  'what ip makes is read the same, and filters let through what they say',
  needsRoot,
  async t => {
    const { ns, nl } = await withVeth(t)
    const add = (...args: string[]) => ip(ns, 'route', 'add', ...args)
    await add('192.0.2.0/25', 'via', '10.0.1.2', 'proto', 'bgp', 'metric', '9', 'table', '1000')
    await add('192.0.2.128/25', 'dev', 'eth1', 'proto', 'ospf', 'table', '1000', 'realm', '3')
    await add('blackhole', '192.0.3.0/24', 'table', '1001')
    await ip(
      ns,
      '-6',
      'route',
      'add',
      'fd99::/16',
      'from',
      'fd01::/64',
      'dev',
      'eth1',
      'table',
      '1000',
    ).catch(() => t.comment('this kernel has no routes by their sources (CONFIG_IPV6_SUBTREES)'))
    t.match(await nl.routes.list({ table: 1000, family: 'inet', protocol: 'bgp' }), [
      { destination: '192.0.2.0/25', gateway: '10.0.1.2', priority: 9 },
    ])
    const byDevice = await nl.routes.list({ table: 1000, family: 'inet', device: 'eth1' })
    t.match(byDevice, [
      { destination: '192.0.2.128/25', protocol: 'ospf', scope: 'link', realms: 3 },
    ])
    t.equal(byDevice.length, 1)
    t.match(await nl.routes.list({ type: 'blackhole' }), [{ destination: '192.0.3.0/24' }])
    t.same(await nl.routes.list({ table: 4_000_000_000 }), [], 'a table that there is not')
    for (const family of ['inet', 'inet6'] as const) {
      const printed = await ip(ns, `-${family === 'inet' ? 4 : 6}`, 'route', 'show', 'table', 'all')
      const found = await nl.routes.list({ family })
      t.equal(found.length, printed.length, family)
      t.same(
        found.map(route => route.destination.replace(/\/(32|128)$/, '')).sort(),
        printed.map((route: { dst: string }) => route.dst).sort(),
      )
    }
  },
)

t.test('nexthop objects are told by their numbers', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await inNetns(ns, 'ip', 'nexthop', 'add', 'id', '7', 'via', '10.0.1.2', 'dev', 'eth0')
  await nl.routes.create({ destination: '192.0.2.0/24', nexthopId: 7 })
  t.match(await shown(ns, '192.0.2.0/24'), [{ nhid: 7, gateway: '10.0.1.2' }])
  t.match(
    (await nl.routes.list()).find(({ nexthopId }) => nexthopId === 7),
    {
      destination: '192.0.2.0/24',
      gateway: '10.0.1.2',
    },
  )
})

t.test('the route that a packet would take', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await ip(ns, 'route', 'add', 'default', 'via', '10.0.1.254')
  await ip(ns, 'route', 'add', '192.0.2.0/24', 'dev', 'eth1', 'table', '100')
  await ip(ns, 'rule', 'add', 'fwmark', '5', 'table', '100')
  const [{ ifindex: eth0 }] = await ip(ns, 'link', 'show', 'eth0')
  const [{ ifindex: eth1 }] = await ip(ns, 'link', 'show', 'eth1')
  t.match(await nl.routes.get('192.0.2.9'), {
    destination: '192.0.2.9/32',
    gateway: '10.0.1.254',
    device: eth0,
    source: '10.0.1.1',
  })
  t.match(await nl.routes.get('192.0.2.9', { mark: 5 }), { device: eth1, table: 100 })
  t.match(await nl.routes.get('192.0.2.9', { match: true }), { destination: 'default' })
  t.match(await nl.routes.get('10.0.1.1'), { type: 'local' })
  t.match(await nl.routes.get('fd01::9'), { device: eth0, family: 'inet6' })
  t.match(await nl.routes.get('10.0.1.9', { from: '10.0.2.1' }), { device: eth0 })
  t.match(
    await nl.routes.get('192.0.2.9', {
      device: 'eth0',
      uid: 0,
      ipProtocol: 6,
      destinationPort: 80,
    }),
    { device: eth0 },
  )
  await ip(ns, 'route', 'add', 'prohibit', '198.18.0.0/15')
  await t.rejects(nl.routes.get('198.18.0.1'), { code: 'EACCES', operation: 'RTM_GETROUTE' })
  await t.rejects(nl.routes.get('2001:db8::1'), { code: 'ENETUNREACH' })
  await t.rejects(nl.routes.get('example'), {
    code: 'ERR_INVALID_OPTION',
    option: 'destination',
  })
})

t.test('what can’t be right is refused before anything is sent', needsRoot, async t => {
  const { nl } = await withVeth(t)
  const refused = (options: object, option: string) =>
    t.rejects(
      nl.routes.create({ destination: '192.0.2.0/24', ...options }),
      { option, code: /^ERR_(INVALID_OPTION|CONFLICT)$/ },
      JSON.stringify(options),
    )
  await refused({ destination: 'somewhere' }, 'options.destination')
  await refused({ via: '10.0.0.1' }, 'options.via')
  await refused({ gateway: 'router' }, 'options.gateway')
  await refused({ destination: 'fd00::/8', gateway: '10.0.0.1' }, 'options.gateway')
  await refused({ source: 'fd00::1' }, 'options.source')
  await refused({ table: 0 }, 'options.table')
  await refused({ table: 'mine' }, 'options.table')
  await refused({ type: 'wormhole' }, 'options.type')
  await refused({ protocol: 'pigeon' }, 'options.protocol')
  await refused({ metrics: { mtu: -1 } }, 'options.metrics.mtu')
  await refused({ metrics: { speed: 1 } }, 'options.metrics')
  await refused({ metrics: { lock: ['everything'] } }, 'options.metrics.lock')
  await refused({ nexthops: [] }, 'options.nexthops')
  await refused({ nexthops: [{ weight: 257 }] }, 'options.nexthops[0].weight')
  await refused({ nexthops: [{ gateway: '10.0.0.1' }], device: 'eth0' }, 'options.nexthops')
  await refused({ nexthops: [{ gateway: '10.0.0.1', via: 7 }] }, 'options.nexthops[0].via')
  await refused({ device: 'none' + '\0' }, 'options.device')
  await t.rejects(nl.routes.create({ destination: '192.0.2.0/24', device: 'none' }), {
    code: 'ENODEV',
    option: 'options.device',
  })
  await t.rejects(nl.routes.list({ tabel: 5 } as object), {
    code: 'ERR_INVALID_OPTION',
    option: 'filter.tabel',
  })
})
