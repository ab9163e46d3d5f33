import { setTimeout as sleep } from 'node:timers/promises'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { bridge, inNetns, ip, netns } from '../../support/netns.js'

/** A bridge with a port. */
async function withBridge(t: Test, ...options: string[]) {
  const ns = await netns(t)
  await ip(ns, 'link', 'add', 'br0', 'type', 'bridge', ...options)
  await ip(ns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  await ip(ns, 'link', 'set', 'eth0', 'master', 'br0', 'up')
  await ip(ns, 'link', 'set', 'eth1', 'up')
  await ip(ns, 'link', 'set', 'br0', 'up')
  // Before that it learns nothing.
  while ((await bridge(ns, 'link', 'show'))[0]?.state !== 'forwarding') await sleep(20)
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  const [{ ifindex: port }] = await ip(ns, 'link', 'show', 'eth0')
  const [{ ifindex: br0 }] = await ip(ns, 'link', 'show', 'br0')
  return { ns, nl, port, br0 }
}
const address = '02:00:00:00:00:42'

t.test('entries of a bridge are as they were asked for', needsRoot, async t => {
  const { ns, nl, port, br0 } = await withBridge(t)
  for (const [state, shown] of [
    ['permanent', 'permanent'],
    ['static', 'static'],
    ['dynamic', ''],
  ] as const) {
    await nl.bridge.fdb.create({ address, device: 'eth0', to: 'master', state })
    const printed = await bridge(ns, 'fdb', 'show', 'br', 'br0')
    const found = printed.find(
      (one: { mac: string; vlan?: number }) => one.mac === address && one.vlan === undefined,
    )
    t.match(found, { ifname: 'eth0', master: 'br0', state: shown })
    const read = (await nl.bridge.fdb.list({ bridge: 'br0' })).find(
      one => one.address === address && one.vlan === undefined,
    )
    t.match(read, { address, device: port, master: br0, state })
    t.same(
      (await nl.bridge.fdb.list({ device: 'eth0' })).filter(
        one => one.address === address && one.vlan === undefined,
      ).length,
      1,
    )
    await t.rejects(nl.bridge.fdb.create({ address, device: 'eth0', to: 'master', state }), {
      code: 'EEXIST',
    })
    if (read) await nl.bridge.fdb.delete(read)
    t.notOk((await nl.bridge.fdb.list()).some(one => one.address === address))
  }
  await t.rejects(nl.bridge.fdb.delete({ address, device: 'eth0', to: 'master' }), {
    code: 'ENOENT',
  })
})

t.test('what bridge makes is read the same', needsRoot, async t => {
  const { ns, nl, port } = await withBridge(t)
  await inNetns(ns, 'bridge', 'fdb', 'add', address, 'dev', 'eth0', 'master', 'sticky', 'static')
  const all = await nl.bridge.fdb.list()
  t.match(
    all.find(one => one.address === address && one.vlan === undefined),
    { device: port, state: 'static', flags: ['sticky'] },
  )
  // The kernel has entries of its own that come a moment later: multicast groups of IPv6.
  const names = async () => (await nl.bridge.fdb.list()).map(one => one.address)
  let before = await names()
  for (;;) {
    const printed = await bridge(ns, 'fdb', 'show')
    const after = await names()
    if (before.join() === after.join()) {
      t.same(printed.map((one: { mac: string }) => one.mac).sort(), after.sort())
      break
    }
    before = after
  }
})

t.test('destinations of a VXLAN', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  await ip(ns, 'link', 'set', 'lo', 'up')
  try {
    await ip(ns, 'link', 'add', 'vx0', 'type', 'vxlan', 'id', '7', 'dstport', '4789', 'dev', 'lo')
  } catch {
    t.pass('a VXLAN', { skip: 'this kernel has no VXLAN' })
    return
  }
  const entry = { address, device: 'vx0', destination: '192.0.2.1', port: 8472, vni: 9 }
  await nl.bridge.fdb.create({ ...entry, through: 'lo' })
  await nl.bridge.fdb.append({
    address: '00:00:00:00:00:00',
    device: 'vx0',
    destination: '192.0.2.2',
  })
  await nl.bridge.fdb.append({
    address: '00:00:00:00:00:00',
    device: 'vx0',
    destination: '192.0.2.3',
  })
  const printed = await bridge(ns, 'fdb', 'show', 'dev', 'vx0')
  t.match(
    printed.find((one: { mac: string }) => one.mac === address),
    {
      dst: '192.0.2.1',
      port: 8472,
      vni: 9,
      viaIf: 'lo',
    },
  )
  const zeros = printed.filter((one: { mac: string }) => one.mac === '00:00:00:00:00:00')
  t.same(zeros.map(({ dst }: { dst: string }) => dst).sort(), ['192.0.2.2', '192.0.2.3'])
  const read = await nl.bridge.fdb.list({ device: 'vx0' })
  const own = read.find(one => one.address === address)
  t.match(own, { destination: '192.0.2.1', port: 8472, vni: 9, through: 1, flags: ['self'] })
  if (own) await nl.bridge.fdb.delete(own)
  t.equal((await nl.bridge.fdb.list({ device: 'vx0' })).length, 2)
})

t.test('VLANs of a port and of the bridge itself', needsRoot, async t => {
  const filters = await withBridge(t, 'vlan_filtering', '1').catch(error => error as Error)
  if (filters instanceof Error) {
    t.pass('VLANs', { skip: `this kernel's bridges filter none: ${filters.message}` })
    return
  }
  const { ns, nl, port, br0 } = filters
  await nl.bridge.vlans.create({ device: 'eth0', vlan: 10, pvid: true, untagged: true })
  await nl.bridge.vlans.create({ device: 'eth0', vlan: 100, last: 200 })
  await nl.bridge.vlans.create({ device: 'br0', vlan: 10, self: true })
  const printed = await bridge(ns, '-compressvlans', 'vlan', 'show')
  const of = (name: string) => printed.find((one: { ifname: string }) => one.ifname === name).vlans
  t.match(of('eth0'), [
    { vlan: 1, flags: ['Egress Untagged'] },
    { vlan: 10, flags: ['PVID', 'Egress Untagged'] },
    { vlan: 100, vlanEnd: 200 },
  ])
  t.match(of('br0'), [{ vlan: 1, flags: ['PVID', 'Egress Untagged'] }, { vlan: 10 }])
  t.same(await nl.bridge.vlans.list({ device: 'eth0' }), [
    { device: port, vlan: 1, pvid: false, untagged: true },
    { device: port, vlan: 10, pvid: true, untagged: true },
    { device: port, vlan: 100, last: 200, pvid: false, untagged: false },
  ])
  t.same(
    (await nl.bridge.vlans.list()).filter(({ device }) => device === br0),
    [
      { device: br0, vlan: 1, pvid: true, untagged: true },
      { device: br0, vlan: 10, pvid: false, untagged: false },
    ],
  )
  await nl.bridge.vlans.delete({ device: 'eth0', vlan: 101, last: 199 })
  await nl.bridge.vlans.delete({ device: 'eth0', vlan: 10 })
  t.same(
    (await nl.bridge.vlans.list({ device: 'eth0' })).map(({ vlan, last }) => [vlan, last]),
    [
      [1, undefined],
      [100, undefined],
      [200, undefined],
    ],
  )
  await inNetns(ns, 'bridge', 'vlan', 'add', 'dev', 'eth0', 'vid', '300-310', 'untagged')
  t.match((await nl.bridge.vlans.list({ device: port })).at(-1), {
    vlan: 300,
    last: 310,
    untagged: true,
  })
})

t.test('what can’t be right is refused', needsRoot, async t => {
  const { nl } = await withBridge(t)
  const refused = (made: Promise<void>, option: string) =>
    t.rejects(made, { option, code: 'ERR_INVALID_OPTION' })
  const { fdb, vlans } = nl.bridge
  await refused(vlans.create({ device: 'eth0', vlan: 4095 }), 'options.vlan')
  await refused(vlans.create({ device: 'eth0', vlan: 9, last: 8 }), 'options.last')
  await refused(vlans.create({ device: 'eth0', vlan: 9, pvid: 1 } as never), 'options.pvid')
  await refused(vlans.create({ device: 'eth0', vid: 9 } as never), 'options.vid')
  await refused(fdb.create({ device: 'eth0', address: 'here' }), 'options.hardware')
  await refused(fdb.create({ device: 'eth0', address, state: 'odd' as never }), 'options.state')
  await refused(fdb.create({ device: 'eth0', address, to: 'all' as never }), 'options.to')
  await refused(fdb.create({ device: 'eth0', address, destination: 'x' }), 'options.destination')
  await t.rejects(vlans.create({ device: 'eth1', vlan: 5 }), { code: 'EOPNOTSUPP' })
})
