import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CofferdamError, netlink } from 'cofferdam'
import t from 'tap'
import { needsRoot } from '../../support/index.js'
import { inNetns, netns } from '../../support/netns.js'

t.test('a device that comes, changes and goes is told of', needsRoot, async t => {
  const ns = await netns(t)
  await using nl = await netlink.open({ netns: ns.path })
  const controller = new AbortController()
  const events = await nl.uevents({ signal: controller.signal })
  await inNetns(ns, 'ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  // /sys shows the devices of the network namespace that it was mounted in.
  await inNetns(
    ns,
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount -t sysfs none /sys && echo change >/sys/class/net/v0/uevent',
  )
  await inNetns(ns, 'ip', 'link', 'delete', 'v0')
  const seen: netlink.Uevent[] = []
  for await (const event of events) {
    if (event.kind === 'lost' || event.subsystem !== 'net') continue
    if (event.properties.INTERFACE !== 'v0') continue
    seen.push(event)
    if (event.action === 'remove') break
  }
  t.same(
    seen.map(({ action }) => action),
    ['add', 'change', 'remove'],
  )
  for (const { path, properties, sequence } of seen) {
    t.match({ path, properties }, { path: /\/net\/v0$/, properties: { SUBSYSTEM: 'net' } })
    t.equal(typeof sequence, 'bigint')
    t.match(properties, { ACTION: String, DEVPATH: path, IFINDEX: /^\d+$/ })
  }
})

t.test('processes that come and go are told of', needsRoot, async t => {
  const controller = new AbortController()
  let events: Awaited<ReturnType<typeof netlink.processEvents>>
  try {
    events = await netlink.processEvents({ signal: controller.signal })
  } catch (error) {
    if (!(error instanceof CofferdamError) || error.code !== 'ERR_UNSUPPORTED') throw error
    return void t.pass('process events', { skip: error.message })
  }
  const child = spawn('sh', ['-c', 'echo renamed >/proc/$$/comm; (exit 3) & wait; exec sleep 0.05'])
  const exit = once(child, 'exit')
  const own: netlink.ProcessEvent[] = []
  const family = new Set([child.pid])
  for await (const event of events) {
    if (event.kind === 'lost') continue
    if (event.kind === 'fork' && family.has(event.parent)) family.add(event.pid)
    if (!family.has(event.pid)) continue
    own.push(event)
    if (event.kind === 'exit' && event.pid === child.pid) break
  }
  await exit
  t.match(
    own.find(({ kind, pid }) => kind === 'fork' && pid === child.pid),
    { parent: process.pid },
  )
  t.ok(own.filter(({ kind, pid }) => kind === 'exec' && pid === child.pid).length >= 2)
  t.match(
    own.find(({ kind, pid }) => kind === 'fork' && pid !== child.pid),
    { parent: child.pid },
  )
  t.match(
    own.find(({ kind, pid }) => kind === 'exit' && pid !== child.pid),
    { exitCode: 3, signal: null, parent: child.pid },
  )
  t.match(own.at(-1), { kind: 'exit', exitCode: 0, parent: process.pid })
  t.match(
    own.find(({ kind }) => kind === 'name'),
    { kind: 'name', name: 'renamed', pid: child.pid },
  )
  const times = own.map(({ time }) => time)
  const now = process.hrtime.bigint() // the same clock, clock_gettime(2) CLOCK_MONOTONIC
  t.ok(times.every(time => time <= now && time > now - 60_000_000_000n))

  // A second one, at the same time as another.
  const other = await netlink.processEvents()
  const killed = spawn('sleep', ['60'])
  killed.kill('SIGKILL')
  for await (const event of other)
    if (event.kind === 'exit' && event.pid === killed.pid) {
      t.match(event, { exitCode: null, signal: 9 })
      break
    }
})

t.test('elsewhere than in the first namespaces there are none', needsRoot, async t => {
  const ns = await netns(t)
  const script = `
    import { netlink } from 'cofferdam'
    await netlink.processEvents().catch(error => console.log(error.code))`
  const root = new URL('../../../..', import.meta.url).pathname
  const printed = await inNetns(
    ns,
    'sh',
    '-c',
    `cd '${root}' && '${process.execPath}' --input-type=module -e "$0"`,
    script,
  )
  t.equal(printed.trim(), 'ERR_UNSUPPORTED')
})
