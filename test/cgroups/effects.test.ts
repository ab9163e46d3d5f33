import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  figure,
  groupsLeft,
  inside,
  needsController,
  parentGroup,
  versionOf,
} from '../support/cgroups.js'

t.test('a fork bomb stops at the limit', needsController('pids'), async t => {
  // Says how many children there were, and why there were no more: EAGAIN is 11.
  const bomb = `$| = 1; my $n = 0;
    while ($n < 40) { my $p = fork; last unless defined $p; if (!$p) { sleep 60; exit } $n++ }
    print "$n ", $! + 0, "\\n"; kill 9, 0`
  const group = await parentGroup(t, { limits: { pids: 10 } })
  const run = async () =>
    (await (await inside(t, group, ['setsid', 'perl', '-e', bomb])).exited).stdout
  t.equal(await run(), '9 11\n')
  t.ok((await figure(group, 'pids.events', 'max')) > 0)
  await group.set({ pids: 'max' })
  t.match(await run(), /^40 /)
})

/** A loop device on a disk of the host's: own, so that nobody else is slowed down. */
function loopDevice(t: Test): string {
  const folder = mkdtempSync('/var/tmp/cofferdam-test-')
  const file = join(folder, 'disk')
  writeFileSync(file, '')
  truncateSync(file, 64 << 20)
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim()
  t.teardown(() => {
    execFileSync('losetup', ['--detach', device])
    rmSync(folder, { recursive: true })
  })
  return device
}

const needsLoop = (() => {
  const needs = needsController('io').skip === undefined ? {} : needsController('blkio')
  if (needs.skip !== undefined) return needs
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' })
    return {}
  } catch {
    return { skip: 'there are no loop devices' }
  }
})()

t.test('who writes to a disk, or reads from it, is held back', needsLoop, async t => {
  const device = loopDevice(t)
  const seconds = async (limits: cgroups.IoDeviceLimits, ...args: string[]) => {
    const group = await parentGroup(t, { limits: { io: { devices: [limits] } } })
    const begin = performance.now()
    const { exitCode } = await (await inside(t, group, ['dd', 'status=none', ...args])).exited
    t.equal(exitCode, 0)
    return (performance.now() - begin) / 1000
  }
  const write = ['if=/dev/zero', `of=${device}`, 'oflag=direct']
  const read = [`if=${device}`, 'of=/dev/null', 'iflag=direct']
  const [mebibytes, pages] = [
    ['bs=64k', 'count=64'],
    ['bs=4k', 'count=60'],
  ] as const
  // 4 MiB at 2 MiB/s, 60 requests at 30/s: two seconds, less what the first period lets pass.
  const cases: [Partial<cgroups.IoDeviceLimits>, string[]][] = [
    [{ wbps: '2MiB' }, [...write, ...mebibytes]],
    [{ rbps: '2MiB' }, [...read, ...mebibytes]],
    [{ wiops: 30 }, [...write, ...pages]],
    [{ riops: 30 }, [...read, ...pages]],
  ]
  for (const [limits, args] of cases) {
    const free = await seconds({ device }, ...args)
    const held = await seconds({ device, ...limits }, ...args)
    t.ok(held > 1.5 && held > 2 * free, `${JSON.stringify(limits)}: ${held} s, ${free} s without`)
  }
  // Of another direction or device it knows nothing.
  const other = await seconds({ device, rbps: '1MiB' }, ...write, ...mebibytes)
  t.ok(other < 1.5, `${other} s`)
})

t.test('disks that there are not', needsLoop, async t => {
  const group = await parentGroup(t)
  await t.rejects(group.set({ pids: 5, io: { devices: [{ device: '4095:1', rbps: 1024 }] } }), {
    code: 'ENODEV',
    path: /rbps|bps_device|io\.max/,
    hint: /no such disk/,
  })
  t.equal((await group.limits()).pids, 'max')
})

t.test('weights of disks are taken and told', needsLoop, async t => {
  const group = await parentGroup(t)
  const told = async () => (await group.limits()).io
  try {
    await group.set({ io: { bfqWeight: 300 } })
    t.match(await told(), { bfqWeight: 300 })
  } catch (error) {
    t.match(error, { code: 'ERR_UNSUPPORTED', option: 'limits.io.bfqWeight' })
  }
  if (versionOf(group, 'io') === 2) return
  await group.set({ io: { weight: 10_000 } })
  t.match(await told(), { bfqWeight: 1000, weight: 10_000 })
})

// mmap(2) of huge pages, and read(2) into each, which fails where a page can't be had.
const calls = { x64: { mmap: 9, read: 0 }, arm64: { mmap: 222, read: 63 } }[process.arch as 'x64']
const pool = '/proc/sys/vm/nr_hugepages'
const needsHugePages = (() => {
  const needs = needsController('hugetlb')
  if (needs.skip !== undefined) return needs
  if (!cgroups.hugePageSizes().includes('2MB') || calls === undefined)
    return { skip: 'this machine has no huge pages of 2 MB' }
  return {}
})()

t.test('huge pages', needsHugePages, async t => {
  const before = Number(readFileSync(pool, 'latin1'))
  writeFileSync(pool, `${before + 4}`)
  t.teardown(() => writeFileSync(pool, `${before}`))
  const free = () =>
    Number(/^HugePages_Free: +(\d+)$/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1])
  if (free() < 4) {
    t.comment('skipped: the kernel has no memory for huge pages')
    return
  }
  // Prints how many of four pages there were, or the error: ENOMEM is 12.
  const use = `my $m = syscall(${calls.mmap}, 0, 8 << 20, 3, 0x40022, -1, 0);
    if ($m == -1) { print $! + 0; exit } open(my $z, "</dev/zero"); my $n = 0;
    for (0 .. 3) { last if syscall(${calls.read}, fileno $z, $m + ($_ << 21), 1) != 1; $n++ } print "$n pages"`
  const pages = async (limits: cgroups.Limits) => {
    const group = await parentGroup(t, { limits })
    const { stdout } = await (await inside(t, group, ['perl', '-e', use])).exited
    return stdout
  }
  t.equal(await pages({}), '4 pages')
  t.equal(await pages({ hugetlb: { '2MB': '5MiB' } }), '2 pages')
  t.equal(await pages({ hugetlb: { '2MB': { reserved: '4MiB' } } }), '12')
  t.equal(await pages({ hugetlb: { '2MB': { reserved: '8MiB', max: 'max' } } }), '4 pages')
})

const needsMins = (() => {
  const needs = needsController('memory')
  if (needs.skip !== undefined) return needs
  if (
    cgroups.layoutNow().hierarchies.find(each => each.controllers.includes('memory'))?.version !== 2
  )
    return { skip: 'memory is version 1 here' }
  const TMPFS = [0x01021994, 0x794c7630] // and overlayfs, which may lie on one
  return TMPFS.includes(statfsSync('/var/tmp').type) ? { skip: '/var/tmp is on no disk' } : {}
})()

t.test('memory that is protected stays', needsMins, async t => {
  const folder = mkdtempSync('/var/tmp/cofferdam-test-')
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = (name: string, mebibytes: number) => {
    const path = join(folder, name)
    writeFileSync(path, Buffer.alloc(mebibytes << 20, 1), { flush: true })
    execFileSync('dd', [
      'status=none',
      `of=${path}`,
      'oflag=nocache',
      'conv=notrunc,fdatasync',
      'count=0',
    ])
    return path
  }
  /** What is left in memory of one group's file when another has read more than there is. */
  const left = async (memory: cgroups.MemoryLimits) => {
    const parent = await parentGroup(t, { limits: { memory: '48MiB' } })
    const kept = await cgroups.Cgroup.create(`${parent.path}/kept`, { limits: { memory } })
    const other = await cgroups.Cgroup.create(`${parent.path}/other`)
    const read = async (group: cgroups.Cgroup, path: string) =>
      (await inside(t, group, ['dd', 'status=none', `if=${path}`, 'of=/dev/null', 'bs=1M'])).exited
    await read(kept, file('kept', 24))
    for (let i = 0; i < 3; i++) await read(other, file(`other${i}`, 64))
    return (await figure(kept, 'memory.current')) / 2 ** 20
  }
  const [without, low, min] = [
    await left({}),
    await left({ low: '24MiB' }),
    await left({ min: '24MiB' }),
  ]
  t.ok(without < 12 && low > 20 && min > 20, `${without}, low ${low}, min ${min} MiB of 24`)
})

t.test('raw files', needsController('memory'), async t => {
  const group = await parentGroup(t)
  const [file, value] =
    versionOf(group, 'memory') === 2 ? ['memory.oom.group', '1'] : ['memory.swappiness', '7']
  await group.set({ raw: { [file]: value } })
  t.equal((await group.read(file)).trim(), value)
  if (cgroups.unifiedOf(group) === undefined) return
  // It has an effect too: no group can be made below it.
  await group.set({ raw: { 'cgroup.max.descendants': 0 } })
  await t.rejects(cgroups.Cgroup.create(`${group.path}/x`), { code: 'EAGAIN' })
})

t.test('resources that no machine at hand has', needsController('misc'), async t => {
  const group = await parentGroup(t)
  await t.rejects(group.set({ misc: { nothing: 1 } }), {
    code: 'EINVAL',
    controller: 'misc',
    hint: /no such resource/,
  })
  t.type((await group.limits()).misc, 'object')
})

t.test('no group is left', async t => t.same(groupsLeft(), []))
