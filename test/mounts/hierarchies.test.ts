// One hierarchy of control groups: made, mounted and removed in a mount namespace.
import { readFileSync } from 'node:fs'
import { mounts } from 'cofferdam'
import t from 'tap'
import { programIn } from '../support/cgroups.js'
import { needsRoot, overHost } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'

const name = `cofferdam-test-${process.pid}`
const known = () => readFileSync('/proc/self/cgroup', 'utf8')

/** What a program prints that mounts what it likes on a /srv of its own. */
const inMounts = (body: string) =>
  programIn(
    { before: 'mount -t tmpfs none /srv' },
    `const mountOf = at => mounts.parseMountInfo(readFileSync('/proc/self/mountinfo')).find(each => each.mountPoint === at)
    ${body}`,
  )

t.test('a named one: made, used by its name, removed', needsRoot, async t => {
  const [mounted, layout, group, path, children, after] = await inMounts(`
    const hierarchy = { name: '${name}' }
    await mounts.apply([mounts.directory('/srv/h'), mounts.cgroup('/srv/h', { hierarchy, readonly: false })])
    say(mountOf('/srv/h'))
    say((await cgroups.layout()).hierarchies.find(each => each.name === '${name}'))
    const group = await Cgroup.create('/a/b', { controllers: ['name=${name}'] })
    say(group.folders.map(each => each.path))
    const child = spawn('sleep', ['60'])
    await group.add(child.pid)
    say((await cgroups.membership(child.pid)).find(each => each.controllers.includes('name=${name}')).path)
    const ended = once(child, 'exit')
    await (await Cgroup.open('/a')).delete()
    say(readdirSync('/srv/h').filter(each => !/^cgroup|^tasks|^notify|^release/.test(each)))
    await ended
    await mounts.removeHierarchy('/srv/h')
    say(readFileSync('/proc/self/cgroup', 'utf8').includes('${name}'))`)
  t.match(mounted, { fsType: 'cgroup', superOptions: new RegExp(`name=${name}`) })
  t.match(layout, { version: 1, controllers: [], name, mountPoint: '/srv/h', own: '/' })
  t.ok((group as string[]).includes('/srv/h/a/b'))
  t.equal(path, '/a/b')
  t.same(children, [])
  t.equal(after, false, 'the kernel has forgotten it')
  t.notMatch(known(), name)
})

t.test('it stays while there are groups in it, and can be mounted again', needsRoot, async t => {
  const said = await inMounts(`
    const mount = mounts.cgroup('/srv/h', { hierarchy: { name: '${name}-b' }, readonly: false })
    const there = () => readFileSync('/proc/self/cgroup', 'utf8').includes('${name}-b')
    await mounts.apply([mounts.directory('/srv/h'), mount])
    const group = await Cgroup.create('/kept', { controllers: ['name=${name}-b'] })
    await mounts.apply([mounts.unmount('/srv/h')])
    say(there())
    await mounts.apply([mount])
    say(await failing(mounts.removeHierarchy('/srv/h')))
    await (await Cgroup.open('/kept')).delete()
    await mounts.removeHierarchy('/srv/h')
    say(there())
    say(await failing(mounts.removeHierarchy('/srv/h')))`)
  t.match(said, [true, { code: 'EBUSY', hint: /kept/ }, false, { code: 'EINVAL', path: '/srv/h' }])
})

const both = ['net_cls', 'net_prio']
const listed = readFileSync('/proc/cgroups', 'utf8')
const needsBoth = both.every(each => new RegExp(`^${each}\\t0\\t`, 'm').test(listed))
  ? needsRoot
  : { skip: `this kernel has no ${both.join(', ')} that nobody uses` }

t.test('controllers together; alone they are busy', needsBoth, async t => {
  const [layout, group, alone] = await inMounts(`
    const at = (target, controllers) => mounts.apply([mounts.directory(target), mounts.cgroup(target, { hierarchy: { controllers }, readonly: false })])
    await at('/srv/both', ['net_cls', 'net_prio'])
    say((await cgroups.layout()).hierarchies.find(each => each.controllers.includes('net_cls')))
    const group = await Cgroup.create('/${name}', { controllers: ['net_prio'] })
    say(cgroups.folderOf(group, 'net_cls'))
    say(await failing(at('/srv/alone', ['net_cls'])))
    await group.delete()
    await mounts.removeHierarchy('/srv/both')`)
  t.match(layout, { controllers: both, mountPoint: '/srv/both' })
  t.match(group, { path: `/srv/both/${name}`, version: 1 })
  t.match(alone, { code: 'EBUSY', syscall: 'fsconfig', hint: /one hierarchy at a time/ })
})

t.test('the unified one alone, read-only unless asked otherwise', needsRoot, async t => {
  const [mount] = await inMounts(`
    await mounts.apply([mounts.directory('/srv/u'), mounts.cgroup('/srv/u', { hierarchy: 'unified' })])
    say(mountOf('/srv/u'))`)
  t.match(mount, { fsType: 'cgroup2', options: /^ro,nosuid,nodev,noexec/ })
})

// nsdelegate, which keeps containers to their groups, is where systemd has mounted it.
t.test('the machine’s options stay, without a cgroup namespace too', needsRoot, async t => {
  const options = () =>
    readFileSync('/proc/self/mountinfo', 'utf8').match(/ - cgroup2 \S+ (\S+)$/m)?.[1]
  const before = options()
  const box = await overHost()
    .isolate('mount', 'pid')
    .mount(mounts.cgroup('/sys/fs/cgroup'))
    .create()
  await box.delete()
  t.equal(options(), before)
})

t.test('only the initial cgroup namespace makes one', needsRoot, async t => {
  const [failed] = await programIn(
    { namespaces: ['--cgroup'], before: 'mount -t tmpfs none /srv' },
    `const mount = mounts.cgroup('/srv/h', { hierarchy: { name: '${name}-c' } })
    say(await failing(mounts.apply([mounts.directory('/srv/h'), mount])))`,
  )
  t.match(failed, { code: 'EPERM', hint: /initial cgroup namespace/ })
})

t.test('in the namespace of another process', needsRoot, async t => {
  const { pid, sh, folder } = await mountNamespace(t)
  const mount = mounts.cgroup(`${folder}/h`, { hierarchy: { name: `${name}-d` }, readonly: false })
  await mounts.apply([mounts.directory(`${folder}/h`), mount], { namespace: { pid } })
  await sh('mkdir h/group; echo $$ > h/group/tasks')
  t.match(known(), `${name}-d:/`)
  await sh('echo $$ > h/tasks; rmdir h/group')
  await mounts.removeHierarchy(`${folder}/h`, { namespace: { pid } })
  t.notMatch(known(), `${name}-d`)
})

t.test('what is none is refused', async t => {
  for (const [hierarchy, option] of [
    ['legacy', 'cgroup.hierarchy'],
    [{}, 'cgroup.hierarchy'],
    [{ controllers: [] }, 'cgroup.hierarchy'],
    [{ controllers: 'cpu' }, 'cgroup.hierarchy.controllers'],
    [{ controllers: ['none'] }, 'cgroup.hierarchy.controllers'],
    [{ controllers: ['cpu,memory'] }, 'cgroup.hierarchy.controllers'],
    [{ name: '' }, 'cgroup.hierarchy.name'],
    [{ name: 'a,b' }, 'cgroup.hierarchy.name'],
    [{ name: 'x'.repeat(64) }, 'cgroup.hierarchy.name'],
    [{ title: 'x' }, 'cgroup.hierarchy.title'],
  ] as const)
    t.throws(() => mounts.cgroup('/c', { hierarchy: hierarchy as never }), {
      code: 'ERR_INVALID_OPTION',
      option,
    })
})
