import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, netns } from '../../support/netns.js'
import { lacks } from './support.js'

type Options = netlink.FilterOptions
/** What we write, and how tc writes the same. Devices are numbers when they are listed. */
const written: {
  options: Options
  protocol?: netlink.FilterProtocol
  handle?: number
  as: string
  listed?: object
}[] = [
  {
    options: { kind: 'u32', actions: [{ kind: 'mirred', action: 'redirect', device: 'lo' }] },
    as: 'protocol all pref 5 u32 match u32 0 0 action mirred egress redirect dev lo',
    listed: {
      keys: [{ offset: 0, value: 0, mask: 0 }],
      actions: [{ kind: 'mirred', action: 'redirect', direction: 'egress', device: 1 }],
    },
  },
  {
    options: {
      kind: 'u32',
      source: '10.1.0.0/16',
      destination: '10.2.3.4',
      ipProtocol: 6,
      class: '1:10',
    },
    protocol: 'ip',
    as: 'protocol ip pref 5 u32 match ip src 10.1.0.0/16 match ip dst 10.2.3.4 match ip protocol 6 0xff classid 1:10',
    listed: {
      class: '1:10',
      keys: [
        { offset: 12, value: 0x0a010000, mask: 0xffff0000 },
        { offset: 16, value: 0x0a020304, mask: 0xffffffff },
        { offset: 8, value: 0x00060000, mask: 0x00ff0000 },
      ],
    },
  },
  {
    options: { kind: 'u32', source: '2001:db8::/40', class: '1:10' },
    protocol: 'ipv6',
    as: 'protocol ipv6 pref 5 u32 match ip6 src 2001:db8::/40 classid 1:10',
  },
  {
    options: {
      kind: 'matchall',
      actions: [{ kind: 'police', rate: '1mbit', burst: 10000, exceed: 'drop' }],
    },
    as: 'protocol all pref 5 matchall action police rate 1mbit burst 10000 conform-exceed drop',
    listed: { actions: [{ kind: 'police', rate: 1e6, burst: 10000, exceed: 'drop' }] },
  },
  {
    options: {
      kind: 'matchall',
      actions: [
        { kind: 'mirred', action: 'mirror', direction: 'ingress', device: 'v1' },
        { kind: 'gact', action: 'drop' },
      ],
    },
    as: 'protocol all pref 5 matchall action mirred ingress mirror dev v1 action gact drop',
    listed: {
      actions: [
        { kind: 'mirred', action: 'mirror', direction: 'ingress' },
        { kind: 'gact', action: 'drop' },
      ],
    },
  },
  {
    options: {
      kind: 'flower',
      source: '10.0.0.0/8',
      destination: '10.1.2.3/32',
      ipProtocol: 'tcp',
      destinationPort: 443,
      sourceMac: '02:00:00:00:00:01',
      class: '1:10',
    },
    protocol: 'ip',
    as: 'protocol ip pref 5 flower src_mac 02:00:00:00:00:01 src_ip 10.0.0.0/8 dst_ip 10.1.2.3 ip_proto tcp dst_port 443 classid 1:10',
  },
  {
    options: {
      kind: 'flower',
      source: '2001:db8::/32',
      ipProtocol: 'udp',
      sourcePort: 53,
      actions: [{ kind: 'gact', action: 'pass' }],
    },
    protocol: 'ipv6',
    as: 'protocol ipv6 pref 5 flower src_ip 2001:db8::/32 ip_proto udp src_port 53 action gact pass',
  },
  {
    options: { kind: 'fw', mask: 0xff, class: '1:10' },
    handle: 7,
    as: 'protocol all pref 5 handle 7/0xff fw classid 1:10',
  },
]

for (const { options, protocol = 'all', handle, as, listed } of written)
  t.test(`${as}: written and read by both`, needsRoot, async t => {
    const ns = await netns(t)
    for (const [a, b] of [
      ['v0', 'v1'],
      ['w0', 'w1'],
    ] as const)
      await inNetns(ns, 'ip', 'link', 'add', a, 'type', 'veth', 'peer', 'name', b)
    await using nl = await netlink.open({ netns: ns.path })
    for (const device of ['v0', 'w0']) {
      await nl.qdiscs.create({ device, handle: '1:', kind: 'htb' })
      await nl.classes.create({ device, parent: '1:', handle: '1:10', kind: 'htb', rate: '1mbit' })
    }
    const words = ['tc', 'filter', 'add', 'dev', 'w0', 'parent', '1:', ...as.split(' ')]
    const missing = await lacks(ns, ...words)
    if (missing !== undefined) return void t.pass('the same', { skip: missing })
    const place = {
      device: 'v0',
      priority: 5,
      protocol,
      ...(handle === undefined ? {} : { handle }),
    }
    await nl.filters.create({ ...place, ...options })

    // As JSON it can't be read for all kinds. Actions have numbers of their own in the namespace.
    const shown = async (device: string) =>
      (await inNetns(ns, 'tc', '-d', 'filter', 'show', 'dev', device))
        .replace(/\bindex \d+/g, '')
        .trim()
    const ours = await shown('v0')
    t.ok(ours.length > 0)
    t.same(ours, await shown('w0'), 'tc sees no difference')

    const list = async (device: string) =>
      (await nl.filters.list({ device })).map(one => ({ ...one, index: 0 }))
    const mine = await list('v0')
    t.same(mine, await list('w0'), 'nor do we')
    const { kind, ...rest } = listed === undefined ? options : { kind: options.kind, ...listed }
    const found = mine.find(one => one.handle !== 0 && (one.handle & 0xfff) !== 0)
    if (protocol === 'ipv6' && kind === 'u32')
      t.match(found?.options, {
        keys: [
          { offset: 8, value: 0x20010db8, mask: 0xffffffff },
          { offset: 12, value: 0, mask: 0xff000000 },
        ],
      })
    else t.match(found, { kind, priority: 5, protocol, parent: '1:', options: rest })

    await nl.filters.delete({ device: 'v0', priority: 5, protocol })
    t.same(await nl.filters.list({ device: 'v0' }), [])
    if (found?.options === undefined) return
    await nl.filters.replace({ ...place, ...found.options })
    t.same(await shown('v0'), await shown('w0'), 'what is listed can be written')
  })
