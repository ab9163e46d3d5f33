import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  groupName,
  groupsLeft,
  needsController,
  parentGroup,
  versionOf,
} from '../support/cgroups.js'

const { Cgroup, parseLimits } = cgroups
const needs = needsController('memory', 'cpu', 'pids')

/** Of what is told, what was asked for: the same keys, and devices in the same order. */
function like(told: unknown, asked: unknown): unknown {
  if (typeof asked !== 'object' || asked === null || told === undefined) return told
  if (Array.isArray(asked)) return asked.map((each, i) => like((told as unknown[])[i], each))
  return Object.fromEntries(
    Object.entries(asked).map(([key, value]) => [
      key,
      like((told as Record<string, unknown>)[key], value),
    ]),
  )
}

/** The first disk that there is. */
function disk(): string | undefined {
  const line = /^ +(\d+) +(\d+) +\d+ (vd[a-z]|sd[a-z]|nvme\d+n\d+|ubd[a-z])$/m.exec(
    readFileSync('/proc/partitions', 'latin1'),
  )
  return line === null ? undefined : `${line[1]}:${line[2]}`
}

t.test('what is set is what is read', needs, async t => {
  const group = await parentGroup(t)
  const device = disk()
  const has = (controller: string) => cgroups.folderOf(group, controller) !== undefined
  const sets: cgroups.Limits[] = [
    { memory: '64MiB', cpus: 0.5, pids: 64 },
    { memory: { max: 12_345_678 } },
    { cpus: 1 / 3, cpu: { weight: 7 } },
    { cpu: { weight: 10_000 } },
    { cpu: { quota: '5ms', period: '7ms', burst: '3ms' } },
    { cpu: { burst: 0 }, cpus: 'max' },
    { cpu: { idle: true } },
    { cpu: { idle: false, weight: 33 } },
    { pids: 0 },
    { pids: 'max', memory: 'max' },
  ]
  if (versionOf(group, 'memory') === 1)
    sets.push(
      { memory: { max: '64MiB', swap: '32MiB' } },
      { memory: { max: '16MiB' } },
      { memory: { max: '256MiB', swap: 0 } },
      { memory: { swap: 'max' } },
      { memory: { max: 'max', softLimit: '5MiB', swappiness: 0, kernelTcp: '1MiB' } },
      { cpu: { shares: 3 } },
    )
  else
    sets.push(
      { memory: { max: '64MiB', high: '32MiB', low: '16MiB', min: '8MiB', oomGroup: true } },
      { memory: { high: 'max', low: 'max', min: 0, oomGroup: false } },
    )
  if (existsSync(join(cgroups.folderOf(group, 'memory')?.path ?? '', 'memory.swap.max')))
    sets.push({ memory: { swap: '1MiB', swapHigh: '512KiB' } }, { memory: { swap: 'max' } })
  if (has('cpuset')) sets.push({ cpuset: { cpus: '0', mems: '0' } })
  if (has('hugetlb') && cgroups.hugePageSizes().includes('2MB'))
    sets.push({ hugetlb: { '2MB': { max: '7MiB', reserved: 0 } } }, { hugetlb: { '2MB': 'max' } })
  if (device !== undefined && (has('io') || has('blkio')))
    sets.push(
      { io: { devices: [{ device, rbps: '1MiB', wiops: 100 }] } },
      { io: { devices: [{ device, rbps: 'max', wbps: 4097 }] } },
    )
  for (const limits of sets) {
    await group.set(limits)
    const asked = parseLimits('limits', limits)
    t.same(like(await group.limits(), asked), asked, JSON.stringify(limits))
  }
  // What was set first still holds, as nothing else has named it since.
  t.match(await group.limits(), { cpu: { quota: 'max', burst: 0 }, pids: 'max' })
  // All of it at once, for a new group.
  const all: cgroups.Limits = { memory: '64MiB', cpus: 1.5, cpu: { weight: 50 }, pids: 9 }
  const other = await Cgroup.create(`${group.path}/other`, { limits: all })
  const asked = parseLimits('limits', all)
  t.same(like(await other.limits(), asked), asked)
})

t.test('all of it or nothing', needs, async t => {
  const group = await parentGroup(t, { limits: { memory: '64MiB', cpus: 0.5, pids: 9 } })
  const before = await group.limits()
  const device = disk()
  // The kernel refuses the last one, and takes those before it.
  const refused: cgroups.Limits = {
    memory: '32MiB',
    cpu: { weight: 5, quota: 70_000, period: 90_000 },
    pids: 5,
    ...(device === undefined || cgroups.folderOf(group, 'blkio') === undefined
      ? {}
      : { io: { devices: [{ device, rbps: 4096 }] } }),
    raw: { [versionOf(group, 'memory') === 1 ? 'memory.limit_in_bytes' : 'memory.max']: 'much' },
  }
  await t.rejects(group.set(refused), { code: 'EINVAL', controller: 'memory', path: /memory/ })
  t.same(await group.limits(), before)
  await group.set({ cpu: { idle: true } })
  await t.rejects(group.set({ ...refused, cpu: { idle: false, weight: 5 } }), { code: 'EINVAL' })
  t.equal((await group.limits()).cpu?.idle, true)
})

t.test('a group whose limits can not be had is not made', needs, async t => {
  const name = groupName()
  const bad: [cgroups.Limits, object][] = [
    [
      { memory: { kernel: 1, high: 1, softLimit: 1 } },
      { code: 'ERR_UNSUPPORTED', controller: 'memory' },
    ],
    [
      { memory: '64MiB', raw: { 'memory.nothing': 1 } },
      { code: 'ERR_UNSUPPORTED', option: /nothing/ },
    ],
    [
      { pids: 3, raw: { 'pids.max': 'many' } },
      { code: 'EINVAL', path: /pids\.max$/ },
    ],
    [{ raw: { 'nothing.max': 1 } }, { code: 'ERR_UNSUPPORTED', controller: 'nothing' }],
    [{ pids: -1 }, { code: 'ERR_INVALID_OPTION', option: 'cgroup.limits.pids' }],
    [{ rdma: { none: { hcaHandles: 1 } } }, { controller: 'rdma' }],
  ]
  for (const [limits, error] of bad) {
    await t.rejects(Cgroup.create(name, { limits }), error as Error, JSON.stringify(limits))
    await t.rejects(Cgroup.open(name), { code: 'ENOENT' })
  }
})

t.test('a group that has gone', needs, async t => {
  const group = await Cgroup.create(groupName())
  await group.delete()
  await t.rejects(group.set({ pids: 1 }), { code: 'ENOENT', path: /cofferdam-test/ })
  await t.rejects(group.limits(), { code: 'ENOENT', message: /cofferdam-test/ })
})

t.test('only what is named changes: a quota keeps its period, swap stays', needs, async t => {
  const group = await parentGroup(t, { limits: { cpu: { quota: 20_000, period: 40_000 } } })
  await group.set({ cpu: { quota: 10_000 } })
  t.match(await group.limits(), { cpus: 0.25, cpu: { quota: 10_000, period: 40_000 } })
  await group.set({ cpu: { period: 20_000 } })
  t.match(await group.limits(), { cpus: 0.5 })
  await group.set({ memory: '64MiB' })
  const { swap } = (await group.limits()).memory ?? {}
  await group.set({ memory: '32MiB' })
  t.equal((await group.limits()).memory?.swap, swap)
})

t.test('no group is left', async t => t.same(groupsLeft(), []))
