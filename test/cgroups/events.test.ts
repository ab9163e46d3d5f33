// What the kernel tells of groups, made to happen.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  foldersAt,
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
  script,
} from '../support/cgroups.js'
import { needsRoot, scratch } from '../support/index.js'

const { Cgroup } = cgroups
type Test = Parameters<typeof parentGroup>[0]

const descriptors = () => readdirSync('/proc/self/fd').length

/** Whether its limits for memory are version 1's. */
const isLegacy = (group: cgroups.Cgroup, controller = 'memory') =>
  cgroups.folderOf(group, controller)?.version === 1
const limit = (group: cgroups.Cgroup, bytes: number) =>
  group.write(isLegacy(group) ? 'memory.limit_in_bytes' : 'memory.max', `${bytes}`)

/** Does something in a group, and resolves with how it ended. */
async function inGroup(t: Test, group: cgroups.Cgroup, body: string) {
  const child = await script(t, `read go; ${body}`)
  await group.add(child.pid)
  const exit = once(child, 'exit')
  child.stdin?.write('\n')
  const [code, signal] = await exit
  return signal ?? code
}
const HOG = 'exec python3 -c "a = bytearray(256 << 20)"'

/** All events until one is of this type. */
async function until(events: cgroups.GroupEvents, type: cgroups.GroupEvent['type']) {
  const told: cgroups.GroupEvent[] = []
  for (;;) {
    const { value } = await events.next()
    if (value === undefined) throw new Error(`it ended after ${JSON.stringify(told)}`)
    told.push(value)
    if (value.type === type) return told
  }
}

t.test('processes come and go, stop and go on, and the group goes', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/states`)
  const events = group.events({ only: ['populated', 'empty', 'frozen', 'thawed'] })
  const next = async () => (await events.next()).value
  const child = await script(t, 'read forever')
  await group.add(child.pid)
  t.same(await next(), { type: 'populated' })
  await group.freeze()
  t.same(await next(), { type: 'frozen' })
  await group.thaw()
  t.same(await next(), { type: 'thawed' })
  child.kill('SIGKILL')
  t.same(await next(), { type: 'empty' })
  const below = await Cgroup.create(`${group.path}/below`)
  const other = await script(t, 'read forever')
  await below.add(other.pid)
  t.same(await next(), { type: 'populated' }, 'of a group below it, too')
  const waiting = until(events, 'deleted')
  await group.delete()
  // Of version 1 alone what is to be ended is stopped first, which may be seen or not.
  const told = (await waiting).filter(({ type }) => type !== 'frozen' && type !== 'thawed')
  t.same(told, [{ type: 'empty' }, { type: 'deleted' }])
  t.equal(await next(), undefined)
})

t.test('what is killed for want of memory', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/oom`)
  await limit(group, 32 << 20)
  await group.write('memory.swap.max', '0').catch(() => undefined)
  t.equal(await inGroup(t, group, HOG), 'SIGKILL')
  // What has happened before is not told of.
  using events = group.events({ only: ['oom', 'oomKill', 'memoryMax'] })
  const told = until(events, 'oomKill')
  t.equal(await inGroup(t, group, HOG), 'SIGKILL')
  const list = await told
  t.same(list.at(-1), { type: 'oomKill', count: 1, total: 2 })
  t.ok(
    list.some(({ type }) => type === 'oom'),
    'that memory has run out comes before it',
  )
  t.ok(list.some(({ type }) => type === 'memoryMax'))
  t.equal((await group.stats()).memory?.oomKills, 2)
  // Each counts once, whoever was not listening meanwhile.
  for (let i = 0; i < 2; i++) await inGroup(t, group, HOG)
  let count = 0
  for (const event of await until(events, 'oomKill'))
    if (event.type === 'oomKill') count += event.count
  if (count === 1)
    for (const event of await until(events, 'oomKill'))
      if (event.type === 'oomKill') count += event.count
  t.equal(count, 2)
})

t.test('memory is out, and nobody is killed', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/paused`)
  if (!isLegacy(group)) return t.comment('version 2 has no such switch')
  await limit(group, 32 << 20)
  await group.write('memory.oom_control', '1')
  using events = group.events({ only: ['oom', 'oomKill'] })
  const child = await script(
    t,
    'read go; exec python3 -c "a = bytearray(64 << 20); print(1, flush=True); input()"',
  )
  await group.add(child.pid)
  child.stdin?.write('\n')
  t.match(await events.next(), { value: { type: 'oom', count: 1 } })
  t.match(await group.read('memory.oom_control'), /under_oom 1/)
  t.equal((await group.stats()).memory?.oomKills, 0)
  using late = group.events({ only: ['oom'] })
  t.match(await late.next(), { value: { type: 'oom' } }, 'who comes later hears of it at once')
  const goesOn = once(child.stdout as Readable, 'data')
  await limit(group, 128 << 20)
  t.match(String((await goesOn)[0]), '1', 'with more memory it goes on')
})

t.test('a group that is always at its limit', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/reclaim`)
  await limit(group, 16 << 20)
  const file = join(scratch(t), 'file')
  using events = group.events({ only: ['memoryMax'] })
  const told: cgroups.GroupEvent[] = []
  const reading = (async () => {
    for await (const event of events) told.push(event)
  })()
  await inGroup(t, group, `head -c 100M /dev/zero >${file}; cat ${file} >${file}2`)
  const hits = (await group.stats()).memory?.limitHits ?? 0
  t.ok(hits > 0, `${hits} times`)
  const total = () => told.reduce((sum, event) => sum + ('count' in event ? event.count : 0), 0)
  for (let i = 0; i < 300 && total() < hits; i++) await new Promise(wait => setTimeout(wait, 10))
  t.equal(total(), hits, `all of them, in ${told.length} events`)
  events.close()
  await reading
})

t.test('what version 2 tells of above', needsController('memory'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/high`)
  if (isLegacy(group)) return t.comment('version 1 has no memory.high')
  await group.write('memory.high', `${16 << 20}`)
  using events = group.events({ only: ['memoryHigh'] })
  const file = join(scratch(t), 'file')
  const [told] = await Promise.all([
    until(events, 'memoryHigh'),
    inGroup(t, group, `head -c 40M /dev/zero >${file}`),
  ])
  t.match(told, [{ type: 'memoryHigh', count: Number, total: Number }])
})

t.test('a process too many', needsController('pids'), async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/pids`)
  await group.write('pids.max', '4')
  using events = group.events({ only: ['pidsMax'] })
  const told = until(events, 'pidsMax')
  await inGroup(t, group, 'bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.2')
  const [event] = await told
  t.ok(event?.type === 'pidsMax' && event.count > 0 && event.count === event.total)
})

t.test('pressure, as a trigger has it', needsUnified, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/pressure`)
  const trigger = { resource: 'cpu', stall: '100ms', window: '2s' } as const
  let events: cgroups.GroupEvents
  try {
    events = group.events({ only: ['pressure'], pressure: [trigger] })
  } catch (error) {
    t.match(error, { code: 'ERR_UNSUPPORTED', hint: /CONFIG_PSI/ })
    return t.comment((error as Error).message)
  }
  const before = await group.pressure()
  const busy = await script(
    t,
    'read go; taskset -p 1 $$ >&2; for i in 1 2 3 4; do (while :; do :; done) & done; wait',
  )
  await group.add(busy.pid)
  busy.stdin?.write('\n')
  t.same(await events.next(), { done: false, value: { type: 'pressure', trigger } })
  const after = await group.pressure()
  const stall = (after.cpu?.some?.total ?? 0) - (before.cpu?.some?.total ?? 0)
  t.ok(stall >= 100_000, `${stall} µs`)
  const last = until(events, 'deleted')
  await group.kill()
  await group.delete()
  t.match((await last).at(-1), { type: 'deleted' })

  const quiet = await Cgroup.create(`${parent.path}/quiet`)
  using silence = quiet.events({ only: ['pressure'], pressure: [trigger] })
  const nothing = Symbol()
  const first = silence.next()
  const pause = new Promise(wait => setTimeout(() => wait(nothing), 300))
  t.equal(await Promise.race([first, pause]), nothing, 'nobody waits in it')
})

t.test('the group is removed by somebody else', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/gone`)
  const other = await Cgroup.create(`${parent.path}/other`)
  const [events, more, others] = [group.events(), group.events({ only: [] }), other.events()]
  const told = [until(events, 'deleted'), until(more, 'deleted')]
  execFileSync(
    'rmdir',
    group.folders.map(({ path }) => path),
  )
  t.same(await Promise.all(told), [[{ type: 'deleted' }], [{ type: 'deleted' }]])
  t.same(await events.next(), { done: true, value: undefined })
  others.close()
  t.throws(() => group.events(), { code: 'ENOENT' } as never)
})

t.test('a group is gone though there is another of its name', needsRoot, async t => {
  const parent = await parentGroup(t)
  const make = () => Cgroup.create(`${parent.path}/above/again`)
  const first = await make()
  const unheard = first.events()
  const told = until(first.events(), 'deleted')
  await first.delete()
  await Cgroup.open(`${parent.path}/above`).then(
    above => above.delete(),
    () => {}, // it went with what was below it
  )
  const second = await make()
  t.match((await told).at(-1), { type: 'deleted' })
  t.match((await until(unheard, 'deleted')).at(-1), { type: 'deleted' })
  const unread = second.events()
  const removed = second.events()
  for (const name of ['above/again', 'above'])
    execFileSync('rmdir', foldersAt(`${parent.path}/${name}`))
  const third = await make()
  using here = third.events()
  const last = until(here, 'deleted')
  t.same(await until(removed, 'deleted'), [{ type: 'deleted' }])
  execFileSync('rmdir', foldersAt(third.path))
  t.same(await last, [{ type: 'deleted' }])
  t.same(await until(unread, 'deleted'), [{ type: 'deleted' }])
})

t.test('where descriptors are wanting none is left open', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/few`)
  const body = `
    import { closeSync, openSync, readdirSync } from 'node:fs'
    import { cgroups } from ${JSON.stringify(import.meta.resolve('cofferdam'))}
    const group = await cgroups.Cgroup.open(${JSON.stringify(group.path)})
    group.events().close()
    const open = () => readdirSync('/proc/self/fd').length
    const before = open()
    let failed = 0
    for (let room = 1; room < 24; room++) {
      const taken = []
      try { for (;;) taken.push(openSync('/dev/null')) } catch {}
      for (let i = 0; i < room; i++) closeSync(taken.pop())
      try { group.events().close() } catch (error) { if (/EMFILE/.test(error.message)) failed++ }
      for (const fd of taken) closeSync(fd)
      if (open() !== before) console.log('with room for', room, open() - before, 'are left')
    }
    console.log('failed', failed > 0)`
  const node = [process.execPath, '--input-type=module', '-e', body]
  const ran = spawnSync('sh', ['-c', 'ulimit -n 400; exec "$@"', 'sh', ...node], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.equal(ran.stdout, 'failed true\n', ran.stderr)
})

t.test('it is over when nobody listens any more', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/over`)
  group.events().close()
  const before = descriptors()
  const waiting = group.events()
  t.ok(descriptors() > before)
  const next = waiting.next()
  waiting.close()
  t.same(await next, { done: true, value: undefined })
  const controller = new AbortController()
  const aborted = group.events({ signal: controller.signal })
  const last = aborted.next()
  controller.abort()
  t.same(await last, { done: true, value: undefined })
  t.same(await group.events({ signal: controller.signal }).next(), { done: true, value: undefined })
  const returned = group.events()
  await returned.return()
  t.same(await returned.next(), { done: true, value: undefined })
  t.throws(() => group.events({ only: ['boom' as never] }), /events.only/)
  t.equal(descriptors(), before, 'no descriptor is left')
})

t.test('who waits keeps a program alive, and nothing else', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/alive`)
  const program = (body: string) => [
    '--input-type=module',
    '-e',
    `import { cgroups } from ${JSON.stringify(import.meta.resolve('cofferdam'))}
     const group = await cgroups.Cgroup.open(${JSON.stringify(group.path)})
     const events = group.events()
     ${body}`,
  ]
  const idle = spawnSync(process.execPath, program(''), { timeout: 60_000 })
  t.equal(idle.status, 0, 'it ends though it has not closed its events')
  const waits = spawn(
    process.execPath,
    program(`console.log('waiting'); console.log((await events.next()).value.type)`),
  )
  const said: string[] = []
  waits.stdout.on('data', text => said.push(String(text)))
  await once(waits.stdout, 'data')
  await new Promise(wait => setTimeout(wait, 200))
  t.equal(waits.exitCode, null, 'it still waits')
  const child = await script(t, 'read forever')
  await group.add(child.pid)
  t.same(await once(waits, 'close'), [0, null])
  t.equal(said.join(''), 'waiting\npopulated\n')
})

t.test('many groups are watched by few descriptors', needsRoot, async t => {
  const parent = await parentGroup(t)
  const all: cgroups.Cgroup[] = []
  for (let i = 0; i < 40; i++) all.push(await Cgroup.create(`${parent.path}/m${i}`))
  const before = descriptors()
  const streams = all.map(group => group.events({ only: ['populated', 'empty'] }))
  t.ok(descriptors() - before <= 40 + 2, `${descriptors() - before} for 40 groups`)
  const told = Promise.all(streams.map(stream => until(stream, 'deleted')))
  const child = await script(t, 'read forever')
  await all[3]?.add(child.pid)
  for (const group of all) await group.delete()
  const types = (await told).map(list => list.map(({ type }) => type).join())
  t.equal(types[3], 'populated,empty,deleted')
  t.same(new Set(types.filter((_, i) => i !== 3)), new Set(['deleted']))
})

t.test('what is asked for in the wrong way', needsRoot, async t => {
  const group = await Cgroup.open('/')
  const trigger = (values: object) => ({ pressure: [{ resource: 'cpu', stall: '1s', ...values }] })
  for (const [options, option] of [
    [{ olny: [] }, 'events.olny'],
    [{ only: ['oops'] }, 'events.only'],
    [{ only: 'oom' }, 'events.only'],
    [{ signal: 7 }, 'events.signal'],
    [{ local: 1 }, 'events.local'],
    [{ pressure: {} }, 'events.pressure'],
    [trigger({ resource: 'net' }), 'events.pressure[0].resource'],
    [trigger({ kind: 'half' }), 'events.pressure[0].kind'],
    [trigger({ stall: 0 }), 'events.pressure[0].stall'],
    [trigger({ stall: '3s' }), 'events.pressure[0].stall'],
    [trigger({ window: '100ms' }), 'events.pressure[0].window'],
    [trigger({ window: '11s' }), 'events.pressure[0].window'],
    [trigger({ threshold: 1 }), 'events.pressure[0].threshold'],
  ] as const) {
    let told: unknown
    try {
      group.events(options as never).close()
    } catch (error) {
      told = error
    }
    t.match(told, { code: 'ERR_INVALID_OPTION', option })
  }
})

t.test('version 1 alone', needsRoot, async t => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
  if (process.env.COFFERDAM_LEGACY || !/ cgroup /.test(mounts) || !/ cgroup2 /.test(mounts))
    return t.comment('there is no mount of cgroup2 beside version 1 to do without')
  const file = process.argv[1] as string
  const script = `for at in $(findmnt -rno TARGET -t cgroup2); do umount "$at"; done; exec "$@"`
  const { status, stdout } = spawnSync(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', process.execPath, file],
    { env: { ...process.env, COFFERDAM_LEGACY: '1' }, encoding: 'utf8', timeout: 120_000 },
  )
  const failed = stdout.split('\n').filter(line => /^\s*not ok/.test(line))
  t.same(failed, [])
  t.equal(status, 0)
  t.match(stdout, /# Subtest: processes come and go/)
})

t.test('no group is left', needsRoot, async t => t.same(groupsLeft(), []))
