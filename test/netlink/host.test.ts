import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../support/index.js'
import { bridge, inNetns, ip, netns, nft, snapshot, tc } from '../support/netns.js'

t.test(
  'what is done in a network namespace shows there, and not on the host',
  needsRoot,
  async t => {
    const before = await snapshot()
    const ns = await netns(t)
    await using nl = await netlink.open({ netns: ns.path })
    t.same(
      (await nl.links.list()).map(({ name }) => name),
      ['lo'],
    )
    await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    await inNetns(ns, 'tc', 'qdisc', 'add', 'dev', 'v0', 'root', 'pfifo')
    await inNetns(ns, 'nft', 'add table inet t')
    t.same(
      (await nl.links.list()).map(({ name }) => name),
      (await ip(ns, 'link')).map(({ ifname }: { ifname: string }) => ifname),
    )
    t.match(await tc(ns, 'qdisc', 'show', 'dev', 'v0'), [{ kind: 'pfifo', root: true }])
    t.same(await bridge(ns, 'link'), [])
    t.match(await nft(ns, 'list', 'tables'), { nftables: [{}, { table: { name: 't' } }] })
    t.same(await snapshot(), before)
  },
)
