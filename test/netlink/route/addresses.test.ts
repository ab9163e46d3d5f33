import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, ip, type Netns, netns } from '../../support/netns.js'

/** A namespace with one end of a veth that is up, and whose other end is in it too. */
async function withVeth(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  await ip(ns, 'link', 'set', 'eth0', 'up')
  await ip(ns, 'link', 'set', 'eth1', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

/** What `ip` says of an address. */
async function shown(ns: Netns, local: string) {
  const [link] = await ip(ns, 'address', 'show', 'dev', 'eth0')
  return link.addr_info.find((one: { local?: string }) => one.local === local)
}

t.test('an address of IPv4 is as it was asked for', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.addresses.create({
    device: 'eth0',
    address: '10.1.2.3/24',
    broadcast: 'auto',
    label: 'eth0:web',
    scope: 'link',
    flags: ['noprefixroute'],
    validLifetime: 3600,
    preferredLifetime: 1800,
    priority: 77,
  })
  const found = await shown(ns, '10.1.2.3')
  t.match(found, {
    family: 'inet',
    prefixlen: 24,
    broadcast: '10.1.2.255',
    label: 'eth0:web',
    scope: 'link',
    noprefixroute: true,
    metric: 77,
  })
  t.ok(found.valid_life_time > 3500 && found.valid_life_time <= 3600)
  t.ok(found.preferred_life_time > 1700 && found.preferred_life_time <= 1800)
  t.same(await ip(ns, 'route', 'show', 'dev', 'eth0'), [], 'noprefixroute makes no route')
  const [read] = await nl.addresses.list({ device: 'eth0', family: 'inet' })
  t.match(read, {
    address: '10.1.2.3/24',
    broadcast: '10.1.2.255',
    label: 'eth0:web',
    scope: 'link',
    flags: ['noprefixroute'],
    priority: 77,
  })
  t.ok((read?.validLifetime as number) > 3500)
})

t.test(
  'an address of IPv6 is tentative until it is known to be nobody else’s',
  needsRoot,
  async t => {
    const { ns, nl } = await withVeth(t)
    using events = await nl.monitor({ addresses: true })
    await nl.addresses.create({ device: 'eth0', address: 'fd00::1/64' })
    const flagsThen = (await nl.addresses.list({ device: 'eth0' })).find(
      one => one.address === 'fd00::1/64',
    )?.flags
    t.ok(flagsThen?.includes('tentative'))
    for await (const event of events)
      if (
        event.kind === 'address' &&
        event.address.address === 'fd00::1/64' &&
        !event.address.flags.includes('tentative')
      )
        break
    t.notOk((await shown(ns, 'fd00::1')).tentative)
  },
)

t.test('flags of IPv6, and a priority', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.addresses.create({
    device: 'eth0',
    address: 'fd00::2/64',
    flags: ['nodad', 'homeaddress', 'managetempaddr'],
    priority: 5,
    validLifetime: 'forever',
    preferredLifetime: 0,
    protocol: 9,
  })
  t.match(await shown(ns, 'fd00::2'), {
    prefixlen: 64,
    nodad: true,
    home: true,
    mngtmpaddr: true,
    deprecated: true,
    metric: 5,
  })
  const read = (await nl.addresses.list({ family: 'inet6' })).find(a => a.address === 'fd00::2/64')
  t.match(read, { priority: 5, validLifetime: 'forever', preferredLifetime: 0, protocol: 9 })
  t.ok(read?.flags.includes('nodad'))
  t.notOk(read?.flags.includes('tentative'))
})

t.test('a peer, of both families', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  await nl.addresses.create({ device: 'eth0', address: '10.9.0.1', peer: '10.9.0.2/24' })
  t.match(await shown(ns, '10.9.0.1'), { address: '10.9.0.2', prefixlen: 24 })
  await nl.addresses.create({ device: 'eth0', address: 'fd09::1', peer: 'fd09::2/64' })
  t.match(await shown(ns, 'fd09::1'), { address: 'fd09::2', prefixlen: 64 })
  const found = (await nl.addresses.list({ device: 'eth0' })).filter(one => one.peer)
  t.match(found, [
    { address: '10.9.0.1', peer: '10.9.0.2/24' },
    { address: 'fd09::1', peer: 'fd09::2/64' },
  ])
  for (const one of found) await nl.addresses.delete(one)
  t.notOk(await shown(ns, '10.9.0.1'))
  t.notOk(await shown(ns, 'fd09::1'))
})

t.test('what ip makes is read the same', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  const add = (...args: string[]) => ip(ns, 'address', 'add', ...args, 'dev', 'eth0')
  await add('192.0.2.1/28', 'brd', '+', 'label', 'eth0:a')
  await add('198.51.100.2/28', 'scope', 'link', 'preferred_lft', '50', 'valid_lft', '60')
  await add('2001:db8::1/48', 'nodad', 'home', 'preferred_lft', '0')
  const found = await nl.addresses.list({ device: 'eth0' })
  const one = (address: string) => found.find(one => one.address === address)
  t.match(one('192.0.2.1/28'), { broadcast: '192.0.2.15', label: 'eth0:a', flags: ['permanent'] })
  t.match(one('198.51.100.2/28'), { scope: 'link', label: 'eth0' })
  t.ok((one('198.51.100.2/28')?.preferredLifetime as number) <= 50)
  t.match(one('2001:db8::1/48')?.flags, ['nodad', 'homeaddress', 'deprecated', 'permanent'])
  t.ok(found.some(one => one.address.startsWith('fe80:') && one.scope === 'link'))
  const printed = await ip(ns, 'address', 'show')
  const all = await nl.addresses.list()
  t.equal(all.length, printed.flatMap((link: { addr_info: [] }) => link.addr_info).length)
})

t.test('what there is is not made again, is replaced, and goes', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  const [{ ifindex: device }] = await ip(ns, 'link', 'show', 'eth0')
  for (const address of ['10.0.0.1/8', 'fd00::3/64']) {
    await nl.addresses.create({ device, address, flags: ['nodad'] })
    await t.rejects(nl.addresses.create({ device, address, flags: ['nodad'] }), {
      code: 'EEXIST',
      operation: 'RTM_NEWADDR',
    })
    await nl.addresses.replace({ device, address, flags: ['nodad'], validLifetime: 500 })
    const read = (await nl.addresses.list({ device })).find(one => one.address === address)
    t.ok((read?.validLifetime as number) <= 500)
    await nl.addresses.delete({ device, address })
    t.notOk((await nl.addresses.list({ device })).some(one => one.address === address))
    await t.rejects(nl.addresses.delete({ device, address }), { code: 'EADDRNOTAVAIL' })
  }
})

t.test('devices are found by each of their names', needsRoot, async t => {
  const { ns, nl } = await withVeth(t)
  const long = 'a-name-that-is-longer-than-fifteen-bytes'
  await inNetns(ns, 'ip', 'link', 'property', 'add', 'dev', 'eth0', 'altname', long)
  await inNetns(ns, 'ip', 'link', 'property', 'add', 'dev', 'eth0', 'altname', 'short')
  await nl.addresses.create({ device: long, address: '10.0.0.1/24' })
  await nl.addresses.create({ device: 'short', address: '10.0.1.1/24' })
  t.equal((await nl.addresses.list({ device: 'eth0', family: 'inet' })).length, 2)
  await t.rejects(nl.addresses.create({ device: 'none', address: '10.0.0.1/24' }), {
    code: 'ENODEV',
    option: 'options.device',
  })
  await t.rejects(nl.addresses.list({ device: 'none' }), {
    code: 'ENODEV',
    option: 'filter.device',
  })
})

t.test('what can’t be right is refused before anything is sent', needsRoot, async t => {
  const { nl } = await withVeth(t)
  const refused = (options: object, option: string) =>
    t.rejects(
      nl.addresses.create({ device: 'eth0', address: '10.0.0.1/24', ...options }),
      { option, code: /^ERR_(INVALID_OPTION|CONFLICT)$/ },
      JSON.stringify(options),
    )
  await refused({ address: '10.0.0.1/33' }, 'options.address')
  await refused({ address: 'fd00::/129' }, 'options.address')
  await refused({ address: 'ten' }, 'options.address')
  await refused({ address: 7 }, 'options.address')
  await refused({ address: 'fe80::1%eth0/64' }, 'options.address')
  await refused({ adress: '' }, 'options.adress')
  await refused({ peer: 'fd00::1/64' }, 'options.peer')
  await refused({ peer: '10.0.0.2/24' }, 'options.address')
  await refused({ address: 'fd00::1/64', broadcast: 'auto' }, 'options.broadcast')
  await refused({ broadcast: 'fd00::1' }, 'options.broadcast')
  await refused({ address: '10.0.0.1/31', broadcast: 'auto' }, 'options.broadcast')
  await refused({ validLifetime: -1 }, 'options.validLifetime')
  await refused({ validLifetime: 5, preferredLifetime: 6 }, 'options.preferredLifetime')
  await refused({ family: 'inet6' }, 'options.family')
  await refused({ flags: ['fast'] }, 'options.flags')
  await refused({ scope: 'galaxy' }, 'options.scope')
  await refused({ label: 'x'.repeat(16) }, 'options.label')
  await refused({ device: 0 }, 'options.device')
})
