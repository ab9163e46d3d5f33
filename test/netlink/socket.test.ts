import { readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type namespaces, netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../support/index.js'
import { inNetns, ip, netns } from '../support/netns.js'
import { openPidfd, sleeper } from '../support/processes.js'

const { attribute, attributes, format, message, struct, u8, u32, s32 } = netlink

async function opened(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'set', 'lo', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

const descriptors = () => readdirSync('/proc/self/fd').length

t.test('lists come with what the kernel has', async t => {
  await using nl = await netlink.open()
  const links = await nl.links.list()
  t.match(
    links.find(({ name }) => name === 'lo'),
    { index: 1 },
  )
})

t.test('a thousand requests of one moment are each answered by themselves', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  const wrong = (i: number) => i % 7 === 3
  const made = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, i) =>
      nl.routes.create({
        destination: `10.0.${i >> 8}.${i & 255}`,
        type: 'blackhole',
        // Of these the kernel says that there is no such way.
        ...(wrong(i) && { type: 'unicast', gateway: '192.0.2.1' }),
      }),
    ),
  )
  for (const [i, { status }] of made.entries())
    if ((status === 'rejected') !== wrong(i)) t.fail(`${i} is ${status}`)
  for (const one of made)
    if (one.status === 'rejected' && one.reason.code !== 'ENETUNREACH') t.fail(one.reason)
  const printed = await ip(ns, 'route', 'show', 'type', 'blackhole')
  t.equal(printed.length, made.filter(({ status }) => status === 'fulfilled').length)
  // Questions with different answers, in between lists.
  const asked = await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => {
      if (i % 100 === 50)
        return (await nl.routes.list({ family: 'inet', type: 'blackhole' })).length
      const { destination } = await nl.routes.get(`127.0.${i >> 8}.${i & 255}`)
      return destination
    }),
  )
  for (const [i, answer] of asked.entries())
    if (answer !== (i % 100 === 50 ? printed.length : `127.0.${i >> 8}.${i & 255}/32`))
      t.fail(`${i}: ${answer}`)
  t.pass()
})

t.test(
  'an error has the kernel’s words, and the attribute that they are about',
  needsRoot,
  async t => {
    const { nl } = await opened(t)
    const other = await netns(t)
    await nl.namespaces.create(other.path, 5)
    await t.rejects(nl.namespaces.create(other.path, 6), {
      code: 'EEXIST',
      operation: 'RTM_NEWNSID',
      attribute: 'NETNSA_FD',
      message: /NETNSA_FD.*Peer netns already has a nsid assigned/,
    })
    await t.rejects(nl.routes.create({ destination: '192.0.2.0/24', gateway: '198.51.100.1' }), {
      code: 'ENETUNREACH',
      syscall: 'sendto',
      message: /RTM_NEWROUTE.*Nexthop has invalid gateway/,
    })
  },
)

t.test(
  'what is not known in a request for a list is refused: checking is strict',
  needsRoot,
  async t => {
    const ns = await netns(t)
    await using socket = await netlink.NetlinkSocket.open('route', ns.path)
    const odd = format(
      struct({ family: u8, prefix: u8, pad: 10 }),
      attributes({ mark: attribute('RTA_MARK', 16, u32) }),
    )
    await t.rejects(socket.dump(message('RTM_GETROUTE', 26, 0, odd, { family: 2, mark: 5 }), odd), {
      code: 'EINVAL',
      operation: 'RTM_GETROUTE',
      message: /Unsupported attribute/,
    })
    await t.rejects(
      socket.dump(message('RTM_GETROUTE', 26, 0, odd, { family: 2, prefix: 8 }), odd),
      {
        code: 'EINVAL',
        message: /Invalid values in header/,
      },
    )
  },
)

t.test('closing waits for what is under way, and ends the rest', needsRoot, async t => {
  const ns = await netns(t)
  const before = descriptors()
  const nl = await netlink.open({ netns: ns.path })
  const made = Array.from({ length: 200 }, (_, i) =>
    nl.rules.create({ priority: i + 1, table: 5, mark: i }),
  )
  // They are on their way when they have had their turn.
  await Promise.resolve()
  await new Promise(setImmediate)
  const closed = nl.close()
  const settled = await Promise.allSettled(made)
  await closed
  t.equal(settled.filter(({ status }) => status === 'fulfilled').length, 200)
  t.equal((await ip(ns, 'rule', 'show')).length, 203)
  await t.rejects(nl.rules.list(), { code: 'ERR_STATE' })
  await t.rejects(nl.monitor(), { code: 'ERR_STATE' })
  await nl.close()
  t.equal(descriptors(), before)
})

t.test('no socket is left, whatever becomes of it', needsRoot, async t => {
  const ns = await netns(t)
  await (await netlink.open({ netns: ns.path })).close()
  const before = descriptors()
  for (let i = 0; i < 20; i++) {
    await using nl = await netlink.open({ netns: ns.path })
    await Promise.all([nl.routes.list(), nl.rules.list(), nl.neighbours.list()])
    const events = await nl.monitor()
    await nl.addresses.create({ device: 'none', address: '10.0.0.1/8' }).catch(() => {})
    events.close()
    await t.rejects(netlink.open({ netns: '/proc/self/ns/pid' }), { code: 'ERR_INVALID_OPTION' })
  }
  t.equal(descriptors(), before)
})

t.test('a network namespace by its path, process, pidfd and descriptor', needsRoot, async t => {
  const ns = await netns(t)
  await inNetns(ns, 'ip', 'rule', 'add', 'pref', '4711', 'lookup', '5')
  const file = await open(ns.path)
  t.teardown(() => file.close())
  using pidfd = await openPidfd(ns.pid)
  for (const reference of [
    ns.path,
    { pid: ns.pid },
    { fd: file.fd },
    { pidfd: pidfd.fd },
  ] as namespaces.NamespaceReference[]) {
    await using nl = await netlink.open({ netns: reference })
    t.ok(
      (await nl.rules.list()).some(({ priority }) => priority === 4711),
      JSON.stringify(reference),
    )
  }
  await using own = await netlink.open()
  t.notOk((await own.rules.list()).some(({ priority }) => priority === 4711))
})

t.test('one that belongs to another user namespace', needsRoot, async t => {
  const { pid } = await sleeper(t, 'unshare', '--user', '--map-root-user', '--net')
  await using nl = await netlink.open({ netns: { pid } })
  await nl.rules.create({ priority: 9, table: 9 })
  t.match(await ip({ pid, path: `/proc/${pid}/ns/net` }, 'rule', 'show', 'priority', '9'), [
    { table: '9' },
  ])
})

t.test('lists whose answers are far longer than 32 KiB', needsRoot, async t => {
  const { nl } = await opened(t)
  const made = Array.from({ length: 20_000 }, (_, i) =>
    nl.routes.create({
      destination: `10.${i >> 8}.${i & 255}.0/24`,
      type: 'blackhole',
      table: 300,
    }),
  )
  await Promise.all(made)
  const found = await nl.routes.list({ table: 300 })
  t.equal(found.length, 20_000)
  t.equal(new Set(found.map(({ destination }) => destination)).size, 20_000)
})

t.test('a thread that ends with requests under way harms nobody', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  await nl.routes.list()
  const before = descriptors()
  const code = `
    import { workerData, parentPort } from 'node:worker_threads'
    import { netlink } from '${import.meta.resolve('cofferdam')}'
    const nl = await netlink.open({ netns: workerData })
    for (let i = 0; i < 2000; i++)
      nl.routes.replace({ destination: '10.0.' + (i >> 8) + '.' + (i & 255), type: 'blackhole', table: 7 }).catch(() => {})
    for (let i = 0; i < 20; i++) nl.routes.list().catch(() => {})
    parentPort.postMessage('under way')`
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
      workerData: ns.path,
    })
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    await sleep(Math.random() * 8)
    await worker.terminate()
  }
  t.ok((await nl.routes.list()).length > 0)
  t.equal(descriptors(), before)
})

t.test('messages of other processes are ignored, whatever they say', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  using events = await nl.monitor({ routes: true })
  // A process with a socket of its own sends to the monitor, as if it were the kernel.
  const body = format(
    struct({
      family: u8,
      prefix: u8,
      rest: 2,
      table: u8,
      protocol: u8,
      scope: u8,
      type: u8,
      flags: s32,
    }),
    attributes({}),
  )
  const forged = message('RTM_NEWROUTE', 24, 0, body, { family: 2, table: 254, type: 6 }).bytes
  const program = `
import socket, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
sent = 0
for line in open('/proc/net/netlink').readlines()[1:]:
    f = line.split()
    if f[1] == '0' and int(f[2]) != 0:
        try:
            s.sendto(bytes.fromhex(sys.argv[1]), (int(f[2]), 0)); sent += 1
        except OSError as e: print(e)
s.sendto(bytes.fromhex(sys.argv[1]), (0, 1 << 6))
print('sent', sent)`
  const printed = await inNetns(ns, 'python3', '-c', program, forged.toString('hex'))
  t.match(printed, /sent [1-9]/)
  await nl.routes.create({ destination: '192.0.2.0/24', type: 'blackhole' })
  t.match((await events.next()).value, { route: { destination: '192.0.2.0/24' } })
  t.ok((await nl.routes.list()).length > 0)
})
