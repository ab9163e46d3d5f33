import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, ip, netns } from '../../support/netns.js'

/** The first event for which `is` holds. */
async function first(
  events: AsyncIterable<netlink.NetworkEvent>,
  is: (event: netlink.NetworkEvent) => boolean,
) {
  for await (const event of { [Symbol.asyncIterator]: () => stay(events[Symbol.asyncIterator]()) })
    if (is(event)) return event
  return undefined
}

/** The same, but that leaving a loop does not end it. */
function stay<T>(events: AsyncIterator<T>): AsyncIterator<T> {
  return { next: () => events.next() }
}

async function opened(t: Test) {
  const ns = await netns(t)
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

t.test('what ip does is told, as new and as deleted, of both families', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  using events = await nl.monitor()
  const told = (change: string, kind: string, part: object, ...args: string[]) =>
    t.test(`${args.join(' ')}`, async t => {
      await inNetns(ns, ...args)
      const has = (value: unknown, part: unknown): boolean =>
        typeof part === 'object' && part !== null
          ? Object.entries(part).every(([key, want]) =>
              has((value as Record<string, unknown> | undefined)?.[key], want),
            )
          : value === part
      const found = await first(events, event => has(event, { change, kind, [kind]: part }))
      t.ok(found)
    })
  await told(
    'new',
    'link',
    { name: 'v0' },
    'ip',
    'link',
    'add',
    'v0',
    'type',
    'veth',
    'peer',
    'name',
    'v1',
  )
  await told('new', 'link', { name: 'v1' }, 'ip', 'link', 'set', 'v1', 'up')
  await told('new', 'link', { name: 'v0' }, 'ip', 'link', 'set', 'v0', 'up')
  for (const [flag, address, network, far] of [
    ['-4', '10.0.0.1', '10.0.0.0', '10.9.0.0'],
    ['-6', 'fd00::1', 'fd00::', 'fd09::'],
  ] as const) {
    const length = flag === '-4' ? 24 : 64
    const own = `${address}/${length}`
    await told('new', 'address', { address: own }, 'ip', 'address', 'add', own, 'dev', 'v0')
    const near = address.replace(/1$/, '2')
    await told(
      'new',
      'route',
      { destination: `${far}/${length}`, gateway: near },
      'ip',
      flag,
      'route',
      'add',
      `${far}/${length}`,
      'via',
      near,
    )
    await told(
      'deleted',
      'route',
      { destination: `${far}/${length}`, gateway: near },
      'ip',
      flag,
      'route',
      'del',
      `${far}/${length}`,
    )
    await told(
      'new',
      'rule',
      { priority: 7, table: 9 },
      'ip',
      flag,
      'rule',
      'add',
      'pref',
      '7',
      'lookup',
      '9',
    )
    await told('deleted', 'rule', { priority: 7 }, 'ip', flag, 'rule', 'del', 'pref', '7')
    await told(
      'new',
      'neighbour',
      { address: near, hardware: '02:00:00:00:00:01' },
      'ip',
      'neighbour',
      'add',
      near,
      'lladdr',
      '02:00:00:00:00:01',
      'dev',
      'v0',
    )
    await told(
      'deleted',
      'neighbour',
      { address: near },
      'ip',
      'neighbour',
      'del',
      near,
      'dev',
      'v0',
    )
    await told('deleted', 'address', { address: own }, 'ip', 'address', 'del', own, 'dev', 'v0')
    t.ok(network)
  }
  await told('deleted', 'link', { name: 'v0' }, 'ip', 'link', 'del', 'v0')
})

t.test('entries of bridges, when they are asked for', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  await ip(ns, 'link', 'add', 'br0', 'type', 'bridge')
  await ip(ns, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  await ip(ns, 'link', 'set', 'v0', 'master', 'br0', 'up')
  using events = await nl.monitor({ fdb: true })
  const address = '02:00:00:00:00:77'
  await inNetns(ns, 'bridge', 'fdb', 'add', address, 'dev', 'v0', 'master')
  t.match(await first(events, event => event.kind === 'fdb'), {
    change: 'new',
    entry: { address, state: 'permanent' },
  })
})

t.test('only what was asked for is told', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  using events = await nl.monitor({ rules: true })
  await ip(ns, 'link', 'set', 'lo', 'up')
  await ip(ns, 'rule', 'add', 'pref', '5', 'lookup', '5')
  t.match((await events.next()).value, { kind: 'rule', rule: { priority: 5 } })
})

t.test('it ends by its signal, and when it is closed', needsRoot, async t => {
  const { nl } = await opened(t)
  const end = new AbortController()
  const events = await nl.monitor({ signal: end.signal })
  const waiting = events.next()
  end.abort()
  t.same(await waiting, { done: true, value: undefined })
  const others = await nl.monitor()
  others.close()
  t.same(await others.next(), { done: true, value: undefined })
  await t.rejects(nl.monitor({ link: true } as object), {
    option: 'options.link',
    code: 'ERR_INVALID_OPTION',
  })
})

t.test('what was lost is told of, and what comes after it', needsRoot, async t => {
  const { nl } = await opened(t)
  using events = await nl.monitor({ routes: true })
  // Nobody takes what comes: more than four megabytes of it.
  for (let round = 0; round < 8; round++) {
    const made: Promise<void>[] = []
    for (let i = 0; i < 5000; i++)
      made.push(
        nl.routes.replace({
          destination: `10.${round}.${i >> 8}.${i & 255}/32`,
          type: 'blackhole',
          table: 1000 + round,
        }),
      )
    await Promise.all(made)
  }
  t.same(await first(events, event => event.kind === 'lost'), { kind: 'lost' })
  await nl.routes.create({ destination: '192.0.2.0/24', type: 'blackhole' })
  t.ok(
    await first(
      events,
      event => event.kind === 'route' && event.route.destination === '192.0.2.0/24',
    ),
  )
})
