import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { ip, netns } from '../../support/netns.js'

async function withVeth(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  await ip(ns, 'link', 'set', 'eth0', 'up')
  await ip(ns, 'link', 'set', 'eth1', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}
const hardware = '02:00:00:00:00:09'

t.test('neighbours are as they were asked for, in each state', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  for (const [flag, prefix] of [
    ['-4', '10.0.0.'],
    ['-6', 'fd00::'],
  ] as const)
    for (const [i, state] of (['permanent', 'noarp', 'stale', 'reachable'] as const).entries()) {
      const address = `${prefix}${i + 1}`
      await nl.neighbours.create({ device: 'eth0', address, hardware, state, protocol: 4 })
      const [found] = await ip(ns, '-d', flag, 'neighbour', 'show', 'to', address, 'nud', 'all')
      t.match(found, { dst: address, dev: 'eth0', lladdr: hardware, state: [state.toUpperCase()] })
      t.equal(found.protocol, 'static')
      const read = (await nl.neighbours.list({ device: 'eth0' })).find(
        one => one.address === address,
      )
      t.match(read, {
        address,
        hardware,
        state,
        protocol: 4,
        family: flag === '-4' ? 'inet' : 'inet6',
      })
    }
})

t.test('what is known is not made again, is replaced, and goes', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  for (const address of ['10.0.0.7', 'fd00::7']) {
    const one = { device: 'eth0', address, hardware }
    await nl.neighbours.create(one)
    await t.rejects(nl.neighbours.create(one), { code: 'EEXIST', operation: 'RTM_NEWNEIGH' })
    await nl.neighbours.replace({ ...one, hardware: '02:00:00:00:00:0a', flags: ['router'] })
    const [found] = await ip(ns, 'neighbour', 'show', 'to', address)
    t.equal(found.lladdr, '02:00:00:00:00:0a')
    if (address.includes(':')) t.ok('router' in found)
    await nl.neighbours.delete(one)
    t.same(
      (await nl.neighbours.list()).filter(
        left => left.address === address && left.state !== 'failed',
      ),
      [],
    )
  }
  await t.rejects(nl.neighbours.delete({ device: 'eth0', address: '10.9.9.9' }), { code: 'ENOENT' })
})

t.test('addresses that this machine answers for', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  for (const [flag, address] of [
    ['-4', '10.0.0.8'],
    ['-6', 'fd00::8'],
  ] as const) {
    await nl.neighbours.create({ device: 'eth0', address, proxy: true })
    t.match(await ip(ns, flag, 'neighbour', 'show', 'proxy'), [{ dst: address, dev: 'eth0' }])
    const [read] = await nl.neighbours.list({ proxy: true, device: 'eth0' })
    t.match(read, { address, flags: ['proxy'] })
    t.same(await nl.neighbours.list({ proxy: true, device: 'lo' }), [])
    t.notOk((await nl.neighbours.list()).some(one => one.address === address))
    if (read) await nl.neighbours.delete(read)
    t.same(await nl.neighbours.list({ proxy: true }), [])
  }
})

t.test('what ip makes is read the same', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await ip(ns, 'neighbour', 'add', '192.0.2.1', 'dev', 'eth0', 'lladdr', hardware, 'nud', 'stale')
  await ip(ns, 'neighbour', 'add', '192.0.2.2', 'dev', 'eth1', 'lladdr', hardware, 'extern_learn')
  const [{ ifindex }] = await ip(ns, 'link', 'show', 'eth1')
  const read = await nl.neighbours.list({ family: 'inet' })
  t.match(
    read.find(({ address }) => address === '192.0.2.1'),
    { hardware, state: 'stale' },
  )
  t.match(
    read.find(({ address }) => address === '192.0.2.2'),
    {
      device: ifindex,
      flags: ['externLearn'],
    },
  )
  t.match(await nl.neighbours.list({ family: 'inet', device: 'eth1' }), [{ address: '192.0.2.2' }])
})

t.test('what can’t be right is refused before anything is sent', needsRoot, async t => {
  const { nl } = await withVeth(t)
  const refused = (options: object, option: string) =>
    t.rejects(
      nl.neighbours.create({ device: 'eth0', address: '10.0.0.1', ...options }),
      { option, code: /^ERR_(INVALID_OPTION|CONFLICT)$/ },
      JSON.stringify(options),
    )
  await refused({ lladdr: hardware }, 'options.lladdr')
  await refused({ address: 'x' }, 'options.address')
  await refused({ hardware: '02:00' + ':zz' }, 'options.hardware')
  await refused({ state: 'asleep', hardware }, 'options.state')
  await refused({ flags: 'router' }, 'options.flags')
  await refused({ flags: ['fast'] }, 'options.flags')
  await refused({ proxy: true, hardware }, 'options.hardware')
  await refused({ proxy: 'yes' }, 'options.proxy')
})
