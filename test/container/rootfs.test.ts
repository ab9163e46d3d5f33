import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bind, Container, overlay, tmpfs } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  scratch,
  shell,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

/** Everything below a folder, with what kind of thing it is. */
function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map(
      entry =>
        `${entry.isDirectory() ? 'd' : entry.isSymbolicLink() ? 'l' : 'f'} ${join(entry.parentPath ?? entry.path, entry.name)}`,
    )
    .sort()
}

t.test(
  'overlay: what is changed and deleted inside is untouched outside',
  needsContainers,
  async t => {
    const folder = scratch(t)
    writeFileSync(join(folder, 'kept'), 'outside')
    writeFileSync(join(folder, 'deleted'), 'outside')
    const script = `cd ${folder} && rm deleted && echo inside > kept && echo new > made && ls && cat kept`
    t.equal(await shell(overHost(), script), 'kept\nmade\ninside')
    t.equal(readFileSync(join(folder, 'kept'), 'utf8'), 'outside')
    t.equal(readFileSync(join(folder, 'deleted'), 'utf8'), 'outside')
    t.notOk(existsSync(join(folder, 'made')))
  },
)

t.test(
  'overlay: many layers, the uppermost wins, names with commas and colons',
  needsRoot,
  async t => {
    const folder = scratch(t)
    const layers = ['a:1', 'b,2', 'c\\3'].map(name => join(folder, name))
    const root = makeRoot(t)
    layers.forEach((layer, i) => {
      mkdirSync(join(layer, 'etc'), { recursive: true })
      writeFileSync(join(layer, 'etc/layer'), `${i}`)
      writeFileSync(join(layer, `etc/only-${i}`), '')
    })
    const builder = new Container()
      .rootfs(overlay({ lower: [...layers, root] }))
      .mount(hostPrograms)
    t.equal(
      await shell(builder, 'cat /etc/layer; echo; ls /etc'),
      '0\nlayer\nonly-0\nonly-1\nonly-2',
    )
  },
)

t.test(
  'overlay: a writable layer of the caller’s keeps what was written',
  needsContainers,
  async t => {
    const folder = scratch(t)
    const root = makeRoot(t)
    const [upper, work] = [join(folder, 'upper'), join(folder, 'work')]
    mkdirSync(upper)
    mkdirSync(work)
    const builder = new Container()
      .rootfs(overlay({ lower: [root], upper, work }))
      .mount(hostPrograms, tmpfs('/made/for/it'))
    await shell(builder, 'echo kept > /etc/written')
    t.same(tree(upper), [`d ${upper}/etc`, `f ${upper}/etc/written`], 'and nothing else')
  },
)

t.test('overlay: the layer in memory has a size', needsContainers, async t => {
  const builder = new Container().rootfs(overlay({ lower: ['/'], size: '1MiB' }))
  const { stderr, exitCode } = await run(builder, [
    'sh',
    '-c',
    'head -c 2000000 /dev/zero > /root/big',
  ])
  t.not(exitCode, 0)
  t.match(stderr, /No space left/)
})

t.test('overlay: read-only', needsContainers, async t => {
  const builder = new Container().rootfs(overlay({ lower: ['/'] }), { readonly: true })
  const { stderr, exitCode } = await run(builder, ['touch', '/root/x'])
  t.not(exitCode, 0)
  t.match(stderr, /Read-only file system/)
})

t.test(
  'directory: what is written stays, and mount targets made for it go',
  needsContainers,
  async t => {
    const root = makeRoot(t)
    const before = tree(root)
    const file = join(scratch(t), 'file')
    writeFileSync(file, 'a file of the host')
    const builder = new Container()
      .rootfs(root)
      .mount(hostPrograms, tmpfs('/deep/ly/nested'), bind(file, '/some/file'))
    t.equal(
      await shell(builder, 'echo hi > /etc/new; cat /some/file; stat -f -c %T /deep/ly/nested'),
      'a file of the hosttmpfs',
    )
    t.same(
      tree(root).filter(entry => !before.includes(entry)),
      [`f ${root}/etc/new`],
    )
  },
)

t.test('directory: a target that has been changed is left', needsContainers, async t => {
  const root = makeRoot(t)
  const builder = new Container().rootfs(root).mount(hostPrograms, tmpfs('/made/here'))
  await using box = await builder.create()
  const main = await box.start(['sh', '-c', 'echo x > /made/kept'])
  await main.exited
  await box.delete()
  t.same(readdirSync(join(root, 'made')), ['kept'])
})

t.test(
  'directory: a target in use by another container is left to it',
  needsContainers,
  async t => {
    const root = makeRoot(t)
    const builder = new Container().rootfs(root).mount(hostPrograms, tmpfs('/shared'))
    const first = await builder.create()
    await using second = await builder.create()
    await first.delete()
    const main = await second.start(['stat', '-f', '-c', '%T', '/shared'])
    t.equal(await main.stdout.text(), 'tmpfs\n', 'its mount is still there')
  },
)

t.test('directory: read-only, with what is mounted below it', needsContainers, async t => {
  const root = makeRoot(t)
  const before = tree(root)
  const builder = new Container()
    .rootfs(root, { readonly: true })
    .mount(hostPrograms, tmpfs('/writable'))
  const script = 'touch /etc/x 2>&1; touch /writable/x && echo ok'
  t.match(await shell(builder, script), /Read-only file system\n?.*ok/s)
  t.same(tree(root), before, 'and targets made for it are gone')
})

t.test('no mount of the host can be seen inside', needsRoot, async t => {
  for (const builder of [overHost(), new Container().rootfs(makeRoot(t)).mount(hostPrograms)]) {
    const points = await shell(builder, 'cut -d" " -f5 /proc/self/mountinfo')
    const unexpected = points
      .split('\n')
      .filter(point => !/^\/$|^\/(proc|sys|dev|usr)(\/|$)/.test(point))
    t.same(unexpected, [])
    t.equal(points.split('\n').filter(point => point === '/').length, 1, 'one root')
  }
})

t.test('the old root can not be reached', needsContainers, async t => {
  const root = makeRoot(t)
  const builder = new Container().rootfs(root).mount(hostPrograms)
  t.equal(await shell(builder, 'cd /../../..; ls -d home opt 2>/dev/null; pwd'), '/')
  t.equal(
    await shell(
      builder.capabilities(['SYS_CHROOT']),
      'mkdir -p /tmp/c; ls /proc/1/root/home 2>/dev/null | wc -l',
    ),
    '0',
  )
})

t.test('symbolic links in a hostile root lead nowhere outside', needsContainers, async t => {
  const root = makeRoot(t)
  const outside = scratch(t)
  mkdirSync(join(outside, 'victim'))
  for (const [name, to] of [
    ['absolute', `${outside}/victim`],
    ['relative', `../../../../../../../..${outside}/victim`],
    ['parent', '../../..'],
  ] as const)
    symlinkSync(to, join(root, name))
  const source = scratch(t)
  writeFileSync(join(source, 'secret'), '')

  for (const target of ['/absolute', '/relative/deeper', '/parent/made']) {
    await using box = await new Container()
      .rootfs(root)
      .mount(hostPrograms, bind(source, target))
      .create()
      .catch(error => {
        // A dangling link is refused: nothing outside was touched for it.
        t.equal(error.code, 'EEXIST', target)
        return { [Symbol.asyncDispose]: async () => undefined, pid: undefined } as never
      })
    if (box.pid !== undefined)
      t.match(readFileSync(`/proc/${box.pid}/mountinfo`, 'utf8'), / \/(made|absolute|tmp)/, target)
    t.same(readdirSync(join(outside, 'victim')), [], `${target}: nothing in the victim`)
    t.same(readdirSync(outside), ['victim'], `${target}: nothing beside it`)
  }
})

t.test('magic links of /proc are refused as targets', needsContainers, async t => {
  const root = makeRoot(t)
  symlinkSync('/proc/self/root/tmp', join(root, 'magic'))
  symlinkSync('/proc/self/cwd', join(root, 'cwd'))
  for (const target of ['/magic/x', '/cwd/x'])
    await t.rejects(
      new Container().rootfs(root).mount(hostPrograms, tmpfs(target)).create(),
      { code: 'ELOOP', step: `tmpfs ${target}` },
      target,
    )
})

t.test('bind: read-only means submounts too', needsContainers, async t => {
  const folder = scratch(t)
  const inner = join(folder, 'inner')
  mkdirSync(inner)
  await using outer = await overHost()
    .capabilities(['SYS_ADMIN', 'DAC_OVERRIDE'])
    .mount(bind(folder, '/data', { readonly: true }))
    .create()
  const main = await outer.start(['sh', '-c', 'touch /data/x /data/inner/x; echo done'])
  t.match(await main.stderr.text(), /x.*Read-only file system.*x.*Read-only file system/s)
  t.same(readdirSync(folder), ['inner'])
  rmSync(inner, { recursive: true })
})

t.test('bind: devices and set-user-ID are off unless asked for', needsContainers, async t => {
  const folder = scratch(t)
  const options = async (builder: Container) =>
    shell(builder, 'grep " /data " /proc/self/mountinfo | cut -d" " -f6')
  t.equal(await options(overHost().mount(bind(folder, '/data'))), 'rw,nosuid,nodev,relatime')
  const relaxed = bind(folder, '/data', { nosuid: false, nodev: false, noexec: true })
  t.equal(await options(overHost().mount(relaxed)), 'rw,noexec,relatime')
})

t.test('tmpfs: size, mode, and whether programs run', needsContainers, async t => {
  const look = (builder: Container) =>
    shell(
      builder,
      'stat -c %a /t; df -k --output=size /t | tail -1 | tr -d " "; cp /bin/true /t/; /t/true && echo runs || echo no',
    )
  t.equal(await look(overHost().mount(tmpfs('/t', { size: '1MiB' }))), '1777\n1024\nno')
  t.equal(
    await look(overHost().mount(tmpfs('/t', { size: 2 << 20, mode: 0o700, exec: true }))),
    '700\n2048\nruns',
  )
})

t.test('lstat sees the root that was asked for', needsContainers, async t => {
  const root = makeRoot(t)
  const inode = await shell(new Container().rootfs(root).mount(hostPrograms), 'stat -c %i /')
  t.equal(Number(inode), lstatSync(root).ino)
})

t.test('nothing is left behind', needsContainers, nothingLeft)
