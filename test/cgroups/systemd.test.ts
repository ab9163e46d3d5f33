// Groups that systemd makes, and what it knows of them. Its own programs are the oracle.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CofferdamError, cgroups } from 'cofferdam'
import t from 'tap'
import { rememberTraces } from '../support/index.js'

const { Cgroup, defaultManager, folderOf, unifiedOf } = cgroups
const needsSystemd =
  defaultManager() === 'systemd' ? {} : { skip: 'systemd does not run here, or is not root' }
const nothingLeft = await rememberTraces()

let count = 0
const unitOf = () => `cofferdam-test-${process.pid}-${count++}.scope`

/** What systemctl shows of a unit. */
function show(unit: string, ...names: string[]): Record<string, string> {
  const text = execFileSync('systemctl', ['show', unit, ...names.map(name => `--property=${name}`)])
  return Object.fromEntries(
    text
      .toString()
      .trim()
      .split('\n')
      .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

const inGroup = (pid: number) => /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]

t.test('a scope of its own, delegated, and gone when it is deleted', needsSystemd, async t => {
  const unit = unitOf()
  const group = await Cgroup.create(unit)
  t.teardown(() => group.delete())
  t.equal(group.manager, 'systemd')
  t.equal(group.unit, unit)
  const shown = show(unit, 'ActiveState', 'Delegate', 'ControlGroup', 'Slice', 'Transient')
  t.same(shown, {
    ActiveState: 'active',
    Delegate: 'yes',
    ControlGroup: `/system.slice/${unit}`,
    Slice: 'system.slice',
    Transient: 'yes',
  })
  t.equal(group.path, `${shown.ControlGroup}/container`)
  t.same(await group.processes(), [], 'nobody is in it')

  const child = spawn('sleep', ['100'])
  await group.add(child.pid as number)
  t.equal(inGroup(child.pid as number), group.path)
  t.match(execFileSync('systemd-cgls', ['--unit', unit]).toString(), /sleep 100/)
  t.same(await group.processes(), [child.pid])
  const again = await Cgroup.open(group.path)
  t.same(again.folders, group.folders)
  t.equal(again.unit, unit, 'another program knows it by its path')
  t.same((await Cgroup.open(unit)).folders, group.folders, 'or by its name')
  await t.rejects(again.delete({ kill: false }), { code: 'EBUSY' })

  const ended = once(child, 'exit')
  await again.delete()
  t.equal((await ended)[1], 'SIGKILL')
  t.equal(show(unit, 'LoadState').LoadState, 'not-found')
  t.notOk(existsSync(join('/sys/fs/cgroup/system.slice', unit)))
  await t.rejects(Cgroup.open(unit), { code: 'ENOENT' })
})

t.test('it stays when its last process has ended', needsSystemd, async t => {
  const group = await Cgroup.create(unitOf())
  t.teardown(() => group.delete())
  const child = spawn('sleep', ['100'])
  await group.add(child.pid as number)
  const ended = once(child, 'exit')
  await group.kill()
  await ended
  t.same(await group.processes(), [])
  t.equal(show(group.unit as string, 'ActiveState').ActiveState, 'active')
  const other = spawn('sleep', ['100'])
  const otherEnded = once(other, 'exit')
  await group.add(other.pid as number)
  t.same(await group.processes(), [other.pid])
  await group.freeze()
  t.ok(await group.frozen())
  await group.thaw()
  await group.delete()
  await otherEnded
})

const LIMITS: cgroups.Limits = {
  memory: { max: '256MiB', high: '200MiB', low: '16MiB', min: '8MiB', swap: '32MiB' },
  cpus: 0.5,
  cpu: { weight: 50 },
  cpuset: { cpus: '0', mems: '0' },
  pids: 20,
  io: { weight: 200, devices: [{ device: '/dev/vda', wbps: '10MiB', riops: 500 }] },
}

t.test('limits are properties of the unit, and outlast a reload', needsSystemd, async t => {
  const group = await Cgroup.create(unitOf(), { limits: LIMITS })
  t.teardown(() => group.delete())
  const unit = group.unit as string
  const expected = {
    MemoryMax: `${256 << 20}`,
    MemoryHigh: `${200 << 20}`,
    MemoryLow: `${16 << 20}`,
    MemoryMin: `${8 << 20}`,
    MemorySwapMax: `${32 << 20}`,
    CPUQuotaPerSecUSec: '500ms',
    CPUWeight: '50',
    AllowedCPUs: '0',
    AllowedMemoryNodes: '0',
    TasksMax: '21',
    IOWeight: '200',
    IOWriteBandwidthMax: `/dev/vda ${10 << 20}`,
    IOReadIOPSMax: '/dev/vda 500',
  }
  t.same(show(unit, ...Object.keys(expected)), expected)
  const scope = folderOf(group, 'memory')?.path as string
  const own = unifiedOf(group)?.path as string
  t.equal(own, join(scope, 'container'))
  const file = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8').trim()
  const holds = () => {
    t.equal(file(scope, 'memory.max'), `${256 << 20}`)
    t.equal(file(scope, 'memory.swap.max'), `${32 << 20}`)
    t.equal(file(scope, 'cpu.max'), '50000 100000')
    t.equal(file(scope, 'cpu.weight'), '50')
    t.equal(file(scope, 'cpuset.cpus'), '0')
    t.equal(file(own, 'cpuset.cpus.effective'), '0')
    t.equal(file(own, 'pids.max'), '20')
    t.match(file(scope, 'io.max'), /rbps=max wbps=10485760 riops=500 wiops=max/)
  }
  holds()
  const told = await group.limits()
  t.match(told, {
    memory: { max: 256 << 20, high: 200 << 20, swap: 32 << 20 },
    cpu: { quota: 50_000, period: 100_000, weight: 50 },
    cpuset: { cpus: '0' },
    pids: 20,
  })
  execFileSync('systemctl', ['daemon-reload'])
  holds()
  t.same(await group.limits(), told)

  await group.set({ memory: { max: '64MiB', high: 'max' }, cpu: { quota: 25_000 }, pids: 'max' })
  const names = ['MemoryMax', 'MemoryHigh', 'CPUQuotaPerSecUSec', 'TasksMax']
  const changed = {
    MemoryMax: `${64 << 20}`,
    MemoryHigh: 'infinity',
    CPUQuotaPerSecUSec: '250ms',
    TasksMax: 'infinity',
  }
  t.same(show(unit, ...names), changed)
  execFileSync('systemctl', ['daemon-reload'])
  t.same(show(unit, ...names), changed, 'also after another reload')
  t.equal(file(scope, 'memory.max'), `${64 << 20}`)
  t.equal(file(scope, 'cpu.max'), '25000 100000')
  t.equal(file(own, 'pids.max'), 'max')

  const before = show(unit, ...names)
  await t.rejects(group.set({ memory: '32MiB', raw: { 'memory.nonsense': '1' } }), {
    code: 'ERR_UNSUPPORTED',
  })
  t.same(show(unit, ...names), before)
})

t.test('limits hold', needsSystemd, async t => {
  const group = await Cgroup.create(unitOf(), {
    limits: { memory: { max: '24MiB', swap: 0 }, pids: 5 },
  })
  t.teardown(() => group.delete())
  const script = (code: string) => {
    const child = spawn('sh', ['-c', `read go; ${code}`], { stdio: ['pipe', 'pipe', 'inherit'] })
    return { child, said: child.stdout.toArray(), ended: once(child, 'exit') }
  }
  const forks = script('for i in 1 2 3 4 5 6; do sleep 100 & done 2>/dev/null; echo $i')
  await group.add(forks.child.pid as number)
  forks.child.stdin.end('\n')
  await forks.ended
  t.equal((await group.processes()).length, 4, 'the shell and four more')
  await group.kill()
  const hog = script('exec python3 -c "x = bytearray(60000000)"')
  await group.add(hog.child.pid as number)
  hog.child.stdin.end('\n')
  t.equal((await hog.ended)[1], 'SIGKILL')
  t.match(await group.read('memory.events'), /oom_kill [1-9]/)
  t.equal(show(group.unit as string, 'ActiveState').ActiveState, 'active', 'it is still there')
})

t.test('names, slices and places', needsSystemd, async t => {
  const id = `t${process.pid}`
  const group = await Cgroup.create(`web ${id}`)
  t.teardown(() => group.delete())
  t.equal(group.unit, `cofferdam-web\\x20${id}.scope`)
  await t.rejects(Cgroup.create(`web ${id}`), { code: 'EEXIST', path: group.unit })
  const inSlice = await Cgroup.create(id, { slice: `${id}.slice` })
  t.teardown(() => inSlice.delete())
  t.equal(inSlice.path, `/${id}.slice/cofferdam-${id}.scope/container`)
  const nested = await Cgroup.create(`a-b/${id}`)
  t.teardown(() => nested.delete())
  t.equal(
    nested.path,
    `/cofferdam.slice/cofferdam-a\\x2db.slice/cofferdam-a\\x2db-${id}.scope/container`,
  )
  const folder = await Cgroup.create(`/cofferdam-test-${process.pid}-folder`)
  t.teardown(() => folder.delete())
  t.equal(folder.manager, 'cgroupfs', 'a path is no unit')
  const own = await Cgroup.create(`cofferdam-test-${process.pid}/x`, { manager: 'cgroupfs' })
  t.teardown(() => own.delete())
  t.equal(own.manager, 'cgroupfs')
})

t.test('a slice has limits for what is in it', needsSystemd, async t => {
  const name = `cofferdamtest${process.pid}.slice`
  const slice = await Cgroup.create(name, { limits: { memory: '100MiB', pids: 50 } })
  t.teardown(() => slice.delete())
  t.equal(slice.path, `/${name}`)
  t.same(show(name, 'MemoryMax', 'TasksMax'), { MemoryMax: `${100 << 20}`, TasksMax: '50' })
  t.match(await slice.limits(), { memory: { max: 100 << 20 }, pids: 50 })
  const group = await Cgroup.create(unitOf(), { slice: name })
  t.ok(group.path.startsWith(`/${name}/`))
  const child = spawn('sleep', ['100'])
  await group.add(child.pid as number)
  const ended = once(child, 'exit')
  t.equal((await Cgroup.open(slice.path)).unit, name)
  await slice.delete()
  await ended
  t.equal(show(name, 'ActiveState').ActiveState, 'inactive')
  await group.delete() // it has gone with it
})

t.test('what systemd refuses leaves nothing', needsSystemd, async t => {
  const unit = unitOf()
  // It is a property of no unit that memory is less than nothing; a device that is none is.
  await t.rejects(Cgroup.create(unit, { limits: { raw: { 'memory.max': 'nonsense' } } }), {
    code: 'EINVAL',
    controller: 'memory',
  })
  t.equal(show(unit, 'LoadState').LoadState, 'not-found')
  t.notOk(existsSync(join('/sys/fs/cgroup/system.slice', unit)))
  await t.rejects(Cgroup.create(unit, { controllers: ['net_cls'] }), { code: 'ERR_UNSUPPORTED' })
})

t.test('what can not be is refused before anything is done', async t => {
  const refused = async (path: string, options: object, option: string) => {
    const error = await Cgroup.create(path, options).then(
      () => undefined,
      (error: CofferdamError) => error,
    )
    t.equal(error?.option, option, JSON.stringify([path, options]))
  }
  await refused('x', { manager: 'upstart' }, 'cgroup.manager')
  await refused('/x', { manager: 'systemd' }, 'path')
  await refused('x', { manager: 'systemd', slice: 'x' }, 'cgroup.slice')
  await refused('x', { manager: 'systemd', slice: 'x--y.slice' }, 'cgroup.slice')
  await refused('x', { manager: 'systemd', slice: 7 }, 'cgroup.slice')
  await refused('x.slice', { manager: 'systemd', slice: 'y.slice' }, 'cgroup.slice')
  await refused('y/x', { manager: 'systemd', slice: 'y.slice' }, 'cgroup.slice')
  await refused('x'.repeat(250), { manager: 'systemd' }, 'path')
  await refused('../x', { manager: 'systemd' }, 'path')
  await refused('a b.scope', { manager: 'systemd' }, 'path')
  await refused('x', { manager: 'systemd', threaded: true }, 'cgroup.threaded')
  await refused('x', { manager: 'cgroupfs', slice: 'y.slice' }, 'cgroup.slice')
  if (defaultManager() === 'cgroupfs')
    await t.rejects(Cgroup.create('x', { manager: 'systemd' }), {
      code: 'ERR_UNSUPPORTED',
      option: 'cgroup.manager',
    })
})

t.test('nothing is left behind', nothingLeft)
