// Discovery: what is mounted where, seen from many places.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroups } from 'cofferdam'
import t from 'tap'
import {
  groupsLeft,
  mountUnified,
  needsUnified,
  parentGroup,
  programIn,
} from '../support/cgroups.js'
import { needsRoot, scratch } from '../support/index.js'

const here = await cgroups.layout()
const unified = here.hierarchies.find(({ version }) => version === 2)
const legacy = here.hierarchies.filter(({ version }) => version === 1)
const needsLegacy =
  legacy.length > 0 ? needsRoot : { skip: 'this kernel has no hierarchies of version 1 mounted' }

const sayLayout = 'say(await cgroups.layout())'
const layoutIn = async (where: Parameters<typeof programIn>[0]) =>
  (await programIn(where, sayLayout))[0] as cgroups.Layout

/** Shell commands that unmount all control groups. */
const withoutAny = `for at in $(findmnt -rno TARGET -t cgroup,cgroup2 | tac); do umount "$at"; done`
const withoutUnified = `for at in $(findmnt -rno TARGET -t cgroup2); do umount "$at"; done`

t.test('each hierarchy once, where findmnt(8) finds it', async t => {
  // Hierarchies that other tests make meanwhile are mounted in namespaces of theirs.
  const places = execFileSync('findmnt', ['-rno', 'TARGET,FSTYPE', '-t', 'cgroup,cgroup2'], {
    encoding: 'utf8',
  })
  const found = here.hierarchies.map(({ mountPoint, version }) =>
    [mountPoint, version === 1 ? 'cgroup' : 'cgroup2'].join(' '),
  )
  t.same(found.sort(), places.trim().split('\n').sort())
  const controllers = here.hierarchies.flatMap(each => each.controllers)
  t.equal(new Set(controllers).size, controllers.length, 'a controller lives in one place')
  // /proc/cgroups has those that are built in; version 2 alone has more.
  const enabled = readFileSync('/proc/self/cgroup', 'utf8')
  for (const { version, controllers, own } of here.hierarchies) {
    const list = version === 1 && controllers.length > 0 ? controllers.join(',') : ''
    if (list !== '') t.ok(enabled.includes(`:${list}:${own}\n`), list)
  }
  const modes: Record<string, boolean> = {
    none: legacy.length === 0 && unified === undefined,
    legacy: legacy.length > 0 && unified === undefined,
    hybrid: legacy.length > 0 && unified !== undefined,
    unified: legacy.length === 0 && unified !== undefined,
  }
  t.equal(modes[here.mode], true)
})

t.test('own groups, and whether groups can be made there', async t => {
  for (const { ownFolder, writable, delegatable, controllers, version } of here.hierarchies) {
    const procs = readFileSync(join(ownFolder as string, 'cgroup.procs'), 'utf8')
    t.ok(procs.split('\n').includes(`${process.pid}`))
    if (process.getuid?.() !== 0) continue
    t.ok(writable)
    if (version === 1) t.same(delegatable, controllers)
    const made = join(ownFolder as string, `cofferdam-test-${process.pid}-layout`)
    execFileSync('mkdir', [made])
    execFileSync('rmdir', [made])
  }
  t.ok(here.delegate.includes('cgroup.procs'))
})

t.test('an ordinary user may not, nor anybody where they are read-only', needsRoot, async t => {
  const ordinary = await layoutIn({ by: 'setpriv --reuid=61234 --regid=61235 --clear-groups' })
  const readonly = await layoutIn({
    before: `for at in $(findmnt -rno TARGET -t cgroup,cgroup2); do mount -o remount,bind,ro "$at"; done`,
  })
  for (const layout of [ordinary, readonly]) {
    t.equal(layout.mode, here.mode)
    t.ok(layout.hierarchies.every(each => !each.writable && each.delegatable.length === 0))
  }
  t.ok(ordinary.hierarchies.every(each => !each.readonly))
  t.ok(readonly.hierarchies.every(each => each.readonly))
})

t.test('none at all', needsRoot, async t => {
  const [none, failed] = await programIn(
    { before: withoutAny },
    `${sayLayout}; say(await failing(Cgroup.create('x')))`,
  )
  t.match(none, { mode: 'none', hierarchies: [] })
  t.match(failed, { code: 'ERR_UNSUPPORTED', hint: /mount -t cgroup2/ })
})

t.test('a unified hierarchy in a strange place, and with a strange name', needsUnified, async t => {
  const folder = scratch(t)
  const at = join(folder, 'a \\place\tof its own')
  mkdirSync(at)
  const [layout, made] = await programIn(
    { before: `${withoutAny}; ${mountUnified} "${at.replaceAll('\\', '\\\\')}"` },
    `${sayLayout}
    const group = await Cgroup.create('/cofferdam-test-${process.pid}-strange')
    say([group.folders.map(each => each.path), existsSync(group.folders[0].path)])
    await group.delete()
    say(existsSync(group.folders[0].path))`,
  )
  t.match(layout, {
    mode: 'unified',
    hierarchies: [{ version: 2, mountPoint: at, root: '/', controllers: unified?.controllers }],
  })
  t.same(made, [[join(at, `cofferdam-test-${process.pid}-strange`)], true])
})

t.test(
  'several mounts of one: the one that shows most and can be written to',
  needsUnified,
  async t => {
    const folder = scratch(t)
    const parent = await parentGroup(t)
    const from = cgroups.unifiedOf(parent)?.path
    for (const name of ['part', 'whole', 'ro', 'covered']) mkdirSync(join(folder, name))
    const layout = await layoutIn({
      before: `${withoutUnified}; cd ${folder}
      ${mountUnified} ro
      mount --bind ro${parent.path} part
      mount --bind ro covered; mount -t tmpfs none covered
      mount --bind ro whole
      mount -o remount,bind,ro ro; cd "$OLDPWD"`,
    })
    const found = layout.hierarchies.filter(({ version }) => version === 2)
    t.match(found, [
      { mountPoint: join(folder, 'whole'), root: '/', readonly: false, writable: true },
    ])
    t.same(
      found[0]?.mountPoints,
      ['ro', 'part', 'whole'].map(name => join(folder, name)),
      'but not what another mount covers',
    )
    t.ok(from)

    const part = await layoutIn({
      before: `${withoutUnified}; cd ${folder}; ${mountUnified} ro; mount --bind ro${parent.path} part; umount ro; cd "$OLDPWD"`,
    })
    t.match(part.hierarchies.at(-1), {
      root: parent.path,
      mountPoint: join(folder, 'part'),
      writable: false,
    })
    t.notHas(part.hierarchies.at(-1), 'ownFolder', 'it does not show this program’s own')
  },
)

t.test('legacy: version 1 alone, when the unified one is not mounted', needsLegacy, async t => {
  const layout = await layoutIn({ before: withoutUnified })
  t.equal(layout.mode, 'legacy')
  t.same(layout.hierarchies, legacy)
})

t.test('a cgroup namespace whose mounts were made inside', needsUnified, async t => {
  const parent = await parentGroup(t)
  const inside = cgroups.unifiedOf(parent)?.path
  const layout = await layoutIn({
    before: `echo $$ > ${inside}/cgroup.procs; ${withoutAny}
      exec unshare --mount --cgroup sh -c 'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"' sh "$@"`,
  })
  t.match(layout, {
    mode: 'unified',
    hierarchies: [
      {
        root: '/',
        own: '/',
        mountPoint: '/sys/fs/cgroup',
        ownFolder: '/sys/fs/cgroup',
        writable: true,
      },
    ],
  })
})

t.test('a cgroup namespace that sees the mounts of outside', needsUnified, async t => {
  const parent = await parentGroup(t, { controllers: ['freezer'] })
  const leaf = await cgroups.Cgroup.create(`${parent.path}/deep/er`, { controllers: ['freezer'] })
  const inside = cgroups.unifiedOf(leaf)?.path as string
  const [layout, child] = await programIn(
    {
      before: `echo $$ > ${inside}/cgroup.procs`,
      by: 'unshare --cgroup',
    },
    `${sayLayout}
    const own = (await cgroups.layout()).hierarchies.at(-1).ownFolder
    say(existsSync(own + '/cgroup.procs'))`,
  )
  t.match((layout as cgroups.Layout).hierarchies.at(-1), {
    root: '/../../..',
    own: '/',
    ownFolder: inside,
    writable: true,
  })
  t.equal(child, true)
})

t.test('a cgroup2 mount that has a stray controller serves for it', needsUnified, async t => {
  const stray = unified?.controllers.filter(name => name !== 'freezer')[0]
  if (stray === undefined) return t.pass('it has none here')
  const group = await parentGroup(t, { controllers: [stray] })
  t.equal(cgroups.folderOf(group, stray)?.version, 2)
  t.equal(group.folders.length, 1)
  t.ok(existsSync(join(group.folders[0]?.path as string, 'cgroup.events')))
})

t.test('controllers that share a hierarchy, and their symbolic links', needsLegacy, async t => {
  const folder = scratch(t)
  // Together they can only be mounted where nobody uses them yet; the same mount will do.
  const [first] = legacy
  const said = await programIn(
    { before: `ln -s ${first?.mountPoint} ${folder}/link; mount --bind ${folder}/link ${folder}` },
    sayLayout,
  )
  const found = (said[0] as cgroups.Layout).hierarchies.filter(each =>
    each.mountPoints.includes(first?.mountPoint as string),
  )
  t.equal(found.length, 1)
  t.same(found[0]?.mountPoints, [first?.mountPoint, folder])
})

t.test('it is looked up again when mounts change', needsUnified, async t => {
  const [before, after, again] = await programIn(
    {},
    `say((await cgroups.layout()).mode)
    const at = (await cgroups.layout()).hierarchies.at(-1).mountPoint
    execFileSync('umount', [at])
    say((await cgroups.layout()).mode)
    execFileSync('sh', ['-c', '${mountUnified} "$0"', at])
    say((await cgroups.layout()).mode)`,
  )
  t.same([before, again], [here.mode, here.mode])
  t.equal(after, here.mode === 'hybrid' ? 'legacy' : 'none')
})

t.test('no group is left', needsRoot, async t => t.same(groupsLeft(), []))
