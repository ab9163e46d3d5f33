import { readFileSync } from 'node:fs'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  figure,
  groupsLeft,
  inside,
  needsController,
  parentGroup,
  versionOf,
} from '../support/cgroups.js'

const { Cgroup } = cgroups
const needs = needsController('cpu')
const spinner = ['sh', '-c', 'while :; do :; done']
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** Seconds that a group has been on processors. */
async function usage(group: cgroups.Cgroup): Promise<number> {
  if (cgroups.folderOf(group, 'cpuacct') !== undefined)
    return (await figure(group, 'cpuacct.usage')) / 1e9
  return (await figure(group, 'cpu.stat', 'usage_usec')) / 1e6
}

/** How many processors groups have had each, on average over a time. */
async function loads(groups: readonly cgroups.Cgroup[], ms: number): Promise<number[]> {
  const begin = performance.now()
  const before = await Promise.all(groups.map(usage))
  await sleep(ms)
  const after = await Promise.all(groups.map(usage))
  const seconds = (performance.now() - begin) / 1000
  return after.map((time, i) => (time - (before[i] ?? 0)) / seconds)
}

/**
 * The second one's time for each second of the first one's, when it is what is wanted: the
 * scheduler evens out over a while, which is longer where there is one slow processor.
 */
async function ratio(
  a: cgroups.Cgroup,
  b: cgroups.Cgroup,
  wanted: (ratio: number) => boolean,
): Promise<number> {
  let last = Number.NaN
  for (let tries = 0; tries < 8 && !wanted(last); tries++) {
    const [first = 0, second = 0] = await loads([a, b], 1500)
    last = second / first
  }
  return last
}

const about = (wanted: number) => (ratio: number) => Math.abs(ratio / wanted - 1) < 0.2

t.test('spinners get their quota', needs, async t => {
  // A weight that gets them theirs also when others want the processors.
  const group = await parentGroup(t, { limits: { cpus: 0.5, cpu: { weight: 10_000 } } })
  await inside(t, group, spinner)
  await inside(t, group, spinner)
  await sleep(200)
  const [share = 0] = await loads([group], 3000)
  t.ok(share > 0.45 && share < 0.55, `${share} processors`)
  // Another period, while they run.
  await group.set({ cpu: { quota: '4ms', period: '20ms' } })
  t.equal((await group.limits()).cpus, 0.2)
  await sleep(200)
  const [less = 0] = await loads([group], 3000)
  t.ok(less > 0.18 && less < 0.22, `${less} processors`)
  await group.set({ cpus: 'max' })
  const throttled = await figure(group, 'cpu.stat', 'nr_throttled')
  t.ok(throttled > 10, `throttled ${throttled} times`)
  await sleep(300)
  const later = await figure(group, 'cpu.stat', 'nr_throttled')
  await sleep(300)
  t.equal(await figure(group, 'cpu.stat', 'nr_throttled'), later, 'and not any more')
})

t.test('two groups share a processor as their weights say', needs, async t => {
  const parent = await parentGroup(t, { limits: { cpu: { weight: 10_000 } } })
  const [a, b] = [
    await Cgroup.create(`${parent.path}/a`, { limits: { cpu: { weight: 100 } } }),
    await Cgroup.create(`${parent.path}/b`, { limits: { cpu: { weight: 400 } } }),
  ]
  for (const group of [a, b]) await inside(t, group, ['taskset', '-c', '0', ...spinner])
  await sleep(300)
  const weights = [100, 400]
  const [low = 0, high = 0] =
    versionOf(a, 'cpu') === 2 ? weights : weights.map(cgroups.cpuSharesFromWeight)
  const shared = await ratio(a, b, about(high / low))
  t.ok(about(high / low)(shared), `${shared} for ${high} to ${low}`)
  await a.set({ cpu: { weight: 400 } })
  const even = await ratio(a, b, about(1))
  t.ok(about(1)(even), `${even} for 1`)
})

t.test('an idle group gets what is left', needs, async t => {
  const parent = await parentGroup(t, { limits: { cpu: { weight: 10_000 } } })
  const busy = await Cgroup.create(`${parent.path}/busy`)
  const idle = await Cgroup.create(`${parent.path}/idle`, { limits: { cpu: { idle: true } } })
  for (const group of [busy, idle]) await inside(t, group, ['taskset', '-c', '0', ...spinner])
  await sleep(300)
  const left = await ratio(busy, idle, left => left < 0.1)
  t.ok(left < 0.1, `${left}`)
  await idle.set({ cpu: { idle: false } })
  const even = await ratio(busy, idle, about(1))
  t.ok(about(1)(even), `${even}`)
  t.match(await idle.limits(), { cpu: { idle: false, weight: 100 } })
})

const burstWork = `for (1 .. 4) { sleep 0.35; my $end = clock + 0.035; 1 while clock < $end }`

t.test('what was saved up is spent in a burst', needs, async t => {
  // Half a period's work after a pause: more than the quota, and less than what was saved.
  const work = ['perl', '-MTime::HiRes=sleep,clock', '-e', burstWork]
  const bursts = async (burst: number | string) => {
    const limits = { cpu: { quota: '20ms', period: '100ms', burst } }
    const group = await parentGroup(t, { limits })
    await (await inside(t, group, work)).exited
    return figure(group, 'cpu.stat', 'nr_bursts')
  }
  t.equal(await bursts(0), 0)
  t.ok((await bursts('20ms')) > 0)
})

const hasRealtime = (() => {
  if (needs.skip !== undefined) return needs
  const [first] = cgroups.layoutNow().hierarchies.filter(each => each.controllers.includes('cpu'))
  const there = (() => {
    try {
      return readFileSync(`${first?.mountPoint}/cpu.rt_runtime_us`, 'latin1') !== ''
    } catch {
      return false
    }
  })()
  return there ? {} : { skip: 'no cpu.rt_runtime_us: version 2, or no CONFIG_RT_GROUP_SCHED' }
})()

t.test('real-time processes need a budget', hasRealtime, async t => {
  const parent = await parentGroup(t)
  const child = `${parent.path}/child`
  const refused = { code: 'EINVAL', controller: 'cpu', hint: /group above/ }
  const limits = { cpu: { realtimeRuntime: '10ms', realtimePeriod: '500ms' } }
  await t.rejects(Cgroup.create(child, { limits }), refused)
  await t.rejects(Cgroup.open(child), { code: 'ENOENT' }, 'and nothing stays of it')
  await parent.set({ cpu: { realtimeRuntime: '50ms' } })
  const group = await Cgroup.create(child, { limits })
  t.match(await group.limits(), { cpu: { realtimeRuntime: 10_000, realtimePeriod: 500_000 } })
  const realtime = ['chrt', '-f', '1', 'echo', 'real-time']
  t.match(await (await inside(t, group, realtime)).exited, { stdout: 'real-time\n' })
  await group.set({ cpu: { realtimeRuntime: 0 } })
  t.match(await (await inside(t, group, realtime)).exited, { exitCode: 1, stdout: '' })
})

t.test('processors and memory nodes', needsController('cpuset'), async t => {
  const cpus = Number(
    /^Cpus_allowed_list:\t\d+-(\d+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1],
  )
  const group = await parentGroup(t, { limits: { cpuset: { cpus: '0', mems: '0' } } })
  const allowed = async () => {
    const { stdout } = await (await inside(t, group, ['cat', '/proc/self/status'])).exited
    return ['Cpus', 'Mems'].map(
      key => new RegExp(`^${key}_allowed_list:\\t(.*)$`, 'm').exec(stdout)?.[1],
    )
  }
  t.same(await allowed(), ['0', '0'])
  if (cpus >= 1) {
    await group.set({ cpuset: { cpus: [1] } })
    t.same(await allowed(), ['1', '0'])
    await group.set({ cpuset: { cpus: 'max' } })
    t.same(await allowed(), [`0-${cpus}`, '0'])
  }
  await t.rejects(group.set({ cpuset: { cpus: '8191' } }), {
    code: 'ERANGE',
    controller: 'cpuset',
    path: /cpuset\.cpus$/,
    hint: /no such processors/,
  })
})

const needsPartitions =
  needsController('cpuset').skip !== undefined
    ? needsController('cpuset')
    : cgroups.layoutNow().hierarchies.find(each => each.controllers.includes('cpuset'))?.version ===
        2
      ? {}
      : { skip: 'cpuset is version 1 here, which has no partitions' }

t.test('a partition has its processors for itself', needsPartitions, async t => {
  const name = (await parentGroup(t)).path // a name that no other group has
  const group = await Cgroup.create(`${name}-p`, {
    limits: { cpuset: { cpus: '1', mems: '0', partition: 'root' } },
  })
  t.teardown(() => group.delete())
  t.match(await group.limits(), { cpuset: { cpus: '1', partition: 'root' } })
  const other = await parentGroup(t)
  t.equal((await other.read('cpuset.cpus.effective')).trim(), '0')
  // All of them can't be taken away.
  await t.rejects(
    Cgroup.create(`${name}-q`, { limits: { cpuset: { cpus: '0', partition: 'root' } } }),
    {
      code: 'ERR_UNSUPPORTED',
      option: 'cgroup.limits.cpuset.partition',
      controller: 'cpuset',
    },
  )
  await group.set({ cpuset: { partition: 'member' } })
  t.equal((await other.read('cpuset.cpus.effective')).trim(), '0-1')
})

t.test('no group is left', async t => t.same(groupsLeft(), []))
