// Groups stopped, let go on, ended and removed.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  foldersAt,
  groupName,
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
  programIn,
  script,
} from '../support/cgroups.js'
import { needsRoot, rememberTraces, traces } from '../support/index.js'

const { Cgroup } = cgroups
const nothingLeft = await rememberTraces()

/** Clock ticks that a process has been given. proc_pid_stat(5) */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** A group above others that hands on nothing can have processes of its own. */
const alone = { controllers: ['freezer'] }

const spin = 'while :; do :; done'

t.test('what is frozen does nothing, and goes on when it is thawed', needsRoot, async t => {
  const group = await parentGroup(t, alone)
  const below = await Cgroup.create(`${group.path}/below`, alone)
  const [one, other] = [await script(t, `read x; ${spin}`), await script(t, `read x; ${spin}`)]
  await group.add(one.pid)
  await below.add(other.pid)
  for (const child of [one, other]) child.stdin?.write('\n')
  t.equal(await group.frozen(), false)
  await group.freeze()
  t.equal(await group.frozen(), true)
  t.equal(await below.frozen(), true, 'and so is what is below')
  const before = [ticks(one.pid), ticks(other.pid)]
  await sleep(150)
  t.same([ticks(one.pid), ticks(other.pid)], before)
  await group.thaw()
  t.equal(await below.frozen(), false)
  for (let i = 0; i < 500 && ticks(other.pid) === before[1]; i++) await sleep(10)
  t.ok(ticks(other.pid) > (before[1] as number))
  await group.freeze()
  await group.freeze()
  const ended = Promise.all([once(one, 'exit'), once(other, 'exit')])
  await group.delete()
  t.same(await ended, Array(2).fill([null, 'SIGKILL']), 'a frozen group can be removed')
})

t.test('what is below a frozen group can not be thawed alone', needsUnified, async t => {
  const group = await parentGroup(t)
  const below = await Cgroup.create(`${group.path}/below`)
  await group.freeze()
  await t.rejects(below.thaw({ timeout: 50 }), { code: 'ETIMEDOUT', hint: /above/ })
  const controller = new AbortController()
  const waiting = below.thaw({ signal: controller.signal })
  setTimeout(() => controller.abort(new Error('enough')), 20)
  await t.rejects(waiting, { message: 'enough' })
  await group.thaw()
})

t.test('an empty group is frozen at once, and who comes in is too', needsUnified, async t => {
  const group = await parentGroup(t)
  await group.freeze()
  const child = await script(t, spin)
  await group.add(child.pid)
  await group.freeze()
  const before = ticks(child.pid)
  await sleep(100)
  t.equal(ticks(child.pid), before)
  await group.thaw()
})

t.test('a signal to all, below as well', needsRoot, async t => {
  const group = await parentGroup(t, alone)
  const below = await Cgroup.create(`${group.path}/below`, alone)
  const children = []
  for (const each of [group, below]) {
    const body = 'trap "echo told; exit 3" USR1; echo ready; while :; do sleep 0.01; done'
    const child = await script(t, `read x; ${body}`)
    await each.add(child.pid)
    child.stdin?.write('\n')
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    children.push(child)
  }
  const ends = Promise.all(children.map(child => once(child, 'exit')))
  await group.kill(0)
  // It would end sleep as well, and the shell notes its own signal when that has ended.
  await group.kill('SIGUSR1')
  t.same(await ends, Array(2).fill([3, null]))
  await t.rejects(group.kill('SIGNOT' as never), { code: 'ERR_INVALID_OPTION', option: 'signal' })
})

t.test('who is in it itself can not stop or end it', needsRoot, async t => {
  const name = groupName()
  const errors = await programIn(
    {},
    `const group = await Cgroup.create('${name}')
    const below = await Cgroup.create('${name}/below')
    const home = new Map()
    for (const { ownFolder, mountPoint } of (await cgroups.layout()).hierarchies) home.set(mountPoint, ownFolder)
    await below.add(process.pid)
    for (const call of [() => group.freeze(), () => group.kill(), () => group.delete(), () => below.kill('SIGTERM')])
      say(await failing(call()))
    for (const folder of home.values()) writeFileSync(folder + '/cgroup.procs', String(process.pid))
    await group.delete()`,
  )
  t.match(errors, Array(4).fill({ code: 'ERR_CONFLICT', message: /this program is itself in/ }))
  const top = await Cgroup.open('/')
  for (const call of [() => top.kill(), () => top.delete()])
    await t.rejects(call(), { code: 'ERR_CONFLICT' })
  await t.rejects(top.freeze(), { code: 'ERR_UNSUPPORTED', controller: 'freezer' })
})

/** Processes that make others as fast as they can, whoever ends some of them. */
const bomb = `exec python3 -c '
import os
while True:
  try: os.fork()
  except OSError: pass
'`

t.test('a fork bomb is ended whole', needsController('pids'), async t => {
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const group = await parentGroup(t, { limits: { pids: 40 } })
    const child = await script(t, `read x; ${bomb}`)
    await group.add(child.pid)
    child.stdin?.write('\n')
    for (let i = 0; i < 1000 && (await group.processes()).length < 38; i++) await sleep(5)
    const ended = once(child, 'exit')
    await group.kill(signal)
    await ended
    // Those that were about to begin have been told as well: nobody is left to make others.
    for (let i = 0; i < 1000 && (await group.processes()).length > 0; i++) await sleep(5)
    t.same(await group.processes(), [], signal)
    await group.delete({ kill: false })
  }
})

/** Where the kernel has version 1 alone, and where not even its freezer. */
const withoutUnified = `for at in $(findmnt -rno TARGET -t cgroup2); do umount "$at"; done`
const withoutFreezer = `${withoutUnified}; umount /sys/fs/cgroup/freezer`
const needsFreezer = cgroups
  .layoutNow()
  .hierarchies.some(
    ({ version, controllers, mountPoint }) =>
      version === 1 && controllers.includes('freezer') && mountPoint === '/sys/fs/cgroup/freezer',
  )
  ? needsController('pids')
  : { skip: 'this kernel has no freezer of version 1' }

t.test('version 1 alone: frozen, thawed, a fork bomb, removed', needsFreezer, async t => {
  const name = groupName()
  const said = await programIn(
    { before: withoutUnified },
    `say((await cgroups.layout()).mode)
    const group = await Cgroup.create('${name}', { limits: { pids: 40 } })
    say(cgroups.unifiedOf(group) === undefined)
    const child = spawn('sh', ['-c', ${JSON.stringify(`read x; ${bomb}`)}], { stdio: ['pipe', 'ignore', 'ignore'] })
    const ended = once(child, 'exit')
    await group.add(child.pid)
    child.stdin.write('\\n')
    while ((await group.processes()).length < 38) await new Promise(resolve => setTimeout(resolve, 5))
    await group.freeze()
    say((await group.read('freezer.state')).trim())
    say(await group.frozen())
    await group.thaw()
    say(await group.frozen())
    await group.freeze()
    await group.kill('SIGKILL')
    say((await ended)[1])
    await group.delete()
    say(group.folders.filter(each => existsSync(each.path)).length)`,
  )
  t.same(said, ['legacy', true, 'FROZEN', true, false, 'SIGKILL', 0])
})

t.test('and without a freezer: over and over, until none is left', needsFreezer, async t => {
  const name = groupName()
  const said = await programIn(
    { before: withoutFreezer },
    `const group = await Cgroup.create('${name}', { limits: { pids: 40 } })
    const child = spawn('sh', ['-c', ${JSON.stringify(`read x; ${bomb}`)}], { stdio: ['pipe', 'ignore', 'ignore'] })
    const ended = once(child, 'exit')
    await group.add(child.pid)
    child.stdin.write('\\n')
    while ((await group.processes()).length < 38) await new Promise(resolve => setTimeout(resolve, 5))
    say(await failing(group.freeze()))
    await group.delete()
    say((await ended)[1])
    say(group.folders.filter(each => existsSync(each.path)).length)`,
  )
  t.match(said, [{ code: 'ERR_UNSUPPORTED', controller: 'freezer' }, 'SIGKILL', 0])
})

t.test(
  'a group that never empties: who is in it, and nothing of it goes',
  needsFreezer,
  async t => {
    // Of version 1, what is frozen above does not end.
    const group = await parentGroup(t)
    const below = await Cgroup.create(`${group.path}/below`)
    const child = await script(t, 'exec sleep 100')
    await below.add(child.pid)
    await group.write('freezer.state', 'FROZEN')
    while ((await group.read('freezer.state')).trim() !== 'FROZEN') await sleep(5)
    const folders = foldersAt(below.path)
    await t.rejects(below.delete({ timeout: 100 }), {
      code: 'ETIMEDOUT',
      hint: new RegExp(`in it: ${child.pid} \\(`),
      path: below.path,
    })
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('enough')), 50)
    await t.rejects(below.delete({ signal: controller.signal }), { message: 'enough' })
    t.same(foldersAt(below.path), folders)
    const ended = once(child, 'exit')
    await group.write('freezer.state', 'THAWED')
    t.same(await ended, [null, 'SIGKILL'])
  },
)

t.test('somebody puts others in all the time', needsRoot, async t => {
  const group = await parentGroup(t)
  const below = await Cgroup.create(`${group.path}/below`)
  const folder = below.folders.at(-1)
  const mover = await script(
    t,
    `while :; do sleep 0.02; sleep 60 >&- & echo $! >${folder?.path}/cgroup.procs || { kill $!; break; }; done 2>/dev/null`,
  )
  const ended = once(mover, 'exit')
  await below.delete()
  t.same(foldersAt(below.path), [])
  await ended
})

t.test('removed with all below it; waiting holds no descriptor', needsRoot, async t => {
  const group = await Cgroup.create(groupName(), alone)
  const before = traces().descriptors
  const ends = []
  for (const name of ['a', 'a/b', 'a/b/c', 'd']) {
    const each = await Cgroup.create(`${group.path}/${name}`, alone)
    const child = await script(t, 'exec sleep 100')
    await each.add(child.pid)
    ends.push(once(child, 'exit'))
  }
  await t.rejects(group.delete({ kill: false }), { code: 'EBUSY' })
  t.equal((await group.children()).length, 2)
  await group.delete()
  await Promise.all(ends)
  t.same(foldersAt(group.path), [])
  await group.delete() // what is gone is gone
  for (let i = 0; i < 100 && traces().descriptors > before; i++) await sleep(10)
  t.ok(traces().descriptors <= before)
})

// Each of them is all that its program waits for: it would end with exit code 13.
t.test('who waits for an operation keeps the program alive', needsRoot, async t => {
  const body = `const group = await Cgroup.create('${groupName()}')
    const child = spawn('sh', ['-c', 'while :; do sleep 0.01; done'], { stdio: 'ignore' })
    child.unref()
    await group.add(child.pid)
    for (let i = 0; i < 5; i++) {
      await group.freeze()
      await group.thaw()
    }
    await group.set({ pids: 50 })
    await group.kill('SIGCONT')
    await group.kill()
    await group.delete()
    say((await failing(group.children())).code)`
  t.same(await programIn({}, body), ['ENOENT'])
  if (needsFreezer.skip === undefined)
    t.same(await programIn({ before: withoutUnified }, body), ['ENOENT'], 'version 1 alone')
})

t.test('a program ends when all is done', needsRoot, async t => {
  const name = groupName()
  const said = await programIn(
    {},
    `const group = await Cgroup.create('${name}')
    const child = spawn('sleep', ['60'], { stdio: 'ignore' })
    await group.add(child.pid)
    child.unref()
    await group.freeze()
    await group.delete()
    say(1)`,
  )
  t.same(said, [1])
})

t.test('no group is left, nor anything else', needsRoot, async t => {
  t.same(groupsLeft(), [])
  await nothingLeft(t)
})
