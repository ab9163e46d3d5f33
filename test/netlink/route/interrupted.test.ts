import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { netlink } from 'cofferdam'
import t, { type Test } from 'tap'
import { needsRoot } from '../../support/index.js'
import { ip, type Netns, netns } from '../../support/netns.js'

// Lists that are longer than one answer of the kernel, while another process changes them as fast
// as it can: what is there all the while is in each list, or the list says that it was interrupted.

const ENTRIES = 3000
/** So long each is driven. */
const TIME = 3000

/** Runs lines of `ip -batch` or `bridge -batch` over and over, until the test ends. */
async function changer(t: Test, ns: Netns, program: string, lines: readonly string[]) {
  const script = `while :; do printf '%s\\n' ${lines.map(line => `'${line}'`).join(' ')}; done | exec ${program} -force -batch -`
  const child: ChildProcess = spawn('nsenter', [`--net=${ns.path}`, 'sh', '-c', script], {
    stdio: 'ignore',
    detached: true,
  })
  await once(child, 'spawn')
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    process.kill(-(child.pid as number), 'SIGKILL')
    await exited
  }
  t.teardown(end)
}

/** Lists again and again, and looks for what must be in each. */
async function drive<T>(
  t: Test,
  lists: () => Promise<readonly T[]>,
  nameOf: (entry: T) => string | undefined,
  must: ReadonlySet<string>,
) {
  let complete = 0
  let interrupted = 0
  const until = Date.now() + TIME
  while (Date.now() < until || complete + interrupted < 5) {
    try {
      const left = new Set(must)
      for (const entry of await lists()) left.delete(nameOf(entry) ?? '')
      if (left.size > 0) {
        t.fail(`${left.size} are missing, such as ${[...left][0]}`)
        return
      }
      complete++
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_INTERRUPTED') throw error
      interrupted++
    }
  }
  t.pass(`${complete} complete, ${interrupted} interrupted`)
  t.comment(`${complete} complete, ${interrupted} interrupted`)
}

async function opened(t: Test) {
  const ns = await netns(t)
  await ip(ns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  await ip(ns, 'link', 'set', 'eth0', 'up')
  await ip(ns, 'link', 'set', 'eth1', 'up')
  const nl = await netlink.open({ netns: ns.path })
  t.teardown(() => nl.close())
  return { ns, nl }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

for (const [family, at] of [
  ['inet', (i: number) => `10.${i >> 8}.${i & 255}.0/24`],
  ['inet6', (i: number) => `fd00:${(i + 1).toString(16)}::/32`],
] as const)
  t.test(`routes of ${family}`, needsRoot, async t => {
    const { ns, nl } = await opened(t)
    // Every third one comes and goes, among the others.
    const stay = numbers(ENTRIES).filter(i => i % 3 !== 0)
    await Promise.all(
      stay.map(i => nl.routes.create({ destination: at(i), device: 'eth0', family })),
    )
    const flag = family === 'inet' ? '-4' : '-6'
    const moving = numbers(ENTRIES)
      .filter(i => i % 3 === 0)
      .slice(0, 300)
    await changer(t, ns, `ip ${flag}`, [
      ...moving.map(i => `route add ${at(i)} dev eth0`),
      ...moving.map(i => `route del ${at(i)} dev eth0`),
    ])
    await drive(
      t,
      () => nl.routes.list({ family }),
      ({ destination }) => destination,
      new Set(stay.map(at)),
    )
  })

t.test('addresses', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  const at = (i: number) => `10.${i >> 8}.${i & 255}.1/32`
  const stay = numbers(1200).filter(i => i % 3 !== 0)
  await Promise.all(stay.map(i => nl.addresses.create({ device: 'eth0', address: at(i) })))
  const moving = numbers(1200)
    .filter(i => i % 3 === 0)
    .slice(0, 100)
  await changer(t, ns, 'ip', [
    ...moving.map(i => `address add ${at(i)} dev eth0`),
    ...moving.map(i => `address del ${at(i)} dev eth0`),
  ])
  const all = new Set(stay.map(at))
  await drive(
    t,
    () => nl.addresses.list({ family: 'inet' }),
    one => one.address,
    all,
  )
})

t.test('neighbours', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  const at = (i: number) => `10.0.${i >> 8}.${i & 255}`
  const lladdr = '02:00:00:00:00:01'
  // The table of all namespaces together has room for 1024 unless it is told otherwise.
  const stay = numbers(600).filter(i => i % 3 !== 0)
  await Promise.all(
    stay.map(i => nl.neighbours.create({ device: 'eth0', address: at(i), hardware: lladdr })),
  )
  const moving = numbers(600)
    .filter(i => i % 3 === 0)
    .slice(0, 100)
  await changer(t, ns, 'ip', [
    ...moving.map(i => `neighbour add ${at(i)} lladdr ${lladdr} dev eth0`),
    ...moving.map(i => `neighbour del ${at(i)} dev eth0`),
  ])
  const all = new Set(stay.map(at))
  await drive(
    t,
    () => nl.neighbours.list({ family: 'inet' }),
    one => one.address,
    all,
  )
})

t.test('rules', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  const stay = numbers(600).map(i => 1000 + 2 * i)
  await Promise.all(stay.map(priority => nl.rules.create({ priority, table: 7, mark: priority })))
  const moving = numbers(100).map(i => 1001 + 2 * i)
  await changer(t, ns, 'ip', [
    ...moving.map(i => `rule add pref ${i} fwmark ${i} table 8`),
    ...moving.map(i => `rule del pref ${i} fwmark ${i} table 8`),
  ])
  const all = new Set(stay.map(String))
  await drive(
    t,
    () => nl.rules.list({ family: 'inet' }),
    one => `${one.priority}`,
    all,
  )
})

t.test('entries of a bridge', needsRoot, async t => {
  const { ns, nl } = await opened(t)
  await ip(ns, 'link', 'add', 'br0', 'type', 'bridge')
  await ip(ns, 'link', 'set', 'eth0', 'master', 'br0')
  const at = (i: number) =>
    `02:00:00:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`
  const stay = numbers(ENTRIES).filter(i => i % 3 !== 0)
  await Promise.all(
    stay.map(i => nl.bridge.fdb.create({ device: 'eth0', address: at(i), to: 'master' })),
  )
  const moving = numbers(ENTRIES)
    .filter(i => i % 3 === 0)
    .slice(0, 300)
  await changer(t, ns, 'bridge', [
    ...moving.map(i => `fdb add ${at(i)} dev eth0 master`),
    ...moving.map(i => `fdb del ${at(i)} dev eth0 master`),
  ])
  await drive(
    t,
    () => nl.bridge.fdb.list({ bridge: 'br0' }),
    one => one.address,
    new Set(stay.map(at)),
  )
})
