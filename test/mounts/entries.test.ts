// Files, directories, symbolic links and devices made from data, and a root that
// is built of them.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Container, mounts } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  program,
  rememberTraces,
  run,
  scratch,
} from '../support/index.js'
import { bareRoot, look } from '../support/mounted.js'

const { bind, device, directory, file, symlink, tmpfs } = mounts
const nothingLeft = await rememberTraces()
const bare = () => bareRoot(new Container())

t.test('an empty root: merged-usr, built from nothing', needsContainers, async t => {
  const { mounts: table, said } = await look(
    bare(),
    'ls /; readlink /bin; stat -c %a /; touch /x && echo written',
  )
  t.equal(said, 'bin\ndev\nlib\nlib64\nproc\nsbin\nsys\nusr\nusr/bin\n755\nwritten')
  t.equal(table.get('/')?.fsType, 'tmpfs')
  t.equal([...table.values()].filter(({ mountPoint }) => mountPoint === '/').length, 1)
  const options = { size: '1MiB', mode: 0o711, inodes: 50, noexec: true, nodev: true }
  const other = await look(
    new Container()
      .rootfs(mounts.emptyRoot(options), { readonly: true })
      .mount(
        hostPrograms,
        ...['bin', 'lib', 'lib64'].map(name => symlink(`/${name}`, `usr/${name}`)),
      ),
    'stat -c %a /; df -k --output=size,itotal / | tail -1; touch /x; touch /dev/shm/y && echo written',
  )
  t.match(other.said, /^711\n +1024 +50\nwritten\n.*Read-only file system/)
  t.equal(other.mounts.get('/')?.options, 'ro,nosuid,nodev,noexec,relatime')
})

t.test('an empty root: nothing of the host is to be seen', needsRoot, async t => {
  const { mounts: table } = await look(bare())
  const places = [...table.keys()].filter(place => !/^\/(proc|sys|dev)(\/|$)/.test(place))
  t.same(places, ['/', '/usr'])
})

t.test('files: content, mode and owner', needsRoot, async t => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i)
  const { said } = await look(
    bare().mount(
      file('/etc/text', 'grüße\n'),
      file('/etc/secret', 'x', { mode: 0o600, uid: 7, gid: 8 }),
      file('/etc/suid', '#!/bin/sh\n', { mode: 0o6755, uid: 9 }),
      file('/etc/empty', ''),
      file('/etc/bytes', bytes),
    ),
    'cat /etc/text; stat -c "%n %a %u %g %s" /etc/*; sha256sum < /etc/bytes',
  )
  t.equal(
    said,
    `grüße
/etc/bytes 644 0 0 70000
/etc/empty 644 0 0 0
/etc/secret 600 7 8 1
/etc/suid 6755 9 0 10
/etc/text 644 0 0 8
${(await import('node:crypto')).createHash('sha256').update(bytes).digest('hex')}  -`,
  )
})

t.test('files: one that does not fit is an error, and nothing is left', needsRoot, async t => {
  const builder = bare().mount(
    tmpfs('/small', { size: 4096 }),
    file('/small/big', 'x'.repeat(10_000)),
  )
  await t.rejects(builder.create(), { code: 'ENOSPC', step: 'file /small/big' })
})

t.test('files: mounted over what is there, which is not touched', needsContainers, async t => {
  const root = makeRoot(t)
  writeFileSync(join(root, 'etc/hosts'), 'of the image')
  const { mounts: table, said } = await look(
    new Container()
      .rootfs(root)
      .mount(
        hostPrograms,
        file('/etc/hosts', 'covered', { mount: true, mode: 0o640 }),
        file('/etc/made', 'fixed', { mount: true, readonly: true }),
      ),
    'cat /etc/hosts /etc/made; stat -c %a /etc/hosts; echo changed > /etc/hosts; cat /etc/hosts; echo x > /etc/made',
  )
  t.match(said, /^coveredfixed640\nchanged\n.*Read-only file system/)
  t.equal(table.get('/etc/hosts')?.fsType, 'tmpfs')
  t.equal(readFileSync(join(root, 'etc/hosts'), 'utf8'), 'of the image')
  t.same(readdirSync(join(root, 'etc')), ['hosts'])
})

t.test('directories: mode and owner, and one that is there is left', needsRoot, async t => {
  const { said } = await look(
    bare().mount(
      directory('/a/b', { mode: 0o700 }),
      directory('/c', { mode: 0o3777, uid: 7, gid: 8 }),
      directory('/a/b', { mode: 0o777 }),
      directory('/bin/x/..'.replace('/x/..', ''), { mode: 0o700 }),
    ),
    'stat -c "%n %a %u %g" /a /a/b /c /usr/bin',
  )
  t.equal(said, '/a 755 0 0\n/a/b 700 0 0\n/c 3777 7 8\n/usr/bin 755 0 0')
  const builder = bare().mount(file('/f', ''), directory('/f'))
  await t.rejects(builder.create(), { code: 'ENOTDIR', step: 'directory /f' })
})

t.test('symbolic links lead where they say, and nothing is overwritten', needsRoot, async t => {
  const { said } = await look(
    bare().mount(symlink('/deep/link', '../nowhere', { uid: 7, gid: 8 })),
    'stat -c "%N %u %g" /deep/link',
  )
  t.equal(said, "'/deep/link' -> '../nowhere' 7 8")
  for (const again of [symlink('/l', 'b'), file('/l', 'x'), device('/l', { major: 1, minor: 1 })])
    await t.rejects(
      bare().mount(symlink('/l', '/etc'), again).create(),
      { code: 'EEXIST', hint: /there already/ },
      again.type,
    )
})

t.test('devices: made, and those of the host bound where they can not be', needsRoot, async t => {
  const zero = device('/dev/my/zero', {
    major: 1,
    minor: 5,
    mode: 0o640,
    gid: 9,
    source: '/dev/zero',
  })
  const script =
    'stat -c "%F %t %T %a %g" /dev/my/zero; head -c 3 /dev/my/zero | wc -c; grep -c /dev/my/zero /proc/self/mountinfo'
  const made = await look(bare().mount(zero), script)
  t.equal(made.said, 'character special file 1 5 640 9\n3\n1', 'a mount, since /dev is nodev')
  const node = await look(bare().rootfs(mounts.emptyRoot(), { nodev: false }).mount(zero), script)
  t.equal(node.said, 'character special file 1 5 640 9\n3\n0')
  const ids = [{ containerId: 0, hostId: 100_000, size: 1000 }]
  const bound = await look(bare().idMappings({ uid: ids, gid: ids }).mount(zero), script)
  t.match(bound.said, /^character special file 1 5 666 65534\n3\n1$/)
  t.same(statSync('/dev/zero').mode & 0o7777, 0o666, 'the host’s file is as it was')
  const block = device('/dev/disk', { type: 'b', major: 7, minor: 300, mode: 0o600 })
  const disk = await look(bare().mount(block), 'stat -c "%F %t %T" /dev/disk')
  t.equal(disk.said, 'block special file 7 12c')
})

t.test('devices: what is bound must be that device', needsRoot, async t => {
  const ids = [{ containerId: 0, hostId: 100_000, size: 1000 }]
  for (const wrong of [
    device('/dev/x', { major: 1, minor: 6, source: '/dev/zero' }),
    device('/dev/x', { type: 'b', major: 1, minor: 5, source: '/dev/zero' }),
    device('/dev/x', { major: 1, minor: 5, source: '/etc/passwd' }),
  ])
    await t.rejects(bare().idMappings({ uid: ids, gid: ids }).mount(wrong).create(), {
      code: 'EPERM',
      syscall: 'mknodat',
    })
})

t.test(
  'what is made in a directory of the caller’s goes with the container',
  needsContainers,
  async t => {
    const root = makeRoot(t)
    const before = readdirSync(root, { recursive: true }).sort()
    const builder = new Container()
      .rootfs(root)
      .mount(
        hostPrograms,
        file('/made/file', 'content'),
        directory('/made/dir', { mode: 0o700 }),
        symlink('/made/link', 'file'),
        symlink('/made/dangling', '/nowhere/at/all'),
        file('/made/kept', 'as made'),
      )
    await using box = await builder.create()
    t.equal(readFileSync(join(root, 'made/link'), 'utf8'), 'content')
    const main = await box.start(['sh', '-c', 'echo changed > /made/kept'])
    await main.exited
    await box.delete()
    t.same(
      readdirSync(root, { recursive: true }).sort(),
      [...before, 'made', 'made/kept'].sort(),
      'but for what was changed',
    )
  },
)

t.test('what was there before stays, though it is the same', needsRoot, async t => {
  const root = makeRoot(t)
  mkdirSync(join(root, 'old'))
  symlinkSync('to', join(root, 'old/link'))
  writeFileSync(join(root, 'old/file'), 'same')
  const builder = (mount: mounts.Mount) => new Container().rootfs(root).mount(hostPrograms, mount)
  await t.rejects(builder(symlink('/old/link', 'to')).create(), { code: 'EEXIST' })
  await t.rejects(builder(file('/old/file', 'same')).create(), { code: 'EEXIST' })
  await run(builder(directory('/old')), ['true'])
  t.same(readdirSync(join(root, 'old')).sort(), ['file', 'link'])
})

t.test('one that fails half-way leaves nothing', needsRoot, async t => {
  const root = makeRoot(t)
  const before = readdirSync(root, { recursive: true }).sort()
  const builder = new Container()
    .rootfs(root)
    .mount(
      hostPrograms,
      file('/made/a', 'x'),
      device('/made/null', { major: 1, minor: 3 }),
      mounts.unmount('/made'),
    )
  await t.rejects(builder.create(), { code: 'EINVAL', step: 'unmount /made' })
  t.same(readdirSync(root, { recursive: true }).sort(), before)
})

t.test('below a bind mount it is the source that things are made in', needsRoot, async t => {
  const source = scratch(t)
  await using box = await bare()
    .mount(bind(source, '/m'), file('/m/sub/file', 'x'), symlink('/m/link', 'sub/file'))
    .create()
  t.equal(readFileSync(join(source, 'link'), 'utf8'), 'x')
  t.ok(lstatSync(join(source, 'link')).isSymbolicLink())
  await box.delete()
  t.same(readdirSync(source), [])
  t.ok(existsSync(source))
})

t.test('a loaded container takes back what another program’s has made', needsRoot, async t => {
  const root = makeRoot(t)
  const state = scratch(t)
  const made = `
    import { mounts } from 'cofferdam'
    const { file, symlink } = mounts
    await new Container('made-of-data')
      .rootfs(${JSON.stringify(root)})
      .mount(file('/data/file', Uint8Array.of(0, 255, 1)), symlink('/data/link', 'file'))
      .create({ lifetime: 'detached', ...state })
    process.exit()`
  await program(state, made)
  const again = await Container.load('made-of-data', { stateFolder: state })
  t.same([...readFileSync(join(root, 'data/file'))], [0, 255, 1])
  await again.delete()
  t.notOk(existsSync(join(root, 'data')))
})

t.test('nothing is left behind', needsContainers, nothingLeft)
