import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups, namespaces, plan } from 'cofferdam'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import { native } from '#lib/base/index.js'
import { devicesOption, readDevices, setDevices } from '#lib/cgroups/devices.js'
import {
  groupName,
  groupsLeft,
  needsController,
  needsUnified,
  parentGroup,
} from '../support/cgroups.js'
import { allows, askedAccesses, asker, type Rule, someRules } from '../support/devices.js'
import { needsRoot, rememberTraces } from '../support/index.js'
import { asUser } from '../support/unprivileged.js'

const { Cgroup, defaultDeviceRules, normalDeviceRules, unifiedOf } = cgroups
const nothingLeft = await rememberTraces()
const old = cgroups.layoutNow().hierarchies.find(({ version }) => version === 1)
const needsDevices = needsController('devices')
const unified = () => ({ controllers: [] })

/** What a group's file or its programs say, as any other program sees them. */
const listOf = (group: cgroups.GroupFolders) =>
  readFileSync(join(cgroups.folderOf(group, 'devices')?.path as string, 'devices.list'), 'utf8')

function programsOf(group: cgroups.GroupFolders): number[] {
  const { fd, close } = folder(group)
  try {
    return native().bpfQuery(fd)
  } finally {
    close()
  }
}

function folder(group: cgroups.GroupFolders) {
  const path = unifiedOf(group)?.path as string
  const [fd] = native().run(
    plan.encode(
      [plan.hostStep('x', plan.call('openat', [-100, path, 0o200000], { result: plan.slot('x') }))],
      {
        hold: true,
      },
    ).bytes,
  ) as [number]
  return { fd, close: () => native().close(fd) }
}

/** What a shell prints in a group. */
async function shell(group: cgroups.GroupFolders, script: string): Promise<string> {
  const child = await namespaces.spawn(['sh', '-c', `{ ${script}; } 2>&1`], { cgroup: group })
  return (await child.stdout.text()).trim()
}

/** Sets random rules, and compares what a process of the group is allowed with what they mean. */
async function decidesAsRules(t: Test, group: cgroups.GroupFolders, runs: number) {
  const ask = await asker(t, group)
  let expressible = 0
  await fc.assert(
    fc.asyncProperty(someRules, async rules => {
      try {
        await setDevices(group, devicesOption('devices', rules))
      } catch (error) {
        if ((error as { code?: string }).code !== 'ERR_UNSUPPORTED') throw error
        t.equal(unifiedOf(group), undefined, 'a program keeps to any rules')
        return
      }
      expressible++
      const answers = await ask()
      for (const [i, access] of askedAccesses.entries())
        if (answers[i] !== allows(rules, access)) throw new Error(JSON.stringify(access))
      const found = JSON.stringify(await readDevices(group))
      const hidden = unifiedOf(group) === undefined && listOf(group) === 'a *:* rwm\n'
      if (!hidden) t.equal(found, JSON.stringify(normalDeviceRules(rules)))
    }),
    { numRuns: runs },
  )
  t.ok(expressible >= runs / 3, `${expressible} of ${runs} could be said`)
}

t.test('the kernel decides as the rules do, by a program', needsUnified, async t => {
  await decidesAsRules(t, await parentGroup(t, unified()), 60)
})

t.test('the kernel decides as the rules do, by version 1', needsDevices, async t => {
  if (old === undefined)
    return t.comment('the devices controller is of version 1, and there is none')
  const group = await parentGroup(t, { controllers: ['devices'] })
  const folders = group.folders.filter(({ version }) => version === 1)
  await decidesAsRules(t, { path: group.path, folders }, 60)
})

t.test('where there are both, one of them does', needsDevices, async t => {
  if (old === undefined) return t.comment('there is version 2 alone')
  const group = await parentGroup(t, { controllers: ['devices'] })
  await decidesAsRules(t, group, 60)
  await group.setDevices(['a'])
  t.same(programsOf(group), [])
  t.equal(listOf(group), 'a *:* rwm\n')
})

t.test('a new group has rules from the beginning, or there is none', needsUnified, async t => {
  for (const options of [unified(), {}]) {
    const group = await parentGroup(t, { ...options, devices: defaultDeviceRules })
    t.same(await group.devices(), normalDeviceRules(defaultDeviceRules))
    const script =
      'echo > /dev/null && cat /dev/kmsg; mknod /tmp/$$ b 60 3 && rm /tmp/$$ && echo made'
    const said = await shell(group, script)
    t.match(said, /kmsg.*Operation not permitted/)
    t.match(said, /made$/)
  }
  const name = groupName()
  await t.rejects(Cgroup.create(name, { devices: ['x'] }), {
    code: 'ERR_INVALID_OPTION',
    option: 'cgroup.devices[0]',
  })
  t.same(
    groupsLeft().filter(path => path.endsWith(name)),
    [],
  )
})

t.test('rules are exchanged at once, and other programs stay', needsUnified, async t => {
  const group = await parentGroup(t, unified())
  const { fd, close } = folder(group)
  const program = native().bpfLoad(Buffer.from('b7000000010000009500000000000000', 'hex'), 'other')
  native().bpfAttach(fd, program, -1)
  const [other] = native().bpfQuery(fd) as [number]
  const null3: Rule = { allow: true, type: 'c', major: 1, minor: 3 }

  await group.setDevices([null3])
  const first = native().bpfQuery(fd)
  t.equal(first.length, 2)
  await group.setDevices([null3, { ...null3, access: 'm' }])
  t.same(native().bpfQuery(fd), first, 'the same rules are the same program')

  // As long as both allow it, it is never refused.
  const child = await namespaces.spawn(
    ['sh', '-c', 'while [ ! -e /tmp/$0 ]; do : < /dev/null || exit 1; done', `stop-${process.pid}`],
    { cgroup: group, stdio: 'ignore', unshare: ['mount'] },
  )
  for (let i = 0; i < 200; i++)
    await group.setDevices(i % 2 ? [null3] : ['c 1:* rwm', { allow: false, minor: 5 }])
  t.equal(native().bpfQuery(fd).length, 2)
  t.ok(native().bpfQuery(fd).includes(other))
  const ended = await Promise.race([child.exited, undefined])
  t.equal(ended, undefined, 'it has not been refused')
  await child.kill()
  await child.exited

  await group.setDevices(['a'])
  t.same(native().bpfQuery(fd), [other])
  t.same(await group.devices(), [{ allow: true, type: 'a', access: 'rwm' }])
  native().bpfDetach(fd, program)
  native().close(program)
  close()
})

t.test('groups above have the last word', needsUnified, async t => {
  const parent = await parentGroup(t, unified())
  const child = await Cgroup.create(`${parent.path}/below`, unified())
  await parent.setDevices(['c 1:3 rwm'])
  await child.setDevices(['a'])
  t.match(await shell(child, ': < /dev/zero'), /not permitted/)
  t.equal(await shell(child, ': < /dev/null'), '')
  t.same(await child.devices(), [{ allow: true, type: 'a', access: 'rwm' }], 'itself it has none')
})

t.test('a list that can’t be had is left as it was', needsDevices, async t => {
  if (old === undefined) return t.comment('there is version 2 alone')
  const parent = await parentGroup(t, {
    controllers: ['devices'],
    devices: ['c 1:3 rwm', 'c 1:5 r'],
  })
  const child = await Cgroup.create(`${parent.path}/below`, { controllers: ['devices'] })
  t.equal(listOf(child), listOf(parent))
  await t.rejects(child.setDevices(['c 1:5 r', 'c 1:7 r']), {
    code: 'EPERM',
    controller: 'devices',
    path: join(cgroups.folderOf(child, 'devices')?.path as string, 'devices.allow'),
    hint: /the one above/,
  })
  t.equal(listOf(child), listOf(parent))
  const only = { path: child.path, folders: child.folders.filter(({ version }) => version === 1) }
  const rules = ['c 1:* r', { allow: false, type: 'c', major: 1, minor: 3 } as const]
  await t.rejects(setDevices(only, devicesOption('devices', rules)), {
    code: 'ERR_UNSUPPORTED',
    option: 'devices',
    hint: /mount -t cgroup2/,
  })
  t.equal(listOf(child), listOf(parent))
})

t.test('a group that has gone says so', needsUnified, async t => {
  const group = await Cgroup.create(groupName(), unified())
  await group.delete()
  await t.rejects(group.setDevices(['c 1:3 r']), { code: 'ENOENT' })
  await t.rejects(group.devices(), { code: 'ENOENT' })
})

t.test('who may load no program is told what it takes', needsUnified, async t => {
  const group = await parentGroup(t, unified())
  const [said] = await asUser(
    t,
    `const { cgroups } = await import('cofferdam')
    const group = await cgroups.Cgroup.open(${JSON.stringify(group.path)})
    await group.setDevices(['c 1:3 r']).catch(error => say(told(error)))`,
  )
  t.match(said, { code: 'EPERM', syscall: 'bpf', hint: /CAP_BPF/ })
})

t.test('no group is left', t => {
  t.same(groupsLeft(), [])
  t.end()
})

t.test('nothing is left behind', needsRoot, nothingLeft)
