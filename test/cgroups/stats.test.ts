// What groups have used, against what processes say that they have done.

import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { cgroups } from 'cofferdam'
import t from 'tap'
import { groupsLeft, needsController, parentGroup, script } from '../support/cgroups.js'
import { needsRoot, scratch } from '../support/index.js'

const { Cgroup, StatsReader, statsOf } = cgroups

const open = () => readdirSync('/proc/self/fd').length

/** A shell in a group, which does what it is told and says how long that took it. */
async function worker(t: Test, group: cgroups.Cgroup, body: string) {
  const child = await script(t, `read go; ${body}`)
  await group.add(child.pid)
  return async () => {
    child.stdin?.write('\n')
    const [said] = await Promise.all([text(child.stdout as Readable), once(child, 'exit')])
    return said
  }
}
type Test = Parameters<typeof parentGroup>[0]

/** A file of a group by either version's name. */
const limitFile = (group: cgroups.Cgroup, unified: string, legacy: string) =>
  cgroups.folderOf(group, legacy.split('.')[0] as string)?.version === 1 ? legacy : unified

t.test('processor time is what processes say they have used', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/cpu`)
  const burn = await worker(
    t,
    group,
    'times; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; times',
  )
  const before = (await group.stats()).cpu
  if (before === undefined) throw new Error('no processor time')
  // Twice four, as 0m0.510000s: user and system of the shell itself, and of its children. What it
  // took to start the shell is of before it was in the group.
  const said = [...(await burn()).matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => (Number(minutes) * 60 + Number(seconds)) * 1e6,
  )
  const since = (i: number) => (said[4 + i] as number) - (said[i] as number)
  const [user, system] = [since(0), since(1)]
  const after = (await group.stats()).cpu as cgroups.CpuStats
  const used = after.usage - before.usage
  const tolerance = 0.1 * (user + system) + 20_000
  t.ok(Math.abs(used - user - system) < tolerance, `${used} µs, and it says ${user} + ${system}`)
  t.ok(Math.abs((after.user ?? 0) + (after.system ?? 0) - after.usage) < tolerance, 'in two parts')
  t.ok((await parent.stats()).cpu?.usage ?? 0 >= after.usage, 'the group above counts it too')
})

t.test('what a quota holds back is counted', needsController('cpu'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/quota`)
  const legacy = cgroups.folderOf(group, 'cpu')?.version === 1
  if (legacy) await group.write('cpu.cfs_quota_us', '10000')
  else await group.write('cpu.max', '10000 100000')
  const burn = await worker(t, group, 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo done')
  const before = (await group.stats()).cpu
  t.equal(before?.throttledPeriods, 0)
  await burn()
  const { cpu } = await group.stats()
  t.ok((cpu?.throttledPeriods ?? 0) > 0, `${cpu?.throttledPeriods} periods`)
  t.ok((cpu?.throttledTime ?? 0) > 1000, `${cpu?.throttledTime} µs`)
  t.ok((cpu?.periods ?? 0) >= (cpu?.throttledPeriods ?? 0))
  t.equal(cpu?.bursts, 0)
})

t.test('each processor on its own, where it is asked for', needsController('cpuacct'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/each`)
  await (await worker(t, group, 'i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo done'))()
  t.notOk((await group.stats()).cpu?.perCpu)
  const { cpu } = await group.stats({ only: ['cpu', 'perCpu'] })
  const sum = cpu?.perCpu?.reduce((a, b) => a + b) ?? 0
  t.ok(Math.abs(sum - (cpu?.usage ?? 0)) <= (cpu?.perCpu?.length ?? 0), `${sum} of ${cpu?.usage}`)
})

t.test('memory that is held, and what is killed for it', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/memory`)
  await group.write(limitFile(group, 'memory.max', 'memory.limit_in_bytes'), `${48 << 20}`)
  // On version 1 the limit for both would be met first, and Linux 6.18 does not count that.
  await group.write('memory.swap.max', '0').catch(() => undefined)
  const python = 'exec python3 -c "a = bytearray(24 << 20); print(1, flush=True); input()'
  const holder = await script(t, `read go; ${python}"`)
  await group.add(holder.pid)
  holder.stdin?.write('\n')
  await once(holder.stdout as Readable, 'data')
  const { memory: held } = await group.stats()
  t.ok((held?.anon ?? 0) >= 24 << 20, `${held?.anon} anonymous`)
  t.ok((held?.anon ?? 0) <= 40 << 20)
  t.ok((held?.usage ?? 0) >= (held?.anon ?? 0))
  t.equal(held?.workingSet, (held?.usage ?? 0) - (held?.inactiveFile ?? 0))
  // Of huge pages there are few.
  t.ok((held?.pageFaults ?? 0) >= (24 << 20) / (2 << 20), `${held?.pageFaults} page faults`)
  t.equal(held?.limit, 48 << 20)
  t.equal(held?.oomKills, 0)
  t.equal(held?.swap?.usage ?? 0, 0)
  holder.kill('SIGKILL')
  await once(holder, 'exit')

  const hog = await script(t, `read go; exec python3 -c "a = bytearray(256 << 20)"`)
  await group.add(hog.pid)
  hog.stdin?.write('\n')
  const [, signal] = await once(hog, 'exit')
  t.equal(signal, 'SIGKILL')
  const { memory } = await group.stats()
  t.equal(memory?.oomKills, 1, `${memory?.oomKills} killed`)
  t.ok((memory?.limitHits ?? 0) > 0, `${memory?.limitHits} times at the limit`)
  if (memory?.peak !== undefined) {
    t.ok(memory.peak > 40 << 20 && memory.peak <= 48 << 20, `${memory.peak} at most`)
  }
  t.ok((memory?.usage ?? 0) < 24 << 20, 'it is given back')
})

t.test('a file that is written is in the cache', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/cache`)
  const file = join(scratch(t), 'file')
  await (await worker(t, group, `head -c 8M /dev/zero >${file}; echo done`))()
  const { memory } = await group.stats({ only: ['memory'] })
  t.ok((memory?.file ?? 0) >= 8 << 20, `${memory?.file} bytes`)
  t.ok((memory?.anon ?? 0) < 8 << 20)
})

t.test('processes, and those that were refused', needsController('pids'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/pids`)
  t.match((await group.stats()).pids, { current: 0, limit: 'max' })
  const sleepers = await script(t, 'read go; sleep 100 & sleep 100 & echo two; read go')
  await group.add(sleepers.pid)
  sleepers.stdin?.write('\n')
  await once(sleepers.stdout as Readable, 'data')
  t.equal((await group.stats()).pids?.current, 3)
  await group.write('pids.max', '3')
  const refused = await script(t, 'read go; (sleep 1)')
  await group.add(refused.pid)
  refused.stdin?.write('\n')
  await once(refused, 'exit')
  const { pids } = await group.stats()
  t.equal(pids?.limit, 3)
  if (pids?.limitHits !== undefined) t.equal(pids.limitHits, 1)
  if (pids?.peak !== undefined) t.equal(pids.peak, 4)
})

/** The disk that a folder is on, as `8:0`; undefined when that is no disk. */
function diskOf(folder: string): string | undefined {
  const { dev } = statSync(folder)
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)]
  const path = `/sys/dev/block/${major}:${minor}`
  if (!existsSync(path)) return undefined
  // Of a partition it is the whole disk.
  return existsSync(`${path}/partition`)
    ? readFileSync(`${path}/../dev`, 'utf8').trim()
    : `${major}:${minor}`
}

const io =
  process.getuid?.() !== 0
    ? needsRoot
    : diskOf(tmpdir()) === undefined
      ? { skip: `${tmpdir()} is on no disk` }
      : cgroups
            .layoutNow()
            .hierarchies.some(({ controllers }) =>
              controllers.some(name => name === 'io' || name === 'blkio'),
            )
        ? {}
        : { skip: 'this kernel has no controller io' }

t.test('what is written to a disk', io, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/io`)
  const folder = scratch(t)
  const device = diskOf(folder) as string
  // Far above what it can do: some kernels count nothing where there is no limit at all.
  const set = { device, wbps: 2 ** 40 }
  await group.set({ io: { devices: [set] } })
  const file = join(folder, 'file')
  const write = `dd if=/dev/zero of=${file} bs=64k count=32 oflag=direct 2>&1; echo done`
  const before = (await group.stats()).io?.devices.find(each => each.device === device)
  await (await worker(t, group, write))()
  const after = (await group.stats()).io?.devices.find(each => each.device === device)
  const bytes = Number(after?.wbytes ?? 0) - Number(before?.wbytes ?? 0)
  t.ok(bytes >= 2 << 20 && bytes < 4 << 20, `${bytes} bytes`)
  const writes = Number(after?.wios ?? 0) - Number(before?.wios ?? 0)
  t.ok(writes >= 1 && writes < 200, `${writes} writes`)
})

t.test('waiting for a processor is pressure', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/pressure`)
  let pressure: cgroups.Pressure
  try {
    pressure = await group.pressure()
  } catch (error) {
    t.match(error, { code: 'ERR_UNSUPPORTED', hint: /cgroup2|CONFIG_PSI/ })
    t.notOk((await group.stats()).pressure)
    return t.comment(`no pressure here: ${(error as Error).message}`)
  }
  t.equal(pressure.cpu?.some?.total, 0)
  // Four that share one processor.
  const loop = 'i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done'
  const body = `taskset -p 1 $$ >&2; for n in 1 2 3 4; do (${loop}) & done; wait; echo done`
  await (await worker(t, group, body))()
  const after = await group.pressure()
  t.ok((after.cpu?.some?.total ?? 0) > 10_000, `${after.cpu?.some?.total} µs`)
  t.match(after.memory, { some: { avg10: Number, avg60: Number, avg300: Number }, full: {} })
})

t.test('all figures are those of the files', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/files`)
  const child = await script(t, 'read forever')
  await group.add(child.pid)
  await group.freeze()
  const stats = await group.stats()
  const number = async (name: string) => Number(await group.read(name))
  for (const [file, figure] of [
    ['memory.current', stats.memory?.usage],
    ['memory.usage_in_bytes', stats.memory?.usage],
    ['memory.peak', stats.memory?.peak],
    ['memory.max_usage_in_bytes', stats.memory?.peak],
    ['memory.kmem.usage_in_bytes', stats.memory?.kernel],
    ['pids.current', stats.pids?.current],
    ['pids.peak', stats.pids?.peak],
    ['hugetlb.2MB.current', stats.hugetlb?.['2MB']?.usage],
    ['hugetlb.2MB.rsvd.current', stats.hugetlb?.['2MB']?.reserved],
  ] as const) {
    if (!group.folders.some(({ path }) => readdirSync(path).includes(file))) continue
    t.equal(figure, await number(file), file)
  }
  const legacy = cgroups.folderOf(group, 'memory')?.version === 1
  const list = new Map(
    (cgroups.folderOf(group, 'memory') === undefined ? '' : await group.read('memory.stat'))
      .split('\n')
      .map(line => line.split(' ') as [string, string]),
  )
  for (const [unified, name, figure] of [
    ['anon', 'total_rss', stats.memory?.anon],
    ['file', 'total_cache', stats.memory?.file],
    ['shmem', 'total_shmem', stats.memory?.shmem],
    ['file_mapped', 'total_mapped_file', stats.memory?.mapped],
    ['file_dirty', 'total_dirty', stats.memory?.dirty],
    ['file_writeback', 'total_writeback', stats.memory?.writeback],
    ['active_anon', 'total_active_anon', stats.memory?.activeAnon],
    ['inactive_anon', 'total_inactive_anon', stats.memory?.inactiveAnon],
    ['active_file', 'total_active_file', stats.memory?.activeFile],
    ['inactive_file', 'total_inactive_file', stats.memory?.inactiveFile],
    ['unevictable', 'total_unevictable', stats.memory?.unevictable],
    ['pgfault', 'total_pgfault', stats.memory?.pageFaults],
    ['pgmajfault', 'total_pgmajfault', stats.memory?.majorPageFaults],
    ['slab', '', stats.memory?.slab],
    ['kernel_stack', '', stats.memory?.kernelStack],
    ['pagetables', '', stats.memory?.pageTables],
    ['sock', '', stats.memory?.sock],
  ] as const) {
    const value = list.get(legacy ? name : unified)
    if (value !== undefined) t.equal(figure, Number(value), unified)
  }
  await group.thaw()
})

t.test('many in one call, and one that is gone', needsRoot, async t => {
  const parent = await parentGroup(t)
  const all: cgroups.Cgroup[] = []
  for (let i = 0; i < 150; i++) all.push(await Cgroup.create(`${parent.path}/g${i}`))
  const child = await script(t, 'read forever')
  await all[7]?.add(child.pid)
  await all[140]?.delete()
  const figures = await statsOf(all)
  t.equal(figures.length, 150)
  t.equal(figures[140], undefined)
  t.equal(figures.filter(each => each !== undefined).length, 149)
  t.ok(figures[8]?.cpu?.usage === 0)
  if (figures[7]?.pids !== undefined)
    t.same(
      figures.flatMap((each, i) => (each?.pids?.current ? [i] : [])),
      [7],
    )
  await t.rejects((all[140] as cgroups.Cgroup).stats(), { code: 'ENOENT', hint: /removed/ })
  t.same(await statsOf([]), [])
})

t.test('a reader keeps files open, and sees a new group of an old name', needsRoot, async t => {
  const parent = await parentGroup(t)
  const [a, b] = [await Cgroup.create(`${parent.path}/a`), await Cgroup.create(`${parent.path}/b`)]
  await a.stats() // what is opened once is open
  const before = open()
  const reader = new StatsReader()
  const first = await reader.read([a, b, a])
  t.same(
    first.map(each => each?.cpu?.usage),
    [0, 0, 0],
  )
  t.match(first[0], { ...(await a.stats()), time: Number }, 'as without')
  const kept = open() - before
  t.ok(kept > 4, `${kept} descriptors`)
  const burn = () => worker(t, a, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done')
  await (await burn())()
  const [used] = await reader.read([a, b])
  t.ok((used?.cpu?.usage ?? 0) > 1000)
  t.equal(open() - before, kept, 'no more of them')
  await reader.read([b])
  t.ok(open() - before < kept, 'closed of what is not asked for')
  await reader.read([a, b])

  await a.delete()
  const [gone, there] = await reader.read([a, b])
  t.equal(gone, undefined)
  t.ok(there)
  await Cgroup.create(a.path)
  t.equal((await reader.read([a, b]))[0]?.cpu?.usage, 0)
  const under = reader.read([a, b])
  reader.close()
  t.equal((await under).length, 2, 'what is under way comes to its end')
  await reader.read([a]).then(
    () => t.fail('it is closed'),
    error => t.match(error, { code: 'ERR_STATE' }),
  )
  await new Promise(setImmediate)
  t.equal(open(), before, 'no descriptor is left')

  using few = new StatsReader({ descriptors: 3, only: ['cpu', 'pids', 'memory'] })
  for (let i = 0; i < 3; i++) t.equal((await few.read([a, b])).filter(Boolean).length, 2)
  t.ok(open() - before <= 3)
})

t.test('a worker that ends in the middle of it takes nothing along', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/worker`)
  await group.stats()
  const before = open()
  const code = `
    const { cgroups } = await import(${JSON.stringify(import.meta.resolve('cofferdam'))})
    const reader = new cgroups.StatsReader({ descriptors: 1000 })
    const groups = Array.from({ length: 60 }, () => (${JSON.stringify(group)}))
    await reader.read(groups.slice(0, 10))
    for (let i = 0; i < 6; i++) cgroups.statsOf(groups)
    reader.read(groups)
    postMessage('busy')`
  const url = `data:text/javascript,import { parentPort } from 'node:worker_threads'; const postMessage = what => parentPort.postMessage(what); ${encodeURIComponent(code)}`
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(new URL(url))
    await once(worker, 'message')
    await worker.terminate()
  }
  for (let i = 0; i < 100 && open() > before; i++) await new Promise(wait => setTimeout(wait, 10))
  t.ok(open() <= before, `${open() - before} descriptors more`)
})

t.test('what is asked for in the wrong way', needsRoot, async t => {
  const group = await Cgroup.open('/')
  for (const [options, option] of [
    [{ onyl: ['cpu'] }, 'stats.onyl'],
    [{ only: 'cpu' }, 'stats.only'],
    [{ only: ['cpu', 'ram'] }, 'stats.only'],
    [null, 'stats'],
  ] as const)
    await t.rejects(group.stats(options as never), { code: 'ERR_INVALID_OPTION', option })
  t.throws(() => new StatsReader({ descriptors: -1 }), /stats.descriptors/)
  t.ok(readFileSync('/proc/self/cgroup'))
  t.ok((await group.stats()).time > 0, 'the topmost group has figures too')
})

t.test('no group is left', needsRoot, async t => t.same(groupsLeft(), []))
