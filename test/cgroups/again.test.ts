// Groups that are made as others beside them were.
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  foldersAt,
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
} from '../support/cgroups.js'
import { needsRoot, rememberTraces } from '../support/index.js'

const { Cgroup } = cgroups
const nothingLeft = await rememberTraces()
const needs = needsController('memory', 'pids')

t.test('the second is like the first', needs, async t => {
  const parent = await parentGroup(t)
  const options = {
    limits: { memory: '64MiB', cpus: 0.5, pids: 64 },
    devices: ['c 1:3 rwm', 'c 5:* rw'],
  }
  const all = []
  for (const name of ['a', 'b', 'c'])
    all.push(await Cgroup.create(`${parent.path}/${name}`, options))
  const told = await Promise.all(
    all.map(async group => ({
      limits: await group.limits(),
      devices: await group.devices(),
      folders: group.folders.map(({ version, controllers }) => ({ version, controllers })),
      there: foldersAt(group.path).length,
    })),
  )
  t.same(told[1], told[0])
  t.same(told[2], told[0])
  t.match(told[0]?.limits, { memory: { max: 64 << 20 }, cpus: 0.5, pids: 64 })
  t.same(told[0]?.devices, cgroups.normalDeviceRules(options.devices))
  t.same(
    all.map(group => group.folders.every(({ path }) => path.endsWith(group.path))),
    [true, true, true],
  )
})

t.test('options are what they are now', needs, async t => {
  const parent = await parentGroup(t)
  const limits: { pids: number | (() => number); memory?: string } = { pids: 64 }
  const make = (name: string) => Cgroup.create(`${parent.path}/${name}`, { limits } as never)
  for (const name of ['a', 'b']) t.match(await (await make(name)).limits(), { pids: 64 })
  limits.pids = 65
  t.match(await (await make('c')).limits(), { pids: 65 }, 'of an object that was used before')
  limits.memory = '8MiB'
  t.match(await (await make('d')).limits(), { pids: 65, memory: { max: 8 << 20 } })
  delete limits.memory
  t.match(await (await make('e')).limits(), { pids: 65, memory: { max: 'max' } })
  limits.pids = () => 65
  await t.rejects(make('f'), { code: 'ERR_INVALID_OPTION', option: 'cgroup.limits.pids' })
  t.same(foldersAt(`${parent.path}/f`), [])
})

t.test('names are looked at each time', needsRoot, async t => {
  const parent = await parentGroup(t)
  for (const name of ['a', 'b']) await Cgroup.create(`${parent.path}/${name}`)
  for (const name of ['tasks', 'cgroup.procs', 'release_agent', '..', '', 'a/../b', 'x\n', 'x\0'])
    await t.rejects(
      Cgroup.create(`${parent.path}/${name}`),
      { code: 'ERR_INVALID_OPTION', option: 'path' },
      JSON.stringify(name),
    )
  t.equal((await Cgroup.create(`${parent.path}/a.b c`)).path, `${parent.path}/a.b c`)
})

t.test('one that is there already stays as it is, in whichever hierarchy', needsRoot, async t => {
  const parent = await parentGroup(t)
  await Cgroup.create(`${parent.path}/a`)
  for (const { path } of parent.folders) {
    const folder = join(path, 'b')
    mkdirSync(folder)
    await t.rejects(Cgroup.create(`${parent.path}/b`), { code: 'EEXIST' })
    t.same(foldersAt(`${parent.path}/b`), [folder], 'and there is nothing of it elsewhere')
    rmdirSync(folder)
  }
})

t.test('the group above has gone meanwhile', needsRoot, async t => {
  const parent = await parentGroup(t)
  for (let round = 0; round < 3; round++) {
    const group = await Cgroup.create(`${parent.path}/made/a`, { limits: { pids: 8 } })
    t.match(await group.limits(), { pids: 8 })
    t.equal(foldersAt(group.path).length, parent.folders.length)
    await group.delete()
    t.same(foldersAt(`${parent.path}/made`), [], 'it goes with the last one below it')
  }
})

t.test('half of it has gone meanwhile', needsRoot, async t => {
  const parent = await parentGroup(t)
  const above = await Cgroup.create(`${parent.path}/above`)
  await (await Cgroup.create(`${above.path}/a`)).delete()
  for (const { path } of above.folders) {
    rmdirSync(path)
    const group = await Cgroup.create(`${above.path}/b`)
    t.equal(foldersAt(group.path).length, above.folders.length)
    await group.delete()
    for (const folder of above.folders) t.equal(existsSync(join(folder.path, 'b')), false)
    if (!existsSync(path)) mkdirSync(path)
  }
  // Empty, as mkdir(2) has left it.
  await above.delete()
})

const hierarchies = cgroups.layoutNow().hierarchies
const oldCpuset = hierarchies.some(
  ({ version, controllers }) => version === 1 && controllers.includes('cpuset'),
)
const needsOldCpuset = oldCpuset ? needsRoot : { skip: 'there is no cpuset of version 1' }
const [handed] = hierarchies.find(({ version }) => version === 2)?.controllers ?? []
const needsHanded =
  handed === undefined ? { skip: 'the unified hierarchy has no controllers here' } : needsUnified

t.test('what the group above has changes', needsOldCpuset, async t => {
  const parent = await parentGroup(t, { controllers: ['cpuset'] })
  const cpus = async (name: string) =>
    (await Cgroup.create(`${parent.path}/${name}`, { controllers: ['cpuset'] })).read('cpuset.cpus')
  const before = await parent.read('cpuset.cpus')
  t.equal(await cpus('a'), before)
  const path = cgroups.folderOf(parent, 'cpuset')?.path as string
  const first = /^\d+/.exec(before)?.[0] as string
  rmdirSync(join(path, 'a'))
  writeFileSync(join(path, 'cpuset.cpus'), first)
  t.equal(await cpus('b'), `${first}\n`)
})

t.test('a parent that refuses devices', needsRoot, async t => {
  const parent = await parentGroup(t)
  const make = (name: string) => Cgroup.create(`${parent.path}/${name}`, { devices: ['c 1:3 rwm'] })
  const wanted = cgroups.normalDeviceRules(['c 1:3 rwm'])
  for (const name of ['a', 'b']) t.same(await (await make(name)).devices(), wanted)
  for (const name of ['a', 'b']) await (await Cgroup.open(`${parent.path}/${name}`)).delete()
  // Version 1 counts a group for some time after it has gone, and takes it for an obstacle.
  const isObstacle = () =>
    parent.setDevices(['c 1:3 rwm', 'c 1:5 rwm']).then(
      () => false,
      (error: { code?: string }) => {
        if (error.code !== 'EINVAL') throw error
        return true
      },
    )
  while (await isObstacle()) await setTimeout(10)
  t.same(await (await make('c')).devices(), wanted, 'it allows more than that')
})

t.test('controllers that are handed on no more', needsHanded, async t => {
  const parent = await parentGroup(t)
  const name = handed as string
  const has = async (group: string) => {
    const made = await Cgroup.create(`${parent.path}/${group}`, { controllers: [name] })
    const found = cgroups.unifiedOf(made)?.controllers
    await made.delete()
    return found
  }
  t.same(await has('a'), [name])
  t.same(await has('b'), [name])
  const folder = cgroups.unifiedOf(parent)?.path as string
  writeFileSync(join(folder, 'cgroup.subtree_control'), `-${name}`)
  t.same(await has('c'), [name], 'they are handed on again')
})

t.test('others have their turn while many are made', needsRoot, async t => {
  const parent = await parentGroup(t)
  let turns = 0
  let goes = true
  const turn = () => {
    turns++
    if (goes) setImmediate(turn)
  }
  setImmediate(turn)
  for (let i = 0; i < 100; i++) {
    const group = await Cgroup.create(`${parent.path}/a`)
    await group.delete()
  }
  goes = false
  t.ok(turns >= 5, `${turns} turns`)
})

t.test('no group of this test is left', async t => t.same(groupsLeft(), []))
t.test('nothing is left', nothingLeft)
