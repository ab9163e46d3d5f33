// Each system call of mounts, and of ways to change the root, fails in turn.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bind, type CofferdamError, Container, mounts, tmpfs } from 'cofferdam'
import t, { type Test } from 'tap'
import { failEach, remember } from '../support/faults.js'
import { makeRoot, needsRoot, rememberTraces, scratch } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'

const nothingLeft = await rememberTraces()

const { apply, cgroup, device, directory, file, move, overlay, proc } = mounts
const { propagate, remount, symlink, unmount } = mounts

/** What is made besides mounts, and changes to them. */
const entries = [
  tmpfs('/made/tmpfs'),
  proc('/made/proc', { hidepid: 'invisible' }),
  overlay('/made/overlay', { lower: ['/usr/share'] }),
  directory('/made/directory', { mode: 0o2750, uid: 7 }),
  file('/made/file', 'content', { uid: 7 }),
  file('/made/mounted', 'content', { mount: true, readonly: true }),
  symlink('/made/link', 'file', { uid: 7 }),
  remount('/made/tmpfs', { readonly: true }),
  propagate('/made/tmpfs', 'shared'),
  move('/made/tmpfs', '/made/moved'),
  // A close that fails leaves a descriptor, which would hold it.
  unmount('/made/moved', { detach: true }),
]

const entrySteps = [
  ...['tmpfs /made/tmpfs', 'proc /made/proc', 'overlay /made/overlay', 'directory /made/directory'],
  ...['file /made/file', 'file /made/mounted', 'symlink /made/link'],
  ...['remount /made/tmpfs', 'propagation /made/tmpfs', 'move /made/tmpfs'],
  'unmount /made/moved',
]

const ids = (hostId: number) => [{ containerId: 0, hostId, size: 1000 }]
const idmap = { uid: ids(1000), gid: ids(1000) }
const null_ = device('/made/null', { major: 1, minor: 3, uid: 7 })

/** Of one kind each: the container, and the steps that must have failed as themselves. */
const cases: [
  name: string,
  steps: readonly string[],
  make: (t: Test, root: string) => Container,
][] = [
  [
    'entries, and changes of mounts',
    [...entrySteps, 'pivot'],
    (_, root) => new Container().rootfs(root).mount(...entries),
  ],
  [
    'mounts of more than the path: peers, other owners, control groups, devices',
    [
      ...['peer /made/peer', 'bind /made/peer', 'bind /made/idmapped'],
      ...['cgroup /made/cgroup', 'device /made/null'],
    ],
    (t, root) =>
      new Container()
        .rootfs(root)
        .mount(
          bind(scratch(t), '/made/peer', { propagation: 'rslave' }),
          bind(scratch(t), '/made/idmapped', { idmap }),
          cgroup('/made/cgroup'),
          null_,
        ),
  ],
  ['move', ['rootfs', 'move root'], (_, root) => new Container().rootfs(root, { change: 'move' })],
  ['chroot', ['rootfs', 'chroot'], (_, root) => new Container().rootfs(root, { change: 'chroot' })],
]

/** Makes a container and deletes it; gives the error, if any. */
async function attempt(builder: Container): Promise<CofferdamError | undefined> {
  try {
    await using _ = await builder.create()
    return undefined
  } catch (error) {
    return error as CofferdamError
  }
}

for (const [name, expected, make] of cases)
  t.test(name, needsRoot, async t => {
    const root = makeRoot(t)
    const builder = make(t, root)
    const check = remember(root)
    const steps = new Set<string | undefined>()
    const tried = await failEach(
      { half: 'create', plan: 1 },
      () => attempt(builder),
      (error, at) => {
        if (error.code !== 'EIO' || !error.syscall)
          t.fail(`call ${at}: ${error.code} ${error.message}`)
        steps.add(error.step)
      },
    )
    t.ok(tried > 60, `${tried} calls were tried`)
    for (const step of expected) t.ok(steps.has(step), `${step} has failed as itself`)
    await check(t)
  })

t.test('the user namespace of an id map', needsRoot, async t => {
  const root = makeRoot(t)
  const check = remember(root)
  const builder = new Container().rootfs(root).mount(bind('/var/tmp', '/made', { idmap }))
  const steps = new Set<string | undefined>()
  const tried = await failEach(
    { half: 'create', plan: 2 },
    () => attempt(builder),
    (error, at) => {
      if (error.name !== 'CofferdamError') t.fail(`call ${at}: ${error.code} ${error.message}`)
      steps.add(((error.cause as CofferdamError | undefined) ?? error).step)
    },
  )
  t.ok(tried > 10, `${tried} calls were tried`)
  t.ok(steps.has('user namespace'), [...steps].join())
  await check(t)
})

t.test('apply(): what it had mounted is taken back', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir there b; mount -t tmpfs none there')
  for (const name of ['a', 'c', 'd', 'e']) mkdirSync(join(folder, name))
  const table = () => readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  const check = remember(folder)
  const before = table()
  const all = [
    tmpfs('/a'),
    bind(folder, '/c', { readonly: true }),
    bind('/var/tmp', '/d', { idmap }),
    move('/there', '/b'),
    tmpfs('/e'),
  ]
  const steps = new Set<string | undefined>()
  const left = new Set<number>()
  const once = async () => {
    try {
      await apply(all, { namespace: { pid }, root: folder })
    } catch (error) {
      return error as CofferdamError
    }
    await apply(
      [
        ...['/e', '/d', '/c', '/a'].map(path => unmount(path, { detach: true })),
        move('/b', '/there'),
      ],
      { namespace: { pid }, root: folder },
    )
    return undefined
  }
  for (const plan of [1, 2]) {
    const tried = await failEach({ half: 'create', plan }, once, (error, at) => {
      if (error.name !== 'CofferdamError') t.fail(`call ${at}: ${error.code} ${error.message}`)
      steps.add(error.step)
      if (table() === before) return
      left.add(at)
      throw error
    })
    t.ok(tried > 10, `${tried} calls were tried`)
    t.same([...left], [], 'what was mounted has been taken back')
  }
  for (const step of ['tmpfs /a', 'bind /c', 'bind /d', 'move /there', 'tmpfs /e'])
    t.ok(steps.has(step), `${step} has failed as itself`)
  await check(t)
})

t.test('nothing is left behind', needsRoot, nothingLeft)
