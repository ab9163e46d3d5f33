// Groups: made, used, removed.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  foldersAt,
  groupName,
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
  script,
} from '../support/cgroups.js'
import { needsRoot } from '../support/index.js'

const { Cgroup } = cgroups

const inGroups = (pid: number, path: string) =>
  readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .trim()
    .split('\n')
    .filter(line => line.endsWith(`:${path}`)).length

t.test('made in all hierarchies, and gone from all', needsRoot, async t => {
  const path = groupName()
  const group = await Cgroup.create(path)
  t.same(group.path, path)
  t.same(foldersAt(path).sort(), group.folders.map(folder => folder.path).sort())
  t.ok(group.folders.length > 0)
  await t.rejects(Cgroup.create(path), { code: 'EEXIST', syscall: 'mkdir', controller: 'cgroup' })
  t.same((await Cgroup.open(path)).folders, group.folders)
  await group.delete()
  t.same(foldersAt(path), [])
  await t.rejects(Cgroup.open(path), { code: 'ENOENT' })
})

t.test('processes are added in all hierarchies, and ended with it', needsRoot, async t => {
  const parent = await parentGroup(t)
  const group = await Cgroup.create(`${parent.path}/a/b`)
  const child = await script(t, 'read x; sleep 100 & echo forked; wait')
  t.same(await group.processes(), [])
  await group.add(child.pid)
  t.equal(inGroups(child.pid, group.path), group.folders.length)
  t.same(await group.processes(), [child.pid])
  child.stdin?.write('\n')
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const [, sleep] = await group.processes()
  t.equal(inGroups(sleep as number, group.path), group.folders.length, 'its child is in it')
  await t.rejects(group.delete({ kill: false }), {
    code: 'EBUSY',
    hint: new RegExp(`${child.pid} \\(sh\\)`),
  })
  t.equal(foldersAt(group.path).length, group.folders.length, 'nothing of it has been removed')
  const [[, signal]] = await Promise.all([once(child, 'exit'), group.delete()])
  t.equal(signal, 'SIGKILL')
  t.same(foldersAt(`${parent.path}/a`), [], 'nor is the parent that was made on the way')
})

t.test(
  'with some controllers only, and with the unified hierarchy',
  needsController('memory'),
  async t => {
    const group = await Cgroup.create(groupName(), { controllers: ['memory'] })
    t.teardown(() => group.delete())
    t.ok(cgroups.folderOf(group, 'memory'))
    // Of version 2 it may have more, which the group above hands on already.
    const pids = cgroups.folderOf(group, 'pids')
    t.ok(pids === undefined || pids.version === 2)
  },
)

t.test('stopped, and let go on', needsUnified, async t => {
  const group = await parentGroup(t)
  const child = await script(t, 'while read x; do echo $x; done')
  await group.add(child.pid)
  await group.freeze()
  t.equal(await group.frozen(), true)
  t.match(await group.read('cgroup.events'), /frozen 1/)
  await group.thaw()
  t.equal(await group.frozen(), false)
  const ended = once(child, 'exit')
  await group.kill('SIGTERM')
  t.same(await ended, [null, 'SIGTERM'])
})

t.test('no group is left', needsRoot, async t => t.same(groupsLeft(), []))
