import { netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, ip, netns } from '../../support/netns.js'

t.test('network namespaces get numbers, and are found by them', needsRoot, async t => {
  const ns = await netns(t)
  const other = await netns(t)
  const third = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  t.same(await nl.namespaces.list(), [])
  t.equal(await nl.namespaces.get(other.path), undefined)
  t.equal(await nl.namespaces.create(other.path, 77), 77)
  t.equal(await nl.namespaces.get({ pid: other.pid }), 77)
  const any = await nl.namespaces.create({ pid: third.pid })
  t.ok(any >= 0 && any !== 77)
  t.same((await nl.namespaces.list()).sort(), [any, 77].sort())
  t.match(await ip(ns, 'netns', 'list-id'), [{ nsid: any }, { nsid: 77 }])
  await t.rejects(nl.namespaces.create(other.path, 78), {
    code: 'EEXIST',
    operation: 'RTM_NEWNSID',
  })
  await t.rejects(nl.namespaces.create(other.path, -5), {
    option: 'id',
    code: 'ERR_INVALID_OPTION',
  })
  await t.rejects(nl.namespaces.get(`/proc/${other.pid}/ns/pid`), { code: 'ERR_INVALID_OPTION' })
})

t.test('the kernel gives a number to where the other end of a veth is', needsRoot, async t => {
  const ns = await netns(t)
  const other = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  using events = await nl.monitor({ namespaces: true })
  await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  await inNetns(ns, 'ip', 'link', 'set', 'v1', 'netns', `${other.pid}`)
  const { value } = await events.next()
  const id = await nl.namespaces.get(other.path)
  t.same(value, { kind: 'namespace', change: 'new', id })
  const [{ link_netnsid }] = await ip(ns, 'link', 'show', 'v0')
  t.equal(link_netnsid, id)
})
