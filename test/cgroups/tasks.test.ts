// Processes and threads of groups; groups of groups.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
  script,
} from '../support/cgroups.js'
import { needsRoot } from '../support/index.js'

const { Cgroup } = cgroups
const groupsOf = (pid: number) => readFileSync(`/proc/${pid}/cgroup`, 'utf8')
const legacy = cgroups.layoutNow().hierarchies.filter(({ version }) => version === 1)
const cpuset = legacy.find(({ controllers }) => controllers.includes('cpuset'))
const needsLegacyCpuset =
  cpuset === undefined ? { skip: 'this kernel has no cpuset of version 1 mounted' } : needsRoot

/** A program with several threads. */
async function threaded(t: { teardown(end: () => unknown): unknown }) {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  await once(child.stdout, 'data')
  const pid = child.pid as number
  const tids = readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .filter(tid => tid !== pid)
  return { pid, tid: tids[0] as number, count: tids.length + 1 }
}

t.test('a process in all hierarchies or in none', needsLegacyCpuset, async t => {
  const parent = await parentGroup(t)
  // As others make one: without processors, and so without room for a process.
  const path = `${parent.path}/raw`
  const folders = parent.folders.map(folder => join(folder.path, 'raw'))
  for (const folder of folders) mkdirSync(folder)
  const group = await Cgroup.open(path)
  t.equal(group.folders.length, folders.length)
  const child = await script(t, 'read x')
  const before = groupsOf(child.pid)
  await t.rejects(group.add(child.pid), {
    code: 'ENOSPC',
    controller: 'cgroup',
    path: join(cpuset?.mountPoint as string, path, 'cgroup.procs'),
    hint: /cpuset.cpus/,
  })
  t.equal(groupsOf(child.pid), before)
  for (const folder of folders) rmdirSync(folder)
})

t.test('a group that hands on controllers takes no process', needsUnified, async t => {
  const here = cgroups.layoutNow().hierarchies.at(-1)
  const domain = here?.controllers.find(name => !['cpu', 'cpuset', 'pids'].includes(name))
  if (domain === undefined) return t.pass('all its controllers take threads')
  const group = await parentGroup(t)
  await Cgroup.create(`${group.path}/below`, { controllers: [domain] })
  const child = await script(t, 'read x')
  const before = groupsOf(child.pid)
  await t.rejects(group.add(child.pid), { code: 'EBUSY', hint: /group below it/ })
  t.equal(groupsOf(child.pid), before)

  const busy = await parentGroup(t, { controllers: [] })
  await busy.add(child.pid)
  const name = `${busy.path}/below`
  await t.rejects(Cgroup.create(name, { controllers: [domain] }), {
    code: 'EBUSY',
    controller: domain,
    path: /cgroup.subtree_control$/,
    hint: /no processes of its own/,
  })
  await t.rejects(Cgroup.open(name), { code: 'ENOENT' })
})

t.test('who is no process, or has ended', needsRoot, async t => {
  const group = await parentGroup(t)
  for (const pid of [0, -1, 1.5, 2 ** 31, '1', undefined, Number.NaN])
    await t.rejects(group.add(pid as number), { code: 'ERR_INVALID_OPTION', option: 'pid' })
  await t.rejects(group.addThread(0), { code: 'ERR_INVALID_OPTION', option: 'tid' })
  await t.rejects(group.add(2 ** 22 + 1), { code: 'ESRCH' })
  // The kernel's own stay where they are.
  await t.rejects(group.add(2), { code: 'EINVAL', hint: /kernel thread/ })
  t.same(await group.processes(), [])
})

t.test('many at once, of other programs', needsRoot, async t => {
  const group = await parentGroup(t)
  const children = await Promise.all(Array.from({ length: 8 }, () => script(t, 'read x')))
  await Promise.all(children.map(child => group.add(child.pid)))
  t.same(
    await group.processes(),
    children.map(child => child.pid).sort((a, b) => a - b),
  )
})

t.test('version 1: single threads, each where it likes', needsLegacyCpuset, async t => {
  const group = await parentGroup(t)
  const { pid, tid, count } = await threaded(t)
  const legacyOnly = { path: group.path, folders: group.folders.filter(each => each.version === 1) }
  await group.addThread(tid)
  for (const { path } of legacyOnly.folders)
    t.equal(readFileSync(join(path, 'tasks'), 'utf8'), `${tid}\n`)
  t.same(await group.threads(), [tid])
  await group.add(pid)
  t.equal((await group.threads()).length >= count, true)
})

t.test('version 2: threads in groups of threads', needsUnified, async t => {
  const domain = await parentGroup(t, { controllers: [] })
  const { pid, tid } = await threaded(t)
  await domain.add(pid)
  const plain = await Cgroup.create(`${domain.path}/plain`, { controllers: [] })
  await t.rejects(plain.addThread(tid), { code: 'EOPNOTSUPP', hint: /threaded: true/ })
  await plain.delete()
  const group = await Cgroup.create(`${domain.path}/threads`, { controllers: [], threaded: true })
  t.equal((await group.read('cgroup.type')).trim(), 'threaded')
  t.equal((await domain.read('cgroup.type')).trim(), 'domain threaded')
  await group.addThread(tid)
  t.same(await group.threads(), [tid])
  t.notOk((await domain.threads()).includes(tid))
  t.same(await domain.processes(), [pid], 'the process is still the domain’s')
  const stranger = await threaded(t)
  await t.rejects(group.addThread(stranger.tid), { code: 'EOPNOTSUPP' })
  await domain.kill()
})

t.test(
  'threads below a group that hands on memory: refused, and not made',
  needsUnified,
  async t => {
    const here = cgroups.layoutNow().hierarchies.at(-1)
    const domain = here?.controllers.find(name => !['cpu', 'cpuset', 'pids'].includes(name))
    if (domain === undefined) return t.pass('all its controllers take threads')
    const group = await parentGroup(t, { controllers: [domain] })
    await Cgroup.create(`${group.path}/domain`, { controllers: [domain] })
    const name = `${group.path}/threads`
    await t.rejects(Cgroup.create(name, { controllers: [], threaded: true }), {
      code: 'EOPNOTSUPP',
      path: /cgroup.type$/,
    })
    await t.rejects(Cgroup.open(name), { code: 'ENOENT' })
  },
)

t.test('children, and all below', needsRoot, async t => {
  const group = await parentGroup(t)
  for (const name of ['b', 'a/x/y', 'a/z']) await Cgroup.create(`${group.path}/${name}`)
  const names = (all: cgroups.Cgroup[]) => all.map(({ path }) => path.slice(group.path.length + 1))
  t.same(names(await group.children()), ['a', 'b'])
  const all: cgroups.Cgroup[] = []
  for await (const each of group.walk()) all.push(each)
  t.same(names(all), ['a', 'a/x', 'a/x/y', 'a/z', 'b'])
  for (const each of all) t.same(each, await Cgroup.open(each.path))
  await (await Cgroup.open(`${group.path}/a`)).delete()
  t.same(names(await group.children()), ['b'])
})

t.test('a file that has no method', needsController('pids'), async t => {
  const group = await parentGroup(t, { controllers: ['pids'] })
  await group.write('pids.max', '17')
  t.equal(await group.read('pids.max'), '17\n')
  await t.rejects(group.write('pids.max', 'many'), {
    code: 'EINVAL',
    controller: 'pids',
    path: /pids.max$/,
    message: /"many" to/,
  })
  await t.rejects(group.read('pids.no-such'), { code: 'ENOENT', controller: 'pids' })
  await t.rejects(group.write('pids.no-such', '1'), { code: 'ENOENT', controller: 'pids' })
  for (const file of ['../x', 'a/b', '', '.', '..', 'a\0', 5])
    await t.rejects(group.read(file as string), { code: 'ERR_INVALID_OPTION', option: 'file' })
  await t.rejects(group.write('pids.max', 5 as never), {
    code: 'ERR_INVALID_OPTION',
    option: 'value',
  })
})

t.test('no group is left', needsRoot, async t => t.same(groupsLeft(), []))
