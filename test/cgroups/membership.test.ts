import { readFileSync } from 'node:fs'
import { cgroups } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'

t.test('v1, named and unified hierarchies', async t => {
  const text = '12:cpu,cpuacct:/a:b\n1:name=systemd:/x\n0::/user.slice\ngarbage\n\n'
  t.same(cgroups.parseMembership(text), [
    { hierarchy: 12, controllers: ['cpu', 'cpuacct'], path: '/a:b' },
    { hierarchy: 1, controllers: ['name=systemd'], path: '/x' },
    { hierarchy: 0, controllers: [], path: '/user.slice' },
  ])
})

t.test('this process’s', async t => {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
  t.equal((await cgroups.membership()).length, lines.length)
  t.same(await cgroups.membership(process.pid), await cgroups.membership())
  await t.rejects(cgroups.membership(2 ** 22 + 1), { code: 'ENOENT' })
})

t.test('any text is parsed', async () => {
  fc.assert(fc.property(fc.string(), text => Array.isArray(cgroups.parseMembership(text))))
})
