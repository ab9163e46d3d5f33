import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups, namespaces } from 'cofferdam'
import t from 'tap'
import { domainController, groupsLeft, needsUnified, parentGroup } from '../support/cgroups.js'
import { rememberTraces } from '../support/index.js'

const { leafOf } = cgroups
const nothingLeft = await rememberTraces()
const controller = domainController
const needsController =
  controller === undefined ? { skip: 'version 2 has no controller of domains here' } : needsUnified

t.test(
  'who joins a group that has groups of its own joins the first process’s',
  needsController,
  async t => {
    const group = await parentGroup(t, { controllers: [controller as string] })
    const { path } = cgroups.unifiedOf(group) as cgroups.GroupFolder
    const below = join(path, 'below')
    mkdirSync(below)
    const first = await namespaces.spawn(['sleep', '60'], { cgroup: below, stdio: 'ignore' })
    t.teardown(async () => {
      await first.kill()
      await first.exited
    })
    writeFileSync(join(path, 'cgroup.subtree_control'), `+${controller}`)
    await t.rejects(namespaces.spawn(['true'], { cgroup: group }), { code: 'EBUSY' })

    const leaf = leafOf(group, first.pid)
    t.same(cgroups.unifiedOf(leaf)?.path, below)
    t.same(
      leaf.folders.filter(({ version }) => version === 1),
      group.folders.filter(({ version }) => version === 1),
    )
    const second = await namespaces.spawn(['cat', '/proc/self/cgroup'], { cgroup: leaf })
    t.match(await second.stdout.text(), new RegExp(`^0::${group.path}/below$`, 'm'))

    t.throws(() => leafOf(group, process.pid), { code: 'ESRCH', path })
    t.throws(() => leafOf(group, 2 ** 30), { code: 'ESRCH' })
  },
)

t.test('a group that takes processes is its own leaf', needsUnified, async t => {
  const group = await parentGroup(t)
  const first = await namespaces.spawn(['sleep', '60'], { cgroup: group, stdio: 'ignore' })
  t.same(leafOf(group, first.pid).folders, [...group.folders])
  const own = cgroups.parseMembership(readFileSync(`/proc/${first.pid}/cgroup`, 'utf8'))
  t.equal(own.find(({ hierarchy }) => hierarchy === 0)?.path, group.path)
  await first.kill()
  await first.exited
})

t.test('no group is left', t => {
  t.same(groupsLeft(), [])
  t.end()
})

t.test('nothing is left behind', needsUnified, nothingLeft)
