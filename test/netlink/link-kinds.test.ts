import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../support/index.js'
import { inNetns, ip, netns, snapshot } from '../support/netns.js'

/** A kind with options, the same said to ip(8), and what is read of it. */
interface Case {
  options: netlink.CreateLink
  args: string
  /** As little as there must be. */
  bare: string
  read?: object
  set?: netlink.SetLink
  setArgs?: string
}

const address = '02:00:00:00:00:07'
const x = { name: 'x', address }

const cases: Case[] = [
  {
    options: {
      kind: 'bridge',
      ...x,
      stp: true,
      priority: 4096,
      forwardDelay: '4s',
      ageingTime: '10s',
      groupForwardMask: 8,
      multicastSnooping: false,
      multicastQuerierInterval: 20_000,
      multicastRouter: 'permanent',
    },
    args: 'type bridge stp_state 1 priority 4096 forward_delay 400 ageing_time 1000 group_fwd_mask 8 mcast_snooping 0 mcast_querier_interval 2000 mcast_router 2',
    bare: 'type bridge',
    read: {
      stp: true,
      priority: 4096,
      forwardDelay: 4000,
      ageingTime: 10_000,
      groupForwardMask: 8,
      multicastSnooping: false,
      multicastQuerierInterval: 20_000,
      multicastRouter: 'permanent',
      bridgeId: `1000.${address}`,
    },
    set: {
      kind: 'bridge',
      stp: false,
      helloTime: 1000,
      maxAge: '7s',
      switches: { noLinkLocalLearning: true },
    },
    setArgs: 'type bridge stp_state 0 hello_time 100 max_age 700 no_linklocal_learn 1',
  },
  {
    options: {
      kind: 'bridge',
      ...x,
      vlanFiltering: true,
      vlanDefaultPvid: 7,
      vlanProtocol: '802.1ad',
      vlanStatistics: true,
    },
    args: 'type bridge vlan_filtering 1 vlan_default_pvid 7 vlan_protocol 802.1ad vlan_stats_enabled 1',
    bare: 'type bridge',
    read: {
      vlanFiltering: true,
      vlanDefaultPvid: 7,
      vlanProtocol: '802.1ad',
      vlanStatistics: true,
    },
    set: { kind: 'bridge', vlanFiltering: false },
    setArgs: 'type bridge vlan_filtering 0',
  },
  {
    options: {
      kind: 'vlan',
      ...x,
      link: 'v0',
      id: 5,
      protocol: '802.1ad',
      flags: { gvrp: true, reorderHeader: false },
      ingressPriorities: [{ from: 1, to: 2 }],
      egressPriorities: [{ from: 3, to: 4 }],
    },
    args: 'link v0 type vlan id 5 protocol 802.1ad gvrp on reorder_hdr off ingress-qos-map 1:2 egress-qos-map 3:4',
    bare: 'link v0 type vlan id 6',
    read: {
      id: 5,
      protocol: '802.1ad',
      flags: { gvrp: true, reorderHeader: false, mvrp: false },
      ingressPriorities: [{ from: 1, to: 2 }],
      egressPriorities: [{ from: 3, to: 4 }],
    },
    set: { kind: 'vlan', flags: { looseBinding: true } },
    setArgs: 'type vlan loose_binding on',
  },
  ...(['private', 'vepa', 'bridge', 'passthru', 'source'] as const).map(
    (mode): Case => ({
      options: {
        kind: 'macvlan',
        ...x,
        link: 'v0',
        mode,
        ...(mode === 'passthru' ? { flags: ['noPromiscuous'] as const } : {}),
      },
      args: `link v0 type macvlan mode ${mode} ${mode === 'passthru' ? 'nopromisc' : ''}`,
      bare: `link v0 type macvlan mode ${mode === 'vepa' ? 'bridge' : 'vepa'}`,
      read: { mode },
    }),
  ),
  ...(['l2', 'l3', 'l3s'] as const).map(
    (mode): Case => ({
      options: { kind: 'ipvlan', name: 'x', link: 'v0', mode, flags: ['private'] },
      args: `link v0 type ipvlan mode ${mode} private`,
      bare: 'link v0 type ipvlan mode l2 bridge',
      read: { mode, flags: ['private'] },
    }),
  ),
  {
    options: {
      kind: 'vxlan',
      ...x,
      id: 42,
      remote: '239.1.1.1',
      local: '10.0.0.1',
      device: 'v0',
      port: 4789,
      sourcePorts: { low: 5000, high: 6000 },
      ttl: 9,
      learning: false,
      ageing: 60,
      limit: 8,
      proxy: true,
      udpChecksum: true,
    },
    args: 'type vxlan id 42 group 239.1.1.1 local 10.0.0.1 dev v0 dstport 4789 srcport 5000 6000 ttl 9 nolearning ageing 60 maxaddress 8 proxy udpcsum',
    bare: 'type vxlan id 42 dstport 4789',
    read: {
      id: 42,
      remote: '239.1.1.1',
      local: '10.0.0.1',
      port: 4789,
      sourcePorts: { low: 5000, high: 6000 },
      ttl: 9,
      learning: false,
      ageing: 60,
      limit: 8,
      proxy: true,
    },
    set: { kind: 'vxlan', learning: true, ageing: 90 },
    setArgs: 'type vxlan learning ageing 90',
  },
  {
    options: {
      kind: 'vxlan',
      ...x,
      id: 43,
      remote: 'fd00::2',
      local: 'fd00::1',
      port: 4789,
      groupPolicy: true,
    },
    args: 'type vxlan id 43 remote fd00::2 local fd00::1 dstport 4789 gbp',
    bare: 'type vxlan id 43 dstport 4789',
    read: { id: 43, remote: 'fd00::2', local: 'fd00::1', groupPolicy: true },
  },
  { options: { kind: 'dummy', ...x }, args: 'type dummy', bare: 'type ifb' },
  { options: { kind: 'ifb', ...x }, args: 'type ifb', bare: 'type dummy' },
  { options: { kind: 'wireguard', name: 'x' }, args: 'type wireguard', bare: 'type ifb' },
  ...(['gre', 'gretap'] as const).map(
    (kind): Case => ({
      options: {
        kind,
        name: 'x',
        local: '10.0.0.1',
        remote: '10.0.0.2',
        ttl: 64,
        inputKey: 7,
        outputKey: 8,
        outputFlags: ['checksum'],
        device: 'v0',
        pathMtuDiscovery: true,
      },
      args: `type ${kind} local 10.0.0.1 remote 10.0.0.2 ttl 64 ikey 7 okey 8 ocsum dev v0`,
      bare: `type ${kind} local 10.0.0.1 remote 10.0.0.3`,
      read: {
        local: '10.0.0.1',
        remote: '10.0.0.2',
        ttl: 64,
        inputKey: 7,
        outputKey: 8,
        inputFlags: ['key'],
        outputFlags: ['checksum', 'key'],
      },
    }),
  ),
  ...(['ip6gre', 'ip6gretap'] as const).map(
    (kind): Case => ({
      options: {
        kind,
        name: 'x',
        local: 'fd00::1',
        remote: 'fd00::2',
        ttl: 64,
        inputKey: 7,
        outputKey: 7,
        encapsulationLimit: 4,
      },
      args: `type ${kind} local fd00::1 remote fd00::2 ttl 64 key 7`,
      bare: `type ${kind} local fd00::1 remote fd00::3`,
      read: { local: 'fd00::1', remote: 'fd00::2', ttl: 64, inputKey: 7, outputKey: 7 },
    }),
  ),
  {
    options: {
      kind: 'bond',
      ...x,
      mode: 'active-backup',
      miimon: 100,
      upDelay: 200,
      minLinks: 2,
      transmitHashPolicy: 'layer2+3',
      failOverMac: 'active',
      resendIgmp: 3,
      primaryReselect: 'better',
    },
    args: 'type bond mode active-backup miimon 100 updelay 200 min_links 2 xmit_hash_policy layer2+3 fail_over_mac active resend_igmp 3 primary_reselect better',
    bare: 'type bond',
    read: {
      mode: 'active-backup',
      miimon: 100,
      upDelay: 200,
      minLinks: 2,
      transmitHashPolicy: 'layer2+3',
      failOverMac: 'active',
      resendIgmp: 3,
      primaryReselect: 'better',
    },
    set: { kind: 'bond', miimon: 0, arpInterval: 50, arpTargets: ['10.0.0.9', '10.0.0.10'] },
    setArgs: 'type bond miimon 0 arp_interval 50 arp_ip_target 10.0.0.9,10.0.0.10',
  },
  {
    options: {
      kind: 'bond',
      ...x,
      mode: '802.3ad',
      lacpRate: 'fast',
      aggregatorSelect: 'bandwidth',
      actorSystemPriority: 7,
    },
    args: 'type bond mode 802.3ad lacp_rate fast ad_select bandwidth ad_actor_sys_prio 7',
    bare: 'type bond mode 802.3ad',
    read: {
      mode: '802.3ad',
      lacpRate: 'fast',
      aggregatorSelect: 'bandwidth',
      actorSystemPriority: 7,
    },
  },
  {
    options: { kind: 'vrf', ...x, table: 77 },
    args: 'type vrf table 77',
    bare: 'type vrf table 78',
    read: { table: 77 },
  },
]

/** What changes from one device to the next by itself. */
function lasting(value: object | undefined): object {
  return Object.fromEntries(
    Object.entries(value ?? {}).filter(
      ([key]) => !/timer|Timer|root|designated|bridge_?id/i.test(key),
    ),
  )
}

// The first tunnel of its kind loads its module, which makes gre0 and the like in each namespace.
if (process.getuid?.() === 0)
  for (const kind of ['gre', 'gretap', 'ip6gre', 'ip6gretap'])
    await inNetns(undefined, 'unshare', '--net', 'ip', 'link', 'add', 'x', 'type', kind).catch(
      () => {},
    )
const before = process.getuid?.() === 0 ? await snapshot() : undefined

for (const { options, args, bare, read, set, setArgs } of cases) {
  const { kind } = options
  const title = `${kind}: ${args}`
  t.test(title, needsRoot, async t => {
    const ns = await netns(t)
    await using nl = await netlink.open({ netns: ns.path })
    await nl.links.create({ kind: 'veth', name: 'v0', peer: { name: 'v1', up: true }, up: true })
    const add = (said: string) =>
      inNetns(
        ns,
        'sh',
        '-c',
        `ip link add name x ${/gre|ipvlan|wireguard/.test(said) ? '' : `address ${address}`} ${said}`,
      )
    const look = async () => {
      const [{ linkinfo }] = await ip(ns, '-d', 'link', 'show', 'dev', 'x')
      const link = await nl.links.get('x')
      const { info_kind, info_data } = linkinfo
      return {
        link,
        seen: { info_kind, info_data: lasting(info_data), own: lasting(link[kind as 'vlan']) },
      }
    }
    try {
      await add(args)
    } catch (error) {
      const said = (error as { stderr: string }).stderr
      if (!/Unknown device type|not supported/.test(said)) throw error
      return t.pass(title, { skip: `this kernel has it not: ${said.trim()}` })
    }
    const theirs = await look()
    t.equal(theirs.link.kind, kind)
    if (read !== undefined) t.match(theirs.link[kind as 'vlan'], read, 'what ip wrote is read')
    if (setArgs !== undefined) await inNetns(ns, 'sh', '-c', `ip link set x ${setArgs}`)
    const changed = await look()
    await nl.links.delete('x')

    await nl.links.create(options)
    const ours = await look()
    t.same(ours.seen, theirs.seen, 'what is written is what ip writes')
    if (set !== undefined) {
      await nl.links.set('x', set)
      t.same((await look()).seen, changed.seen, 'and what is changed is what ip changes')
      t.notSame(changed.seen, ours.seen, 'which is something')
    }
    await nl.links.delete('x')

    const plain = await add(bare).then(look, () => undefined)
    if (plain !== undefined && read !== undefined)
      t.notSame(plain.seen, ours.seen, 'it is not what there is without')
  })
}

t.test('the host has what it had', needsRoot, async t => {
  t.same(await snapshot(), before)
})
