import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, type Netns, nft } from '../../support/netns.js'
import { pair } from '../traffic/support.js'

/** A pair of which the first keeps track of connections, after one to a port where nobody listens. */
async function tracked(t: Test): Promise<[Netns, Netns]> {
  const [a, b] = await pair(t)
  for (const line of [
    'add table inet t',
    'add chain inet t out { type filter hook output priority 0; }',
    'add rule inet t out ct state new ct mark set 0x7',
  ])
    await inNetns(a, 'nft', line)
  t.ok(await nft(a, 'list', 'tables'))
  return [a, b]
}

/** A datagram to a port of the other side, from one of our own. */
const send = (ns: Netns, from: number, to: number) =>
  inNetns(
    ns,
    process.execPath,
    '-e',
    `const one = require('node:dgram').createSocket('udp4')
     one.bind(${from}, () => one.send('x', ${to}, '10.9.0.2', () => one.close()))`,
  )

t.test('connections are listed as conntrack -L has them, and forgotten', needsRoot, async t => {
  const [a] = await tracked(t)
  await using nl = await netlink.open({ netns: a.path })
  t.same(await nl.conntrack.list(), [])
  const controller = new AbortController()
  const monitor = await nl.conntrack.monitor({ signal: controller.signal })
  for (const port of [7001, 7002, 7003]) await send(a, port, 9)

  const list = async () =>
    (await nl.conntrack.list({ family: 'ipv4' })).sort(
      (x, y) => (x.original.sourcePort ?? 0) - (y.original.sourcePort ?? 0),
    )
  const all = await list()
  t.match(all, { length: 3 })
  t.match(all[0], {
    family: 'ipv4',
    original: {
      source: '10.9.0.1',
      destination: '10.9.0.2',
      protocol: 'udp',
      sourcePort: 7001,
      destinationPort: 9,
    },
    reply: { source: '10.9.0.2', destination: '10.9.0.1', sourcePort: 9, destinationPort: 7001 },
    mark: 7,
    zone: 0,
  })
  t.ok((all[0]?.timeout ?? 0) > 0 && (all[0]?.timeout ?? 0) <= 120)
  t.match(all[0]?.status, ['confirmed'])
  const printed = await inNetns(a, 'conntrack', '-L', '-o', 'id')
  for (const { id, original, mark } of all)
    t.match(
      printed,
      new RegExp(
        `udp +17 .*src=10\\.9\\.0\\.1 dst=10\\.9\\.0\\.2 sport=${original.sourcePort} dport=9 .*mark=${mark} use=\\d+ id=${id}\\b`,
      ),
    )

  t.match(await monitor.next(), {
    value: { kind: 'new', entry: { original: { sourcePort: 7001 } } },
  })

  const [first, second] = all
  if (first === undefined || second === undefined) throw new Error('there is none')
  await t.rejects(nl.conntrack.delete({ ...first, id: (first.id ^ 1) >>> 0 }), { code: 'ENOENT' })
  await nl.conntrack.delete(first)
  await t.rejects(nl.conntrack.delete(first), { code: 'ENOENT' })
  await nl.conntrack.delete({ original: second.original })
  t.notMatch(await inNetns(a, 'conntrack', '-L'), /sport=700[12]/)
  for await (const event of monitor)
    if (event.kind === 'destroy') {
      t.match(event.entry.original, { sourcePort: 7001 })
      break
    }

  // Those of conntrack, as we see them.
  await inNetns(a, 'conntrack', '-F')
  t.same(await nl.conntrack.list(), [])
  const args =
    '-I -p tcp -s 10.1.1.1 -d 10.2.2.2 --sport 11 --dport 22 --state ESTABLISHED --timeout 500 -u SEEN_REPLY,ASSURED'
  await inNetns(a, 'conntrack', ...args.split(' '))
  await inNetns(a, 'conntrack', '-U', '-p', 'tcp', '-s', '10.1.1.1', '--mark', '9')
  await inNetns(
    a,
    'conntrack',
    ...'-I -p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 1 --dport 2 --state TIME_WAIT --timeout 50'.split(
      ' ',
    ),
  )
  const [tcp] = await nl.conntrack.list({ mark: 9 })
  t.match(tcp, {
    original: { source: '10.1.1.1', destination: '10.2.2.2', protocol: 'tcp', sourcePort: 11 },
    state: 'established',
    mark: 9,
  })
  t.ok(tcp?.status.includes('assured') && tcp.status.includes('seenReply'))
  t.ok((tcp?.timeout ?? 0) > 480)
  t.match(await nl.conntrack.list({ family: 'ipv6' }), [
    { family: 'ipv6', original: { source: '2001:db8::1', destinationPort: 2 }, state: 'timeWait' },
  ])
  await nl.conntrack.flush({ mark: 9 })
  t.match(await nl.conntrack.list(), [{ family: 'ipv6' }], 'those with the mark')
  await nl.conntrack.flush()
  t.equal((await inNetns(a, 'conntrack', '-L')).trim(), '')
})

t.test('counters and times, where they are kept', needsRoot, async t => {
  const [a] = await tracked(t)
  for (const name of ['acct', 'timestamp'])
    await inNetns(a, 'sh', '-c', `echo 1 >/proc/sys/net/netfilter/nf_conntrack_${name}`)
  await using nl = await netlink.open({ netns: a.path })
  await send(a, 7001, 9)
  const [one] = await nl.conntrack.list()
  t.match(one?.counters, { original: { packets: 1n, bytes: 29n } })
  t.ok(Math.abs(Date.now() - (one?.started?.getTime() ?? 0)) < 60_000)
})

t.test('what can not be right is refused', async t => {
  await using nl = await netlink.open()
  const code = 'ERR_INVALID_OPTION'
  await t.rejects(nl.conntrack.list({ marks: 1 } as never), {
    code,
    option: 'conntrack.list.marks',
  })
  await t.rejects(nl.conntrack.list({ mark: -1 }), { code, option: 'conntrack.list: mark' })
  await t.rejects(nl.conntrack.delete({} as never), { code })
  await t.rejects(
    nl.conntrack.delete({ original: { source: '10.0.0.1', destination: 'x', protocol: 'tcp' } }),
    { code },
  )
})
