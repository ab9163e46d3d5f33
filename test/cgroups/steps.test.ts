import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cgroups, plan } from 'cofferdam'
import t from 'tap'
import { native } from '#lib/base/index.js'
import { readDevices } from '#lib/cgroups/devices.js'
import { dieWithHostStep, Init, launchOf, ownerOfSteps } from '#lib/run/index.js'
import { needsRoot, rememberTraces, scratch } from '../support/index.js'

const { call, close, encode, hostStep, slot, step } = plan
const nothingLeft = await rememberTraces()

const { hierarchies } = cgroups.layoutNow()
const needsGroups = hierarchies.length === 0 ? { skip: 'no cgroups here' } : needsRoot

/** Below these a group for each process is made; cpusets are left out, which begin empty. */
const template = {
  path: '/x',
  folders: hierarchies
    .filter(({ version, controllers }) => version === 2 || !controllers.includes('cpuset'))
    .map(({ version, controllers, mountPoint }) => ({
      version,
      controllers,
      path: join(mountPoint, 'x'),
    })),
}
const pathsOf = (name: string) => template.folders.map(({ path }) => join(dirname(path), name))

/** Launches an init in a group of its own, and looks at it; then all is gone. */
async function launch<T>(
  name: string,
  writes: Parameters<typeof cgroups.making>[1],
  look: (pid: number) => T,
  { of = template, host = [], first = [], last = [] }: Partial<Own> = {},
): Promise<T> {
  const made = cgroups.making(of, writes)
  const here = slot('here')
  const steps = [
    ...made.host,
    ...host,
    // What a group leaves does not take another's place.
    hostStep('more', call('openat', [-100, '/', 0o12000000], { result: here })),
    ...made.steps,
    ...first,
    dieWithHostStep(),
    step('look', call('fchdir', [here]), ...last),
    step('park', plan.park()),
  ]
  const owner = ownerOfSteps(name)
  const texts = ({ placeholders }: plan.EncodedPlan) => placeholders.map(() => name)
  const init = new Init(name, { ...owner, texts })
  try {
    await init.launch(launchOf(steps, { into: made.into }))
    return await look(init.pid as number)
  } finally {
    init.kill()
    await init.end()
    for (const path of pathsOf(name)) if (existsSync(path)) rmdirSync(path)
  }
}

/** What else belongs to a launch. */
interface Own {
  of: cgroups.GroupFolders
  host: plan.HostStep[]
  first: plan.InitStep[]
  last: plan.Operation[]
}

t.test('a process begins in groups that are made for it, with limits', needsGroups, async t => {
  const files = template.folders.map(({ version, path }) => ({
    version,
    path: join(path, version === 1 ? 'notify_on_release' : 'cgroup.max.depth'),
  }))
  const writes = [
    ...files.map(({ version, path }) => ({
      path,
      value: version === 1 ? '1' : '3',
      controller: 'cgroup',
    })),
    {
      path: join(template.folders[0]?.path as string, 'none'),
      value: '1',
      controller: 'x',
      tolerate: ['ENOENT'],
    },
  ]
  for (const name of ['one', 'two'].map(word => `cofferdam-test-${process.pid}-${word}`))
    await launch(name, writes, pid => {
      const groups = cgroups.parseMembership(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
      const apart = groups.filter(({ controllers }) => !controllers.includes('cpuset'))
      t.same([...new Set(apart.map(({ path }) => path))], [`/${name}`])
      for (const { version, path } of files) {
        const own = join(dirname(dirname(path)), name, path.slice(path.lastIndexOf('/')))
        t.equal(readFileSync(own, 'utf8').trim(), version === 1 ? '1' : '3', own)
      }
    })
})

t.test('what fails names the file of the process’s own group', needsGroups, async t => {
  const name = `cofferdam-test-${process.pid}-fails`
  const first = template.folders[0]?.path as string
  const parent = dirname(first)
  const none = [{ path: join(first, 'none'), value: '1', controller: 'x' }]
  await t.rejects(
    launch(name, none, () => undefined),
    {
      code: 'ENOENT',
      step: 'limits',
      syscall: 'openat',
      path: join(parent, name, 'none'),
    },
  )
  const invalid = [{ path: join(first, 'cgroup.procs'), value: 'x', controller: 'cgroup' }]
  await t.rejects(
    launch(name, invalid, () => undefined),
    {
      code: 'EINVAL',
      step: 'limits',
      syscall: 'write',
      path: join(parent, name, 'cgroup.procs'),
    },
  )
  for (const path of pathsOf(name)) mkdirSync(path)
  await t.rejects(
    launch(name, [], () => undefined),
    {
      code: 'EEXIST',
      step: 'make groups',
      syscall: 'mkdirat',
      path: join(parent, name),
    },
  )
  t.throws(() => cgroups.making(template, [{ path: '/etc/x', value: '', controller: 'x' }]), {
    code: 'ERR_INVALID_OPTION',
  })
})

const unified = template.folders.filter(({ version }) => version === 2)
const open = (path: string) =>
  call('openat', [-100, path, 0o2000000], { result: slot('opened'), about: path })

for (const [where, of] of [
  ['all hierarchies', template],
  ['version 2', { path: '/x', folders: unified }],
] as const)
  t.test(`it keeps to rules on devices from its beginning, in ${where}`, needsGroups, async t => {
    if (of.folders.length === 0) return t.comment('there is no such')
    const name = `cofferdam-test-${process.pid}-devices`
    const { writes, host, steps } = cgroups.deviceEntry(
      of,
      cgroups.devicesOption('devices', cgroups.defaultDeviceRules),
    )
    const more = { of, host, first: steps }
    const own = {
      path: `/${name}`,
      folders: of.folders.map(folder => ({ ...folder, path: join(dirname(folder.path), name) })),
    }
    for (let i = 0; i < 2; i++) {
      const found = await launch(name, writes, () => readDevices(own), {
        ...more,
        last: [open('/dev/zero')],
      })
      t.same(found, cgroups.normalDeviceRules(cgroups.defaultDeviceRules))
    }
    await t.rejects(
      launch(name, writes, () => undefined, { ...more, last: [open('/dev/kmsg')] }),
      { code: 'EPERM', step: 'look', path: '/dev/kmsg' },
    )
  })

t.test('a host step may close what it has opened, and nothing else', async t => {
  const file = slot('file')
  const kept = slot('kept')
  const open = (path: string, result: plan.Slot) =>
    call('openat', [-100, path, 0o2000000], { result })
  const checked = (...operations: plan.Operation[]) =>
    native().check(encode([hostStep('x', ...operations)], { hold: true }).bytes, true)
  t.ok(checked(open('/', file), close(file)))
  t.notOk(checked(call('close', [0])))
  const folder = scratch(t)
  const { bytes, held } = encode(
    [hostStep('x', open('/', file), open(folder, kept), close(file))],
    { hold: true },
  )
  t.same(held, [kept])
  const fds = native().run(bytes)
  t.equal(fds.length, 1)
  for (const fd of fds) native().close(fd)
})

t.test('nothing is left behind', needsRoot, nothingLeft)
