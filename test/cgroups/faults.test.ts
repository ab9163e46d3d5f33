// What can't be done, what fails half-way, and what others do meanwhile.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cgroups } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import {
  foldersAt,
  groupName,
  groupsLeft,
  needsUnified,
  parentGroup,
  programIn,
  script,
} from '../support/cgroups.js'
import { needsRoot, rememberTraces } from '../support/index.js'
import { GROUP, USER } from '../support/unprivileged.js'

const { Cgroup } = cgroups
const nothingLeft = await rememberTraces()
const { hierarchies } = cgroups.layoutNow()
const asUser = `setpriv --reuid=${USER} --regid=${GROUP} --clear-groups`

t.test('names that are none', async t => {
  const bad = [
    '',
    '.',
    '..',
    'a/..',
    '../x',
    '/a/../b',
    'a//b',
    '//a',
    'a/',
    'a\0',
    'a\nb',
    5,
    null,
  ]
  for (const path of [...bad, 'x'.repeat(256), `${'x/'.repeat(1200)}x`]) {
    for (const call of [Cgroup.create, Cgroup.open])
      await t.rejects(call(path as string), { code: 'ERR_INVALID_OPTION', option: 'path' })
  }
  const kernels = [
    'cgroup.procs',
    'memory.max',
    'a/tasks',
    'cpu.anything',
    'notify_on_release',
    '/',
  ]
  for (const path of kernels)
    await t.rejects(Cgroup.create(path), { code: 'ERR_INVALID_OPTION', option: 'path' })
  for (const options of [
    { x: 1 },
    { controllers: 'memory' },
    { controllers: ['a b'] },
    { threaded: 1 },
  ])
    await t.rejects(Cgroup.create('x', options as never), { code: 'ERR_INVALID_OPTION' })
})

t.test('any name is made as it is, or refused', needsRoot, async t => {
  const parent = await parentGroup(t, { controllers: [] })
  const top = parent.folders[0]?.path as string
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }), async name => {
      try {
        const group = await Cgroup.create(`${parent.path}/${name}`, { controllers: [] })
        if (!existsSync(join(top, name))) throw new Error(`not made: ${JSON.stringify(name)}`)
        await group.delete()
      } catch (error) {
        if ((error as { code?: string }).code !== 'ERR_INVALID_OPTION') throw error
      }
    }),
    { numRuns: 50 },
  )
  t.same(await parent.children(), [])
})

t.test('a controller that there is not', needsRoot, async t => {
  const name = groupName()
  await t.rejects(Cgroup.create(name, { controllers: ['warp'] }), {
    code: 'ERR_UNSUPPORTED',
    controller: 'warp',
    hint: /there are .*(pids|hugetlb)/,
  })
  t.same(foldersAt(name), [])
})

t.test('read-only control groups', needsRoot, async t => {
  const name = groupName()
  const remount = 'mount -o remount,bind,ro'
  const [failed] = await programIn(
    { before: `for at in $(findmnt -rno TARGET -t cgroup,cgroup2); do ${remount} "$at"; done` },
    `say(await failing(Cgroup.create('${name}')))`,
  )
  t.match(failed, { code: 'EROFS', syscall: 'mkdir', controller: 'cgroup', hint: /read-only/ })
  t.same(foldersAt(name), [])
})

const needsSeveral =
  hierarchies.length > 2 ? needsRoot : { skip: 'this kernel has the unified hierarchy alone' }

t.test(
  'one hierarchy that can not be written to: nothing is left of the others',
  needsSeveral,
  async t => {
    const name = groupName()
    const [failed, left, without] = await programIn(
      { before: 'mount -o remount,bind,ro /sys/fs/cgroup/pids' },
      `say(await failing(Cgroup.create('${name}/a', { controllers: ['memory', 'pids'] })))
    say((await cgroups.layout()).hierarchies.filter(each => existsSync(each.mountPoint + '${name}')).length)
    const group = await Cgroup.create('${name}')
    say(group.folders.flatMap(each => each.controllers))
    await group.delete()`,
    )
    t.match(failed, { code: 'EROFS', path: `/sys/fs/cgroup/pids${name}` })
    t.equal(left, 0)
    const list = without as string[]
    t.ok(list.includes('memory') && !list.includes('pids'), 'what was not asked for is left out')
  },
)

t.test('a mkdir that fails in the last hierarchy undoes those before', needsUnified, async t => {
  const parent = await parentGroup(t)
  await parent.write('cgroup.max.descendants', '0')
  const name = `${parent.path}/a`
  await t.rejects(Cgroup.create(name), { code: 'EAGAIN', syscall: 'mkdir' })
  t.same(foldersAt(name), [])
  await parent.write('cgroup.max.descendants', 'max')
  await parent.write('cgroup.max.depth', '2')
  await t.rejects(Cgroup.create(`${name}/b/c/d`), { code: 'EAGAIN', syscall: 'mkdir' })
  t.same(foldersAt(name), [], 'nor of the groups on the way')
})

t.test('a limit that is refused leaves no group', needsRoot, async t => {
  const name = groupName()
  await t.rejects(Cgroup.create(name, { limits: { raw: { 'pids.max': 'many' } } as never }), {
    code: 'EINVAL',
    controller: 'pids',
  })
  t.same(foldersAt(name), [])
})

t.test('somebody else’s control groups', needsRoot, async t => {
  const name = groupName()
  const parent = await parentGroup(t)
  const [made, opened, written, added, removed] = await programIn(
    { by: asUser },
    `say(await failing(Cgroup.create('${name}')))
    const group = await Cgroup.open('${parent.path}')
    say(await group.processes())
    say(await failing(group.write('cgroup.procs', '1')))
    say(await failing(group.add(process.pid)))
    say(await failing(group.delete()))`,
  )
  const hint = /delegated to this user/
  t.match(made, { code: 'EACCES', syscall: 'mkdir', controller: 'cgroup', hint })
  t.same(opened, [], 'they can be looked at')
  t.match(written, { code: 'EACCES' })
  t.match(added, { code: 'EACCES', path: /cgroup.procs$/ })
  t.match(removed, { code: /EACCES|EPERM/, syscall: 'rmdir' })
  t.ok(existsSync(parent.folders[0]?.path as string))
})

t.test('a group that has been delegated to an ordinary user', needsUnified, async t => {
  const parent = await parentGroup(t, { controllers: [] })
  const folder = cgroups.unifiedOf(parent)?.path as string
  const said = await programIn(
    {
      before: `mkdir ${folder}/own; chown ${USER} ${folder} ${folder}/own ${folder}/*/cgroup.procs ${folder}/cgroup.procs
        echo $$ > ${folder}/own/cgroup.procs`,
      by: asUser,
    },
    `const layout = await cgroups.layout()
    say(layout.hierarchies.at(-1).writable)
    const group = await Cgroup.create('mine', { controllers: [] })
    say(group.path)
    const child = spawn('sleep', ['60'])
    const ended = once(child, 'exit')
    await group.add(child.pid)
    await group.freeze()
    await group.thaw()
    await group.delete()
    say((await ended)[1])
    say(existsSync(group.folders[0].path))`,
  )
  t.same(said, [true, `${parent.path}/own/mine`, 'SIGKILL', false])
})

t.test('one that is there already, or was never there', needsRoot, async t => {
  const group = await parentGroup(t)
  const hint = /Cgroup\.open\(\)/
  await t.rejects(Cgroup.create(group.path), { code: 'EEXIST', controller: 'cgroup', hint })
  t.ok(foldersAt(group.path).length > 0, 'it stays')
  const never = groupName()
  await t.rejects(Cgroup.open(never), {
    code: 'ENOENT',
    path: never,
    controller: 'cgroup',
    message: `${never}: there is no such group in any hierarchy (Cgroup.create() makes one)`,
  })
})

t.test('the topmost group can not be limited', needsRoot, async t => {
  await (await parentGroup(t)).set({ pids: 100 }) // so that the files of others are known
  const top = await Cgroup.open('/')
  await t.rejects(top.set({ pids: 4_000_000 }), {
    code: 'ERR_UNSUPPORTED',
    option: 'limits.pids',
    controller: 'pids',
    hint: /below/,
  })
})

t.test('a group that vanishes', needsRoot, async t => {
  const group = await Cgroup.create(groupName())
  for (const { path } of group.folders) rmdirSync(path)
  const child = await script(t, 'read x')
  const calls = {
    add: () => group.add(child.pid),
    processes: () => group.processes(),
    threads: () => group.threads(),
    read: () => group.read('cgroup.procs'),
    write: () => group.write('cgroup.procs', '1'),
    set: () => group.set({ pids: 5 }),
    freeze: () => group.freeze(),
    thaw: () => group.thaw(),
    frozen: () => group.frozen(),
    kill: () => group.kill('SIGTERM'),
    limits: () => group.limits(),
    stats: () => group.stats(),
    delegate: () => group.delegate(0, 0),
  }
  for (const [name, call] of Object.entries(calls)) {
    await t.rejects(
      call() as Promise<unknown>,
      { code: 'ENOENT', name: 'CofferdamError', controller: /./ },
      name,
    )
  }
  await group.delete()
})

t.test('one that vanishes while it is waited for', needsUnified, async t => {
  const group = await parentGroup(t)
  const below = await Cgroup.create(`${group.path}/below`)
  await group.freeze()
  const waiting = below.thaw()
  await new Promise(resolve => setTimeout(resolve, 30))
  const refused = t.rejects(waiting, { code: /ENOENT|ETIMEDOUT/ })
  await below.delete()
  await refused
  await group.thaw()
})

t.test('many programs that share a parent, which is never there too long', needsRoot, async t => {
  const body = `
    import { cgroups } from 'cofferdam'
    for (let i = 0; i < 25; i++) {
      const group = await cgroups.Cgroup.create('/cofferdam-test-${process.pid}-shared/' + process.pid + '-' + i)
      await group.delete()
    }`
  const one = () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', body], {
      cwd: new URL('../../..', import.meta.url),
    })
  await Promise.all([one(), one(), one()])
  // Who did not make it does not remove it; the default parent is removed by everybody.
  const left = foldersAt(`/cofferdam-test-${process.pid}-shared`)
  for (const folder of left) rmdirSync(folder)
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const group = await Cgroup.create(`test-${process.pid}-${i}`)
      t.equal(group.path, `/cofferdam/test-${process.pid}-${i}`)
      await group.delete()
    }),
  )
})

t.test('a parent of others’ is not removed', needsRoot, async t => {
  const parent = groupName()
  const folders = hierarchies.map(({ mountPoint }) => join(mountPoint, parent))
  for (const folder of folders) mkdirSync(folder)
  const [first] = hierarchies
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const at = hierarchies.find(each => each.version === 1 && each.controllers.includes('cpuset'))
    if (at !== undefined && first !== undefined)
      writeFileSync(join(at.mountPoint, parent, file), '0')
  }
  const group = await Cgroup.create(`${parent}/a`)
  await group.delete()
  t.ok(folders.every(existsSync))
  for (const folder of folders) rmdirSync(folder)
})

t.test('nothing is left', needsRoot, async t => {
  t.same(groupsLeft(), [])
  await nothingLeft(t)
})
