// Containers with a control group: who is in it, from when to when, and what it holds them to.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, Container, cgroups, mounts, overlay } from 'cofferdam'
import t from 'tap'
import {
  controlling,
  foldersAt,
  groupsOf,
  needsController,
  parentGroup,
  placeOf,
  programIn,
} from '../support/cgroups.js'
import { needsRoot, overHost, rememberTraces, run, runIn, shell } from '../support/index.js'

const nothingLeft = await rememberTraces()

/** Whether a process has not ended, whoever is to wait for it. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

const everywhere = (path: string) => controlling.map(() => path)

t.test('limits({}) gives a container a group, and nothing else does', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  t.equal(box.cgroup?.path, placeOf(box.id))
  t.equal(foldersAt(placeOf(box.id)).length, controlling.length)
  t.same(groupsOf(box.pid as number), everywhere(placeOf(box.id)), 'init is in it')
  await box.delete()
  t.same(foldersAt(placeOf(box.id)), [], 'which goes with it')

  await using other = await overHost().create()
  t.equal(other.cgroup, undefined)
  t.same(groupsOf(other.pid as number), groupsOf(process.pid))
  for (const ask of ['pause', 'resume', 'stats'] as const)
    await t.rejects(async () => await other[ask](), { code: 'ERR_STATE', hint: /limits\(\{\}\)/ })
  await t.rejects(other.update({ pids: 3 }), { code: 'ERR_STATE', hint: /limits\(\{\}\)/ })
})

t.test('a program is in it from its first instruction on', needsRoot, async t => {
  // What it reads of itself first of all, in the host's cgroup namespace.
  const builder = overHost().isolate('mount', 'pid', 'uts', 'ipc', 'network').limits({})
  await using box = await builder.create()
  const { stdout } = await runIn(box, ['cat', '/proc/self/cgroup'])
  const paths = stdout
    .trim()
    .split('\n')
    .filter(line => !line.includes('name='))
  for (const line of paths) t.match(line, new RegExp(`:${placeOf(box.id)}$`))
  t.equal(paths.length, controlling.length)
})

t.test('and so are those that it makes, and those of exec()', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  const main = await box.start(['sh', '-c', 'sleep 1000 & sleep 1000 & echo ok; wait'])
  for await (const _ of main.stdout.lines()) break
  const other = await box.exec(['sleep', '1000'])
  const all = (await box.processes()).map(({ pid }) => pid)
  t.equal(all.length, 4)
  t.ok(all.includes(other.pid))
  for (const pid of all) t.same(groupsOf(pid), everywhere(placeOf(box.id)))
  t.same((await box.cgroup?.processes())?.sort(), all.sort())
  const before = await box.exec(['cat', '/proc/self/cgroup'])
  const said = (await before.stdout.text()) ?? ''
  t.match(said, /:\/$/m, 'which in the cgroup namespace is the topmost')
  t.notMatch(said, /cofferdam/)
})

t.test('its cgroup namespace shows the group as the topmost', needsRoot, async t => {
  const builder = overHost().limits({}).mount(mounts.cgroup('/sys/fs/cgroup'))
  const said = await shell(
    builder,
    'cat /proc/self/cgroup; cat $(find /sys/fs/cgroup -name cgroup.procs)',
  )
  for (const line of said.split('\n').filter(line => /^\d+:/.test(line) && !line.includes('name=')))
    t.match(line, /:\/$/)
  await using box = await builder.create()
  const { stdout, stderr } = await runIn(box, [
    'sh',
    '-c',
    'cd /sys/fs/cgroup; ls -d cofferdam */cofferdam; for d in . *; do test -e $d/tasks -o -e $d/cgroup.procs && mkdir $d/x; done; true',
  ])
  t.equal(stdout, '')
  t.match(stderr, /Read-only file system/)
})

t.test('hooks that run inside are in it', needsRoot, async t => {
  const tell = { path: '/bin/sh', args: ['sh', '-c', 'cat /proc/self/cgroup >&2; exit 3'] }
  for (const point of ['createContainer', 'startContainer'] as const) {
    await t.rejects(
      async () => {
        await using box = await overHost()
          .isolate('mount', 'pid')
          .limits({})
          .hooks({ [point]: tell })
          .create()
        await box.start(['true'])
      },
      { code: 'ERR_HOOK', message: /:\/(cofferdam\/|system\.slice\/cofferdam-)[0-9a-f]{12}/ },
      point,
    )
  }
})

t.test('pids: a fork bomb is stopped', needsController('pids'), async t => {
  await using box = await overHost().limits({ pids: 8 }).create()
  const script = 'i=0; while [ $i -lt 30 ]; do sleep 1000 & i=$((i+1)); done; echo all'
  const { stdout, stderr } = await runIn(box, ['sh', '-c', script])
  t.notMatch(stdout, /all/)
  t.match(stderr, /[Cc]annot fork|Resource temporarily/)
})

t.test('memory: who takes more is killed', needsController('memory'), async t => {
  await using box = await overHost()
    .limits({ memory: { max: '32MiB', swap: 0 } })
    .create()
  const main = await box.start(['tail', '/dev/zero'], { stdio: 'ignore' })
  t.same(await main.exited, { exitCode: null, signal: 'SIGKILL' })
  const { memory } = await box.stats()
  t.equal(memory?.oomKills, 1)
})

t.test(
  'update() changes what holds, and nothing else',
  needsController('memory', 'pids'),
  async t => {
    await using box = await overHost().limits({ memory: '64MiB', pids: 50 }).create()
    const main = await box.start(['sh', '-c', 'read go; exec tail /dev/zero'])
    await box.update({ memory: { max: '24MiB' } })
    const limits = await box.cgroup?.limits()
    t.match(limits, { memory: { max: 24 * 2 ** 20 }, pids: 50 })
    await t.rejects(box.update({ memory: -1 }), {
      code: 'ERR_INVALID_OPTION',
      option: /^update\.memory/,
    })
    await t.rejects(box.update({ nonsense: 1 } as object), {
      code: 'ERR_INVALID_OPTION',
      option: 'update.nonsense',
    })
    main.stdin.end('\n')
    t.match(await main.exited, { signal: 'SIGKILL' })
  },
)

t.test('what is wrong is refused before anything is done', needsRoot, async t => {
  const builder = () => overHost('groups-invalid')
  t.throws(() => builder().limits({ pids: 'many' } as object), /limits\.pids/)
  t.throws(() => builder().limits({}, { optionl: true } as object), /limits\.optionl/)
  t.throws(() => builder().cgroup({ path: '/a', parent: '/b' }), /cgroup\.parent/)
  t.throws(() => builder().cgroup({ manager: 'me' } as object), /cgroup\.manager/)
  t.throws(() => builder().cgroup({ manager: 'cgroupfs', slice: 'a.slice' }), /cgroup\.slice/)
  t.throws(() => builder().cgroup({ delegate: 1 } as object), /cgroup\.delegate/)
  t.throws(() => builder().devices([{ allow: 1 }] as never), /devices\[0\]/)
  for (const path of ['/a/../b', '/', '/x//y', '/cgroup.procs'])
    await t.rejects(builder().cgroup({ path }).create(), {
      code: 'ERR_INVALID_OPTION',
      option: 'cgroup.path',
    })
  await t.rejects(
    builder()
      .cgroup({ controllers: ['none'] })
      .create(),
    {
      code: 'ERR_UNSUPPORTED',
    },
  )
  t.same(foldersAt(placeOf('groups-invalid')), [])
  t.notOk(existsSync('/run/cofferdam/groups-invalid'))
})

t.test('a group that is there already is nobody’s to take', needsRoot, async t => {
  const parent = await parentGroup(t)
  const theirs = await cgroups.Cgroup.create(`${parent.path}/theirs`)
  const builder = overHost().cgroup({ path: theirs.path })
  await t.rejects(builder.create(), { code: 'EEXIST' })
  t.equal(foldersAt(theirs.path).length, theirs.folders.length, 'it is still there')
})

t.test('path and parent say where it is', needsRoot, async t => {
  const parent = await parentGroup(t)
  await using one = await overHost()
    .cgroup({ path: `${parent.path}/here` })
    .create()
  t.same(groupsOf(one.pid as number), everywhere(`${parent.path}/here`))
  await using two = await overHost().cgroup({ parent: parent.path }).create()
  t.same(groupsOf(two.pid as number), everywhere(`${parent.path}/${two.id}`))
  const name = `cofferdam-test-${process.pid}-top`
  await using top = await overHost(name).cgroup({ parent: '/' }).create()
  t.equal(top.cgroup?.path, `/${name}`)
})

t.test('memory that is too little for init is said to be', needsController('memory'), async t => {
  await t.rejects(
    overHost('groups-little')
      .limits({ memory: { max: 4096, swap: 0 } })
      .create(),
    // Of version 2, controllers that are handed on to the group below take memory themselves.
    { code: /^(ERR_INIT_DIED|ENOMEM)$/, hint: /limits\.memory is too little/ },
  )
  t.same(foldersAt('/cofferdam/groups-little'), [])
})

t.test('optional limits are left out where they can not be had', needsRoot, async t => {
  const builder = overHost()
    .cgroup({ controllers: ['none'] })
    .limits({}, { optional: true })
  await using box = await builder.create()
  t.equal(box.cgroup, undefined)
  t.match(box.omitted, [{ step: 'control group', error: { code: 'ERR_UNSUPPORTED' } }])
  t.match(await runIn(box, ['true']), { exitCode: 0 })
})

/** Paused, a process counts no further. */
const counting = ['sh', '-c', 'while :; do echo; done']

async function grows(box: Box): Promise<boolean> {
  const usage = async () => (await box.stats()).cpu?.usage ?? 0
  const before = await usage()
  await sleep(100)
  return (await usage()) > before
}

t.test('pause() and resume()', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  await t.rejects(box.pause(), { code: 'ERR_STATE' }, 'nothing runs yet')
  await box.start(counting, { stdio: 'ignore' })
  await t.rejects(box.resume(), { code: 'ERR_STATE' }, 'nothing is paused')
  t.ok(await grows(box))
  await box.pause()
  t.equal(box.status, 'paused')
  t.notOk(await grows(box))
  await t.rejects(box.pause(), { code: 'ERR_STATE', message: /is paused/ })
  await t.rejects(box.exec(['true']), { code: 'ERR_STATE', message: /is paused/ })
  await box.update({ pids: 100 })
  await box.resume()
  t.equal(box.status, 'running')
  t.ok(await grows(box))
  t.match(await (await box.exec(['true'])).exited, { exitCode: 0 })
})

t.test('pause() while it starts waits for nothing and stops nothing', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  const starting = box.start(counting, { stdio: 'ignore' })
  await t.rejects(box.pause(), { code: 'ERR_STATE', message: /is (created|starting)/ })
  await starting
  await box.pause()
  t.equal(box.status, 'paused')
})

for (const [how, end] of [
  ['kill()', (box: Box) => box.kill('SIGKILL')],
  ['kill() of all', (box: Box) => box.kill('SIGKILL', { all: true })],
  ['stop()', (box: Box) => box.stop({ timeout: 100 })],
  ['delete()', (box: Box) => box.delete()],
] as const)
  t.test(`${how} of one that is paused ends it`, needsRoot, async t => {
    await using box = await overHost().limits({}).create()
    const main = await box.start(counting, { stdio: 'ignore' })
    await box.pause()
    await end(box)
    t.same(await main.exited, { exitCode: null, signal: 'SIGKILL' })
    if (how !== 'delete()') t.equal(box.status, 'stopped')
  })

t.test('a signal for one that is paused comes when it goes on', needsRoot, async t => {
  await using box = await overHost().limits({}).create()
  const script = 'trap "exit 7" TERM; echo; while :; do sleep 0.01; done'
  const main = await box.start(['sh', '-c', script])
  for await (const _ of main.stdout.lines()) break
  await box.pause()
  await box.kill('SIGTERM')
  await sleep(50)
  t.equal(box.status, 'paused')
  await box.resume()
  t.same(await main.exited, { exitCode: 7, signal: null })
  t.ok((await box.stats()).cpu !== undefined, 'what it has used is told after its end too')
})

t.test('without a PID namespace delete() ends all that is in the group', needsRoot, async t => {
  const builder = overHost().isolate('mount').limits({})
  await using box = await builder.create()
  const main = await box.start(['sh', '-c', 'setsid sleep 1000 & setsid sleep 1000 & echo; wait'])
  for await (const _ of main.stdout.lines()) break
  const all = await box.processes()
  t.equal(all.length, 3, 'of which processes() tells')
  await box.kill('SIGKILL')
  await main.exited
  t.equal((await box.processes()).length, 2, 'also when the first has gone')
  await box.delete()
  for (const { pid } of all) t.notOk(isAlive(pid))
})

t.test('without a PID namespace kill() reaches all', needsRoot, async t => {
  await using box = await overHost().isolate('mount').limits({}).create()
  const script = 'trap "echo got; exit 0" USR1; echo; while :; do sleep 0.01; done'
  const main = await box.start(['sh', '-c', `sh -c '${script}' & ${script}`])
  const lines: string[] = []
  for await (const line of main.stdout.lines()) {
    lines.push(line)
    if (lines.length === 2) await box.kill('SIGUSR1', { all: true })
  }
  t.equal(lines.filter(line => line === 'got').length, 2)
})

t.test(
  'a delegated container makes groups, and keeps to its limits',
  needsController('memory'),
  async t => {
    const builder = overHost()
      .limits({ memory: '64MiB', pids: 40 })
      .cgroup({ delegate: true })
      .mount(mounts.cgroup('/sys/fs/cgroup', { readonly: false }))
    await using box = await builder.create()
    const inside = join('/sys/fs/cgroup', ...(controlling.length > 1 ? ['pids'] : []))
    t.same(groupsOf(box.pid as number), everywhere(`${box.cgroup?.path}/container`))
    const { stdout, stderr, exitCode } = await runIn(box, [
      'sh',
      '-ec',
      `cd ${inside}; mkdir -p own/deeper; echo $$ > own/cgroup.procs; cat /proc/self/cgroup; (echo 10000 > pids.max) || true`,
    ])
    t.equal(exitCode, 0, stderr)
    t.match(stdout, /:\/own$/m)
    t.match(
      await box.cgroup?.limits(),
      { memory: { max: 64 * 2 ** 20 }, pids: 40 },
      'whatever it writes to its own',
    )
  },
)

t.test('delete() of one that has made groups', needsController('pids'), async t => {
  const builder = overHost()
    .cgroup({ delegate: true })
    .mount(mounts.cgroup('/sys/fs/cgroup', { readonly: false }))
  await using box = await builder.create()
  const inside = join('/sys/fs/cgroup', ...(controlling.length > 1 ? ['pids'] : []))
  const main = await box.start([
    'sh',
    '-ec',
    `cd ${inside}; mkdir -p own/deeper; echo $$ > own/deeper/cgroup.procs; echo; sleep 1000`,
  ])
  for await (const _ of main.stdout.lines()) break
  t.match(await (await box.exec(['true'])).exited, { exitCode: 0 })
  await box.delete()
  t.same(foldersAt(placeOf(box.id)), [])
})

t.test(
  'devices: the default list, and what is added to it',
  needsController('devices'),
  async t => {
    // A block device and one that is none of the default's, made where device files work.
    const script =
      'mknod /b b 7 0 && mknod /c c 10 229 && mknod /null c 1 3; cat /null; head -c1 /b; true < /c'
    const of = async (builder: Container) => await run(builder, ['sh', '-c', script])
    const root = overlay({ lower: ['/'] })
    const usual = await of(new Container().rootfs(root, { nodev: false }).limits({}))
    t.match(usual.stderr, /\/b.*not permitted/)
    t.match(usual.stderr, /\/c.*not permitted/)
    t.notMatch(usual.stderr, /null/)
    const added = await of(overHost().devices([{ allow: true, type: 'b', major: 7, access: 'r' }]))
    t.notMatch(added.stderr, /\/b.*not permitted/)
    t.match(added.stderr, /\/c.*not permitted/)
    const all = await of(overHost().devices(['a *:* rwm']))
    t.notMatch(all.stderr, /not permitted/)
  },
)

t.test(
  'where groups are read-only, what fails names controller, file and remedy',
  needsController('pids'),
  async t => {
    const [exec, remove, stats, removed, again] = await programIn(
      {},
      `const { Container, overlay } = await import('cofferdam')
     const folders = cgroups.layoutNow().hierarchies.map(({ mountPoint }) => mountPoint)
     const all = how => folders.forEach(each => execFileSync('mount', ['-o', 'remount,bind,' + how, each]))
     const builder = new Container().rootfs(overlay({ lower: ['/'] })).limits({ pids: 9 })
     const box = await builder.cgroup({ manager: 'cgroupfs' }).create()
     await box.start(['sleep', '60'], { stdio: 'ignore' })
     all('ro')
     say(await failing(box.exec(['true'])))
     say(await failing(box.delete()))
     say((await box.stats()).pids.limit)
     all('rw')
     say(await failing(box.delete()))
     say(await failing(box.cgroup.children()))`,
    )
    const readOnly = { code: 'EROFS', controller: 'cgroup', hint: /mounted read-only/ }
    // Version 2 alone makes a process in a group without a write to a file.
    if (controlling.some(({ version }) => version === 1))
      t.match(exec, { ...readOnly, path: /\/tasks$/ })
    t.match(remove, {
      ...readOnly,
      path: /^\/sys/,
      message: /^undo of control group failed: cgroup: rmdir/,
    })
    t.equal(stats, 9)
    t.equal(removed, 'nothing failed', 'what failed can be tried again')
    t.match(again, { code: 'ENOENT', controller: 'cgroup', hint: /removed/ })
  },
)

const memory = controlling.find(({ controllers }) => controllers.includes('memory'))
const needsOldMemory =
  memory?.version === 1 ? needsController('memory') : { skip: 'memory is not of version 1 here' }

t.test('a limit that this host has not is named as told', needsOldMemory, async t => {
  const builder = overHost().limits({ memory: { high: '9MiB' } })
  await t.rejects(builder.create(), {
    code: 'ERR_UNSUPPORTED',
    option: 'limits.memory.high',
    message: /^limits\.memory\.high: /,
    hint: /softLimit/,
  })
})

t.test('the group that others are made below by default is no container’s', needsRoot, async t => {
  const refused = { code: 'ERR_INVALID_OPTION', message: /'\/cofferdam\/NAME' can be made/ }
  await t.rejects(overHost().cgroup({ path: '/cofferdam' }).create(), {
    ...refused,
    option: 'cgroup.path',
  })
  await t.rejects(cgroups.Cgroup.create('/cofferdam'), { ...refused, option: 'path' })
  await t.resolves(run(overHost().cgroup({ parent: '/cofferdam' }), ['true']))
})

t.test('explain() shows the group', needsRoot, async t => {
  const text = overHost('demo').limits({ pids: 64 }).explain()
  t.match(text, /<group>|<leaf>/)
  if (cgroups.defaultManager() === 'cgroupfs') t.match(text, /pids\.max/)
  t.notMatch(text, /unless *$/m)
  t.match(text, /CLONE_INTO_CGROUP|enter groups/)
})

t.test('nothing is left', nothingLeft)
