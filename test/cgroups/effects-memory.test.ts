import { readFileSync } from 'node:fs'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  figure,
  groupsLeft,
  hog,
  inside,
  needsController,
  parentGroup,
  versionOf,
} from '../support/cgroups.js'
import { until } from '../support/index.js'

const { Cgroup } = cgroups
const needs = needsController('memory')
const version = cgroups
  .layoutNow()
  .hierarchies.find(({ controllers }) => controllers.includes('memory'))?.version
const needsVersion = (wanted: 1 | 2) =>
  needs.skip !== undefined || version === wanted
    ? needs
    : { skip: `memory is version ${version} here` }

const killed = (group: cgroups.Cgroup) =>
  figure(group, version === 2 ? 'memory.events' : 'memory.oom_control', 'oom_kill')

// Where the machine has swap, it would only put off the end.
const noSwap = /^SwapTotal: +0 kB$/m.test(readFileSync('/proc/meminfo', 'latin1'))
  ? {}
  : { swap: 0 }

t.test('who allocates past max is killed, and others are not', needs, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/a`, {
    limits: { memory: { max: '16MiB', ...noSwap } },
  })
  t.match(await (await inside(t, group, hog(4))).exited, { exitCode: 0, stdout: 'survived\n' })
  t.equal(await killed(group), 0)
  t.match(await (await inside(t, group, hog(32))).exited, { signal: 'SIGKILL', stdout: '' })
  t.equal(await killed(group), 1)
  const other = await Cgroup.create(`${parent.path}/b`)
  t.match(await (await inside(t, other, hog(32))).exited, { exitCode: 0 })
})

t.test('a limit that is raised, and taken away', needs, async t => {
  const group = await parentGroup(t, { limits: { memory: { max: '16MiB', ...noSwap } } })
  await group.set({ memory: '128MiB' })
  t.match(await (await inside(t, group, hog(32))).exited, { exitCode: 0 })
  await group.set({ memory: { max: '16MiB' } })
  t.match(await (await inside(t, group, hog(32))).exited, { signal: 'SIGKILL' })
  await group.set({ memory: { max: 'max', ...('swap' in noSwap ? { swap: 'max' } : {}) } })
  t.match(await (await inside(t, group, hog(32))).exited, { exitCode: 0 })
  t.equal((await group.limits()).memory?.max, 'max')
})

t.test('a limit below usage', needs, async t => {
  const group = await parentGroup(t, {
    limits: { memory: { max: '128MiB', ...noSwap }, pids: 'max' },
  })
  const running = await inside(t, group, hog(32, 'print "there\\n"; sleep 60'))
  await until(() => running.printed() === 'there\n')
  const before = await group.limits()
  await t.rejects(group.set({ memory: { max: '16MiB', checkBeforeUpdate: true }, pids: 7 }), {
    code: 'EBUSY',
    controller: 'memory',
    option: 'limits.memory.max',
    hint: String,
  })
  t.same(await group.limits(), before)
  if (versionOf(group, 'memory') === 1) {
    // Version 1 refuses by itself, and what was set before it is set back.
    await t.rejects(group.set({ cpu: { weight: 7 }, memory: '16MiB' }), {
      code: 'EBUSY',
      controller: 'memory',
      path: /memory\.limit_in_bytes$/,
      hint: /uses more/,
    })
    t.same(await group.limits(), before)
    t.equal((await group.processes()).length, 1)
  } else {
    await group.set({ memory: '16MiB' })
    t.match(await running.exited, { signal: 'SIGKILL' })
  }
})

t.test('version 1 without the killer waits, until there is more', needsVersion(1), async t => {
  const group = await parentGroup(t, {
    limits: { memory: { max: '16MiB', disableOomKiller: true, ...noSwap } },
  })
  const running = await inside(t, group, hog(32))
  const underOom = async () => (await figure(group, 'memory.oom_control', 'under_oom')) === 1
  for (let i = 0; !(await underOom()) && i < 500; i++) await new Promise(r => setTimeout(r, 10))
  t.equal(await underOom(), true)
  t.equal(running.printed(), '')
  await group.set({ memory: '128MiB' })
  t.match(await running.exited, { exitCode: 0, stdout: 'survived\n' })
})

t.test('version 1 holds the buffers of TCP back', needsVersion(1), async t => {
  // What goes into connections that nobody reads from, in MiB.
  const fill = `use Socket; use Fcntl;
    socket(my $l, PF_INET, SOCK_STREAM, 0); bind($l, sockaddr_in(0, INADDR_LOOPBACK)); listen($l, 99);
    my $sum = 0; my @keep;
    for (1 .. 12) {
      socket(my $c, PF_INET, SOCK_STREAM, 0);
      connect($c, getsockname($l)); accept(my $a, $l); push @keep, $c, $a;
      fcntl($c, F_SETFL, O_NONBLOCK);
      for (1 .. 500) { my $n = syswrite($c, "x" x 65536); last unless $n; $sum += $n }
    }
    print $sum >> 20`
  const amount = async (limits: cgroups.Limits) => {
    const group = await parentGroup(t, { limits })
    return Number((await (await inside(t, group, ['perl', '-e', fill])).exited).stdout)
  }
  const free = await amount({})
  const held = await amount({ memory: { kernelTcp: '2MiB' } })
  t.ok(held < free / 2, `${held} MiB of ${free}`)
})

t.test('version 1 says what its kernel does not heed', needsVersion(1), async t => {
  const group = await parentGroup(t)
  await group.set({ memory: { kernel: '8MiB' } }).then(
    async () => t.equal((await group.limits()).memory?.kernel, 8_388_608),
    error => t.match(error, { code: 'ERR_UNSUPPORTED', option: 'limits.memory.kernel' }),
  )
})

t.test('beyond high the group is slowed down and not killed', needsVersion(2), async t => {
  const slow = await parentGroup(t, { limits: { memory: { high: '8MiB', ...noSwap } } })
  const free = await parentGroup(t)
  const begin = performance.now()
  await (await inside(t, free, hog(32))).exited
  const taken = performance.now() - begin
  const running = await inside(t, slow, hog(32))
  await new Promise(resolve => setTimeout(resolve, 3 * taken + 500))
  t.equal(running.printed(), '')
  t.ok((await figure(slow, 'memory.events', 'high')) > 0)
  t.equal(await killed(slow), 0)
  await slow.set({ memory: { high: 'max' } })
  t.match(await running.exited, { exitCode: 0, stdout: 'survived\n' })
})

t.test('all of a group are killed together, or one alone', needsVersion(2), async t => {
  for (const oomGroup of [true, false]) {
    const group = await parentGroup(t, {
      limits: { memory: { max: '16MiB', oomGroup, ...noSwap } },
    })
    const bystander = await inside(t, group, ['sleep', '60'])
    t.match(await (await inside(t, group, hog(32))).exited, { signal: 'SIGKILL' })
    if (oomGroup) t.match(await bystander.exited, { signal: 'SIGKILL' })
    else t.same(await group.processes(), [bystander.pid])
  }
})

t.test('no group is left', async t => t.same(groupsLeft(), []))
