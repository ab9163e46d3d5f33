import { openSync } from 'node:fs'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { Descriptor } from '#lib/base/index.js'
import { needsRoot } from '../support/index.js'
import { inNetns, ip, type Netns, netns } from '../support/netns.js'

async function fresh(t: Test) {
  const ns = await netns(t)
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  const shown = async (name: string, there: Netns = ns) =>
    (await ip(there, '-d', '-s', 'link', 'show', 'dev', name))[0]
  return { ns, nl, links: nl.links, shown }
}

t.test('a pair is made with all that is said of both ends', needsRoot, async t => {
  const { links, shown } = await fresh(t)
  await links.create({
    kind: 'veth',
    name: 'v0',
    mtu: 1400,
    address: '02:00:00:00:00:01',
    txQueueLength: 77,
    deviceGroup: 5,
    gsoMaxSize: 30_000,
    gsoMaxSegments: 40,
    up: true,
    arp: false,
    alias: 'the one end',
    alternativeNames: ['a-name-that-is-longer-than-fifteen-bytes', 'other'],
    addressGeneration: 'none',
    peer: { name: 'v1', mtu: 1300, address: '02:00:00:00:00:02', up: false, multicast: false },
  })
  t.match(await shown('v0'), {
    mtu: 1400,
    address: '02:00:00:00:00:01',
    txqlen: 77,
    group: '5',
    gso_max_size: 30_000,
    gso_max_segs: 40,
    ifalias: 'the one end',
    altnames: ['a-name-that-is-longer-than-fifteen-bytes', 'other'],
    inet6_addr_gen_mode: 'none',
    linkinfo: { info_kind: 'veth' },
    link: 'v1',
  })
  t.ok((await shown('v0')).flags.includes('UP'))
  t.ok((await shown('v0')).flags.includes('NOARP'))
  t.match(await shown('v1'), { mtu: 1300, address: '02:00:00:00:00:02' })
  t.notOk((await shown('v1')).flags.some((flag: string) => ['UP', 'MULTICAST'].includes(flag)))
  const link = await links.get('other')
  t.match(link, {
    name: 'v0',
    kind: 'veth',
    mtu: 1400,
    address: '02:00:00:00:00:01',
    txQueueLength: 77,
    deviceGroup: 5,
    gsoMaxSize: 30_000,
    gsoMaxSegments: 40,
    up: true,
    alias: 'the one end',
    addressGeneration: 'none',
    hardware: 'ether',
  })
  t.same(link.alternativeNames, ['a-name-that-is-longer-than-fifteen-bytes', 'other'])
  t.equal((await links.get(link.link as number)).name, 'v1')
  t.equal((await links.get('a-name-that-is-longer-than-fifteen-bytes')).index, link.index)
})

t.test('a device is changed, as ip shows, and what ip changes is read', needsRoot, async t => {
  const { ns, links, shown } = await fresh(t)
  await links.create({ kind: 'veth', name: 'v0', peer: { name: 'v1' } })
  await links.set('v0', {
    name: 'w0',
    mtu: 1234,
    address: '02:00:00:00:00:09',
    alias: 'w',
    txQueueLength: 5,
  })
  t.match(await shown('w0'), { mtu: 1234, address: '02:00:00:00:00:09', ifalias: 'w', txqlen: 5 })
  await t.rejects(links.get('v0'), {
    code: 'ENODEV',
    option: 'device',
    message: /there is no device "v0"/,
  })
  await links.set('w0', {
    up: true,
    promiscuous: true,
    allMulticast: true,
    arp: false,
    multicast: false,
  })
  t.same((await shown('w0')).flags, [
    'NO-CARRIER',
    'BROADCAST',
    'NOARP',
    'ALLMULTI',
    'PROMISC',
    'UP',
    'M-DOWN',
  ])
  t.match(await links.get('w0'), {
    promiscuity: 1,
    up: true,
    state: 'lowerLayerDown',
    carrier: false,
  })
  await links.set('v1', { up: true })
  t.match(await links.get('w0'), { state: 'up', carrier: true })
  t.match(await shown('w0'), { operstate: 'UP' })
  await links.set('w0', { up: false, alias: '' })
  t.notOk((await shown('w0')).ifalias)
  t.notOk((await links.get('w0')).up)

  await links.addAlternativeNames('w0', ['first', 'second'])
  t.same((await shown('w0')).altnames, ['first', 'second'])
  await t.rejects(links.addAlternativeNames('v1', ['first']), { code: 'EEXIST' })
  await links.deleteAlternativeNames('second', ['first'])
  t.same((await links.get('w0')).alternativeNames, ['second'])

  await inNetns(
    ns,
    'ip',
    'link',
    'set',
    'w0',
    'mtu',
    '1111',
    'alias',
    'by ip',
    'txqueuelen',
    '9',
    'gso_max_size',
    '20000',
  )
  t.match(await links.get('w0'), {
    mtu: 1111,
    alias: 'by ip',
    txQueueLength: 9,
    gsoMaxSize: 20_000,
  })
})

t.test('devices move to other namespaces', needsRoot, async t => {
  const { ns, links, shown } = await fresh(t)
  const other = await netns(t)
  await using there = await netlink.open({ netns: other.path })
  await links.create({
    kind: 'veth',
    name: 'v0',
    peer: { name: 'eth0', netns: { pid: other.pid }, up: true },
  })
  t.match(await shown('eth0', other), { link_netnsid: 0 })
  t.ok((await there.links.get('eth0')).up)
  t.equal((await links.get('v0')).linkNetnsId, 0)
  t.equal((await there.links.get('eth0')).linkNetnsId, 0)

  await links.create({ kind: 'bridge', name: 'br0', netns: other.path })
  t.match(await shown('br0', other), { ifname: 'br0' })

  using open = new Descriptor(openSync(other.path, 'r'))
  await links.create({ kind: 'ifb', name: 'br1' })
  await links.set('br1', { netns: open, name: 'br2' })
  t.match(await shown('br2', other), { ifname: 'br2' })
  t.same(
    (await links.list()).map(({ name }) => name),
    ['lo', 'v0'],
  )

  await t.rejects(links.set('v0', { netns: '/dev/null' }), {
    code: 'ERR_INVALID_OPTION',
    option: 'options.netns',
  })
  await t.rejects(links.set('v0', { netns: '/proc/self/ns/mnt' }), {
    code: 'ERR_INVALID_OPTION',
    option: 'options.netns',
  })
  await t.rejects(links.create({ kind: 'bridge', name: 'b', netns: ns.path, alias: 'x' }), {
    code: 'ERR_CONFLICT',
    option: 'options.alias',
  })
})

t.test('a bridge has ports', needsRoot, async t => {
  const { ns, links, shown } = await fresh(t)
  await links.create({ kind: 'bridge', name: 'br0', up: true })
  await links.create({
    kind: 'veth',
    name: 'v0',
    master: 'br0',
    bridgePort: {
      cost: 7,
      priority: 9,
      hairpin: true,
      isolated: true,
      learning: false,
      flood: false,
      multicastFlood: false,
      broadcastFlood: false,
      guard: true,
      rootBlock: true,
      neighbourSuppress: true,
      fastLeave: true,
    },
    peer: { name: 'v1' },
  })
  t.match(await shown('v0'), {
    master: 'br0',
    linkinfo: {
      info_slave_kind: 'bridge',
      info_slave_data: {
        cost: 7,
        priority: 9,
        hairpin: true,
        isolated: true,
        learning: false,
        flood: false,
        mcast_flood: false,
        bcast_flood: false,
        guard: true,
        root_block: true,
        neigh_suppress: true,
        fastleave: true,
      },
    },
  })
  await links.set('v1', { master: 'br0', bridgePort: { backupPort: 'v0', locked: true } })
  t.match(await shown('v1'), { linkinfo: { info_slave_data: { backup_port: 'v0', locked: true } } })
  const bridge = await links.get('br0')
  t.match(await links.get('v1'), {
    master: bridge.index,
    bridgePort: { locked: true, flood: true },
  })
  t.same((await links.list({ master: 'br0' })).map(({ name }) => name).sort(), ['v0', 'v1'])
  t.same(
    (await links.list({ kind: 'bridge' })).map(({ name }) => name),
    ['br0'],
  )
  t.same(
    (await links.list({ up: true })).map(({ name }) => name),
    ['br0'],
  )
  await inNetns(
    ns,
    'bridge',
    'link',
    'set',
    'dev',
    'v0',
    'cost',
    '11',
    'hairpin',
    'off',
    'learning',
    'on',
  )
  t.match(await links.get('v0'), { bridgePort: { cost: 11, hairpin: false, learning: true } })
  await links.set('v0', { master: null })
  t.equal((await links.get('v0')).master, undefined)
  t.notOk((await shown('v0')).master)
})

t.test('bonds and VRFs have devices', needsRoot, async t => {
  const { links, shown } = await fresh(t)
  await links.create({ kind: 'veth', name: 'v0', peer: { name: 'v1' } })
  try {
    await links.create({ kind: 'bond', name: 'bond0', mode: 'active-backup', miimon: 100 })
    await links.create({ kind: 'vrf', name: 'red', table: 10, up: true })
  } catch (error) {
    if ((error as { code: string }).code !== 'EOPNOTSUPP') throw error
    return t.pass('ports', { skip: 'this kernel has no bond, or no vrf' })
  }
  await links.set('v0', { master: 'bond0', bondPort: { queueId: 3 } })
  await links.set('bond0', { kind: 'bond', primary: 'v0' })
  t.match(await shown('v0'), {
    linkinfo: { info_slave_kind: 'bond', info_slave_data: { queue_id: 3 } },
  })
  t.match(await shown('bond0'), { linkinfo: { info_data: { primary: 'v0' } } })
  t.match(await links.get('v0'), { bondPort: { queueId: 3, linkFailures: 0 } })
  await links.set('v1', { master: 'red' })
  t.match(await links.get('v1'), { vrfPort: { table: 10 } })
  t.match(await shown('v1'), {
    linkinfo: { info_slave_kind: 'vrf', info_slave_data: { table: 10 } },
  })
})

t.test('tun and tap are made, and stay', needsRoot, async t => {
  const { ns, links, shown } = await fresh(t)
  await links.create({
    kind: 'tun',
    name: 'tap0',
    type: 'tap',
    owner: 1234,
    group: 99,
    multiQueue: true,
    virtioHeader: true,
    mtu: 1400,
    up: true,
    alias: 'x',
  })
  t.match(await shown('tap0'), {
    mtu: 1400,
    ifalias: 'x',
    linkinfo: {
      info_kind: 'tun',
      info_data: { type: 'tap', pi: false, vnet_hdr: true, multi_queue: true, persist: true },
    },
  })
  t.match(await links.get('tap0'), {
    up: true,
    tun: { type: 'tap', owner: 1234, group: 99, persistent: true, packetInformation: false },
  })
  await t.rejects(links.create({ kind: 'tun', name: 'tap0', type: 'tap' }), { code: 'EEXIST' })
  await links.create({ kind: 'tun', name: 'tun0', type: 'tun', packetInformation: true })
  t.match(await shown('tun0'), { linkinfo: { info_data: { type: 'tun', pi: true } } })
  await inNetns(ns, 'ip', 'tuntap', 'add', 'dev', 'tun1', 'mode', 'tun', 'user', '55')
  t.match(await links.get('tun1'), {
    kind: 'tun',
    tun: { type: 'tun', owner: 55, packetInformation: false },
  })
  await links.delete('tap0')
  await t.rejects(links.get('tap0'), { code: 'ENODEV' })
  // What can't be done afterwards leaves none.
  await t.rejects(links.create({ kind: 'tun', name: 'tun2', type: 'tun', mtu: 1 }))
  await t.rejects(links.get('tun2'), { code: 'ENODEV' })
})

t.test('counters are those of the kernel', needsRoot, async t => {
  const { ns, links, shown } = await fresh(t)
  await links.set('lo', { up: true })
  await inNetns(ns, 'bash', '-c', 'for i in 1 2 3; do echo hello >/dev/udp/127.0.0.1/9; done')
  const { statistics, state } = await links.get('lo')
  const { stats64, operstate } = await shown('lo')
  t.equal(state, operstate.toLowerCase())
  t.same(
    [statistics?.rxPackets, statistics?.txBytes, statistics?.rxDropped],
    [BigInt(stats64.rx.packets), BigInt(stats64.tx.bytes), BigInt(stats64.rx.dropped)],
  )
  t.ok(statistics !== undefined && statistics.rxPackets >= 3n)
  t.equal((await links.list({ statistics: false }))[0]?.statistics, undefined)
})

t.test('what the package does not know is read as it is', needsRoot, async t => {
  const { ns, links } = await fresh(t)
  try {
    await inNetns(ns, 'ip', 'link', 'add', 'g0', 'type', 'geneve', 'id', '7', 'remote', '10.0.0.2')
  } catch {
    return t.pass('geneve', { skip: 'this kernel has no geneve' })
  }
  const { kind, data } = await links.get('g0')
  t.equal(kind, 'geneve')
  t.same([...(data?.subarray(0, 8) ?? [])], [8, 0, 1, 0, 7, 0, 0, 0])
})

t.test('bad input is refused before anything is done', needsRoot, async t => {
  const { links } = await fresh(t)
  const refused = async (options: object, option: string) => {
    await t.rejects(links.create(options as netlink.CreateLink), {
      code: 'ERR_INVALID_OPTION',
      option,
    })
  }
  await refused({ kind: 'bridge', name: 'b', nope: 1 }, 'options.nope')
  await refused({ kind: 'nope', name: 'b' }, 'options.kind')
  await refused({ name: 'b' }, 'options.kind')
  await refused({ kind: 'bridge', name: 'a-name-of-sixteen' }, 'options.name')
  await refused({ kind: 'bridge', name: 'b', mtu: -1 }, 'options.mtu')
  await refused({ kind: 'bridge', name: 'b', up: 1 }, 'options.up')
  await refused({ kind: 'bridge', name: 'b', rootId: '8000.02:00:00:00:00:00' }, 'options.rootId')
  await refused({ kind: 'bridge', name: 'b', ageingTime: '10 years' }, 'options.ageingTime')
  await refused({ kind: 'bridge', name: 'b', alias: 'x'.repeat(256) }, 'options.alias')
  await refused({ kind: 'veth', name: 'b', peer: { mtu: 'x' } }, 'options.peer.mtu')
  await refused({ kind: 'veth', name: 'b', peer: { alias: 'x' } }, 'options.peer.alias')
  await refused({ kind: 'vlan', name: 'b', link: 'lo', flags: { nope: true } }, 'options.flags')
  await refused({ kind: 'vlan', name: 'b', link: '', id: 1 }, 'options.link')
  await refused({ kind: 'gre', name: 'b', remote: 'fd00::1' }, 'options.remote')
  await refused({ kind: 'tun', name: 'b' }, 'options.type')
  await refused({ kind: 'tun', type: 'tun' }, 'options.name')
  await refused({ kind: 'bridge', name: 'b', bridgePort: { nope: 1 } }, 'options.bridgePort.nope')
  await t.rejects(links.create(undefined as never), { code: 'ERR_INVALID_OPTION' })
  await t.rejects(links.set('lo', { nope: 1 } as never), {
    code: 'ERR_INVALID_OPTION',
    option: 'options.nope',
  })
  await t.rejects(links.get(0), { code: 'ERR_INVALID_OPTION', option: 'device' })
  await t.rejects(links.create({ kind: 'macvlan', name: 'm', link: 'nope' }), {
    code: 'ENODEV',
    option: 'options.link',
  })
  // Refused by the kernel after the device has been made: it goes again.
  await t.rejects(links.create({ kind: 'bridge', name: 'b', bridgePort: { cost: 1 } }))
  await t.rejects(links.delete('lo'), { code: 'EOPNOTSUPP' })
  t.same(
    (await links.list()).map(({ name }) => name),
    ['lo'],
  )
  await links.create({ kind: 'bridge', name: 'b' })
  await t.rejects(links.create({ kind: 'bridge', name: 'b' }), {
    code: 'EEXIST',
    operation: 'RTM_NEWLINK',
  })
  await t.rejects(links.set('b', { mtu: 1 << 20 }), { code: 'EINVAL', message: /mtu greater than/ })
})
