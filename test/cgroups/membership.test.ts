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
  // Another test may make a hierarchy, or remove one, between two looks.
  const text = () => readFileSync('/proc/self/cgroup', 'utf8')
  for (let tries = 0; tries < 100; tries++) {
    const before = text()
    const own = await cgroups.membership()
    const byPid = await cgroups.membership(process.pid)
    if (text() !== before) continue
    t.equal(own.length, before.trim().split('\n').length)
    t.same(byPid, own)
    break
  }
  await t.rejects(cgroups.membership(2 ** 22 + 1), { code: 'ENOENT' })
})

t.test('any text is parsed', async () => {
  fc.assert(fc.property(fc.string(), text => Array.isArray(cgroups.parseMembership(text))))
})
