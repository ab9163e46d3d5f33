// Sequences of mounts done in mount namespaces that there are.
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mounts } from 'cofferdam'
import t from 'tap'
import { needsRoot, overHost, rememberTraces } from '../support/index.js'
import { mountNamespace } from '../support/mount-namespace.js'
import { inNamespace } from '../support/mounted.js'

const { apply, bind, directory, file, move, propagate, remount, symlink, tmpfs, unmount } = mounts
const nothingLeft = await rememberTraces()

const table = (pid: number) =>
  new Map(
    mounts
      .parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'))
      .map(mount => [mount.mountPoint, mount]),
  )

t.test('by pid, by path, by descriptor; and taken away again', needsRoot, async t => {
  const { pid, folder } = await mountNamespace(t)
  const fd = openSync(`/proc/${pid}/ns/mnt`, 'r')
  t.teardown(() => closeSync(fd))
  const own = readFileSync('/proc/self/mountinfo', 'utf8')
  for (const namespace of [{ pid }, `/proc/${pid}/ns/mnt`, { fd }]) {
    await apply([tmpfs(`${folder}/m`), bind('/usr', `${folder}/m/usr`, { readonly: true })], {
      namespace,
    })
    t.equal(table(pid).get(`${folder}/m`)?.fsType, 'tmpfs')
    t.match(table(pid).get(`${folder}/m/usr`)?.options, /^ro,nosuid,nodev/)
    await t.rejects(apply([unmount(`${folder}/m`)], { namespace }), {
      code: 'EBUSY',
      hint: /detach/,
    })
    await apply([unmount(`${folder}/m`, { detach: true })], { namespace })
    t.notOk(table(pid).has(`${folder}/m/usr`))
  }
  t.equal(readFileSync('/proc/self/mountinfo', 'utf8'), own, 'nothing here')
})

t.test('by default in this program’s own', needsRoot, async t => {
  const said = inNamespace(
    t,
    '',
    `import { readFileSync } from 'node:fs'
    const own = process.env.OWN
    const there = () => readFileSync('/proc/self/mountinfo', 'utf8').includes(own)
    const before = there()
    await mounts.apply([mounts.tmpfs(own)])
    const between = there()
    await mounts.apply([mounts.unmount(own)])
    console.log(before, between, there())`,
  )
  t.same(said, ['false true false'])
})

t.test('changes of what is there: attributes, propagation, place', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir a b; mount -t tmpfs none a; mkdir a/sub; mount -t tmpfs none a/sub')
  const namespace = { pid }
  await apply([remount(`${folder}/a`, { readonly: true, recursive: true, atime: 'noatime' })], {
    namespace,
  })
  t.match(table(pid).get(`${folder}/a/sub`)?.options, /^ro,noatime/)
  await apply([propagate(`${folder}/a`, 'shared'), move(`${folder}/a`, `${folder}/b`)], {
    namespace,
  })
  t.ok(table(pid).get(`${folder}/b`)?.propagation.shared)
  t.ok(table(pid).has(`${folder}/b/sub`))
  t.notOk(table(pid).has(`${folder}/a`))
})

t.test('unmount: expire, busy, a link that is not followed', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir m; mount -t tmpfs none m; ln -s m link')
  const namespace = { pid }
  await t.rejects(apply([unmount(`${folder}/link`)], { namespace }), { code: 'EINVAL' })
  await t.rejects(apply([unmount(`${folder}/m`, { expire: true })], { namespace }), {
    code: 'EAGAIN',
  })
  await apply([unmount(`${folder}/m`, { expire: true })], { namespace })
  t.notOk(table(pid).has(`${folder}/m`))
  await sh('mount -t tmpfs none m; exec 9<m')
  await t.rejects(apply([unmount(`${folder}/m`)], { namespace }), { code: 'EBUSY' })
  await apply([unmount(`${folder}/m`, { detach: true })], { namespace })
  await sh('exec 9<&-')
})

t.test('files, directories and links; over a root that is not to be left', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  symlinkSync('/', join(folder, 'up'))
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/there'), 'covered')
  const sequence = [
    directory('/up/d', { mode: 0o711 }),
    file('/d/f', 'plain'),
    symlink('/d/l', 'f'),
    file('/etc/there', 'mounted', { mount: true, readonly: true }),
  ]
  await apply(sequence, { namespace: { pid }, root: folder })
  t.equal(await sh('cat d/l etc/there; stat -c %a d').then(text => text.trim()), 'plainmounted711')
  t.match(table(pid).get(`${folder}/etc/there`)?.options, /^ro/)
})

t.test('what a sequence has mounted and moved it can unmount', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir -p a/x c')
  await apply(
    [
      tmpfs(`${folder}/a/x`),
      move(`${folder}/a/x`, `${folder}/c`),
      directory(`${folder}/c/y`),
      tmpfs(`${folder}/c/y`),
      move(`${folder}/c/y`, `${folder}/a/x`),
      unmount(`${folder}/c`),
    ],
    { namespace: { pid } },
  )
  t.notOk(table(pid).has(`${folder}/c`))
  t.equal(table(pid).get(`${folder}/a/x`)?.fsType, 'tmpfs')
})

t.test('what fails takes back what came before', needsRoot, async t => {
  const { pid, folder, sh } = await mountNamespace(t)
  await sh('mkdir a m; mount -t tmpfs none m')
  const before = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  const sequence = [
    tmpfs(`${folder}/a`),
    tmpfs(`${folder}/a/b`),
    bind('/usr', `${folder}/a/c`),
    move(`${folder}/m`, `${folder}/a/m`),
    bind('/no/such', `${folder}/a/d`),
  ]
  const error = await apply(sequence, { namespace: { pid } }).catch(error => error)
  t.match(error, { code: 'ENOENT', step: `bind ${folder}/a/d` })
  t.equal(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'), before)
})

t.test('into a container that runs', needsRoot, async t => {
  await using box = await overHost().create()
  const main = await box.start(['sh', '-c', 'read x; cat /mnt/file'])
  await apply([tmpfs('/mnt'), file('/mnt/file', 'brought')], {
    namespace: { pid: box.pid as number },
  })
  main.stdin.end('\n')
  t.equal(await main.stdout.text(), 'brought')
})

t.test('what can not be is refused', needsRoot, async t => {
  for (const [options, option] of [
    [{ namespace: 'relative' }, 'apply.namespace'],
    [{ namespace: { pid: -1 } }, 'apply.namespace'],
    [{ root: 'x' }, 'apply.root'],
    [{ where: 1 }, 'apply.where'],
  ] as const)
    await t.rejects(apply([tmpfs('/x')], options as never), { code: 'ERR_INVALID_OPTION', option })
  await t.rejects(apply('x' as never), { code: 'ERR_INVALID_OPTION' })
  await t.rejects(apply([{ type: 'x' } as never]), { code: 'ERR_INVALID_OPTION', option: 'mount' })
  await t.rejects(apply([tmpfs('/x')], { namespace: '/proc/self/ns/net' }), {
    code: 'EINVAL',
    syscall: 'setns',
  })
})

t.test('nothing is left behind', needsRoot, nothingLeft)
