// What mount(8) can say of a mount: each option has an effect that is seen inside,
// and is in the table of mounts that is seen outside.
import { chmodSync, copyFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Container, mounts } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, rememberTraces, scratch } from '../support/index.js'
import { bareRoot, inNamespace, look } from '../support/mounted.js'
import { asUser } from '../support/unprivileged.js'

const { bind, fileSystem, remount, tmpfs } = mounts
const nothingLeft = await rememberTraces()

/** With everything in it that an attribute can forbid. */
function everything(t: Parameters<typeof scratch>[0]): string {
  const folder = scratch(t)
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'file'), 'content')
  symlinkSync('file', join(folder, 'link'))
  copyFileSync('/usr/bin/id', join(folder, 'id'))
  chmodSync(join(folder, 'id'), 0o4755)
  return folder
}

const tries = `cd /m
  touch written 2>/dev/null && rm written && echo written
  cat link >/dev/null 2>&1 && echo followed
  ./id >/dev/null 2>&1 && echo executed
  [ -e dev ] && : < dev && echo opened
  true`

/** Each attribute, what it takes away, and how the kernel prints it. */
const cases: [attributes: mounts.Attributes, forbids: string, printed: string][] = [
  [{}, '', 'rw,relatime'],
  [{ readonly: true }, 'written', 'ro,relatime'],
  [{ nosuid: true }, '', 'rw,nosuid,relatime'],
  [{ nodev: true }, 'opened', 'rw,nodev,relatime'],
  [{ noexec: true }, 'executed', 'rw,noexec,relatime'],
  [{ nosymfollow: true }, 'followed', 'rw,relatime,nosymfollow'],
  [{ nodiratime: true }, '', 'rw,nodiratime,relatime'],
  [{ atime: 'noatime' }, '', 'rw,noatime'],
  [{ atime: 'strictatime' }, '', 'rw'],
  [{ atime: 'relatime' }, '', 'rw,relatime'],
]

for (const [attributes, forbids, printed] of cases)
  t.test(`bind: ${JSON.stringify(attributes)}`, needsRoot, async t => {
    const folder = everything(t)
    const options = { nosuid: false, nodev: false, ...attributes }
    const { mounts: table, said } = await look(
      bareRoot(new Container()).mount(
        mounts.device('/dev/made', { major: 1, minor: 3 }),
        bind(folder, '/m', options),
        ...(attributes.readonly ? [] : [mounts.device('/m/dev', { major: 1, minor: 3 })]),
      ),
      tries,
    )
    t.equal(table.get('/m')?.options, printed)
    const expected = ['written', 'followed', 'executed', 'opened'].filter(
      word => word !== forbids && !(word === 'opened' && attributes.readonly),
    )
    t.same(
      said.split('\n').filter(line => !line.startsWith('sh:')),
      expected,
    )
  })

t.test('nosuid: a set-user-ID program runs as who calls it', needsRoot, async t => {
  const folder = everything(t)
  const uid = async (nosuid: boolean) => {
    await using box = await bareRoot(new Container())
      .noNewPrivileges(false)
      .mount(bind(folder, '/m', { nosuid }))
      .create()
    const main = await box.start(['/m/id', '-u'], { user: 1234 })
    return (await main.stdout.text()).trim()
  }
  t.equal(await uid(true), '1234')
  t.equal(await uid(false), '0')
})

t.test('noatime and strictatime: what a read does', needsRoot, async t => {
  const script = 'touch -a -d 2001-01-01 /m/f; cat /m/f; stat -c %x /m/f'
  const after = async (atime: mounts.AccessTime) =>
    (
      await look(
        bareRoot(new Container()).mount(tmpfs('/m', { atime }), mounts.file('/m/f', '')),
        script,
      )
    ).said
  t.match(await after('noatime'), /^2001/)
  t.notMatch(await after('strictatime'), /^2001/)
})

t.test('an attribute that the source has is kept, or taken away', needsRoot, async t => {
  const before = 'mount -t tmpfs -o noexec,nosuid,nodev,noatime,nosymfollow,mode=755 none $OWN'
  const said = inNamespace(
    t,
    before,
    `const { bind } = mounts
     const off = { nosuid: false, nodev: false, noexec: false, nosymfollow: false }
     for (const options of [{}, { nosuid: 'keep', nodev: 'keep' }, { ...off, atime: 'relatime' }, { readonly: true }]) {
       const { mounts: table } = await look(bareRoot(new Container()).mount(bind(process.env.OWN, '/m', options)))
       console.log(table.get('/m').options)
     }`,
  )
  t.same(said, [
    'rw,nosuid,nodev,noexec,noatime,nosymfollow',
    'rw,nosuid,nodev,noexec,noatime,nosymfollow',
    'rw,relatime',
    'ro,nosuid,nodev,noexec,noatime,nosymfollow',
  ])
})

/** A folder of the host with a tmpfs mounted below it, made in the container itself. */
const nested = (options: mounts.BindOptions) => (source: string) =>
  bareRoot(new Container()).mount(bind(source, '/m', options))

t.test('submounts get the same attributes, none, or others', needsRoot, async t => {
  const sub = '/dev/shm'
  for (const [submounts, printed] of [
    [undefined, ['ro,nosuid,nodev,relatime', 'ro,nosuid,nodev,relatime']],
    ['keep', ['ro,nosuid,nodev,relatime', 'rw,relatime']],
    [{ noexec: true }, ['ro,nosuid,nodev,noexec,relatime', 'rw,noexec,relatime']],
  ] as const) {
    const options = { readonly: true, ...(submounts === undefined ? {} : { submounts }) }
    const { mounts: table } = await look(nested(options)('/dev'))
    t.same(
      [table.get('/m')?.options, table.get(`/m${sub.slice(4)}`)?.options],
      printed,
      JSON.stringify(submounts),
    )
  }
  const { mounts: table } = await look(nested({ recursive: false })('/dev'))
  t.notOk(table.has('/m/shm'), 'not recursive: no submounts at all')
})

t.test('remount: what is named changes, below it too if recursive', needsRoot, async t => {
  const tree = [tmpfs('/m'), tmpfs('/m/sub')]
  const after = async (options: mounts.RemountOptions) => {
    const { mounts: table } = await look(
      bareRoot(new Container()).mount(...tree, remount('/m', options)),
    )
    return [table.get('/m')?.options, table.get('/m/sub')?.options]
  }
  const before = 'rw,nosuid,nodev,noexec,relatime'
  t.same(await after({ readonly: true }), ['ro,nosuid,nodev,noexec,relatime', before])
  t.same(await after({ noexec: false }), ['rw,nosuid,nodev,relatime', before])
  const all = 'rw,nosuid,nodev,noexec,noatime'
  t.same(await after({ atime: 'noatime', recursive: true }), [all, all])
})

t.test('remount: options of the file system itself', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bareRoot(new Container()).mount(
      tmpfs('/m', { size: '1MiB' }),
      remount('/m', { options: { size: '2m', lazytime: true } }),
    ),
    'df -k --output=size /m | tail -1',
  )
  t.equal(said.trim(), '2048')
  t.match(table.get('/m')?.superOptions, /lazytime/)
})

t.test('sync, dirsync and lazytime of a new file system', needsRoot, async t => {
  for (const name of ['sync', 'dirsync', 'lazytime']) {
    const { mounts: table } = await look(
      bareRoot(new Container()).mount(fileSystem('tmpfs', '/m', { options: { [name]: true } })),
    )
    t.match(table.get('/m')?.superOptions.split(','), new RegExp(name))
    t.ok(table.get('/m')?.superOptions.split(',').includes(name))
  }
})

t.test('what is no mount can not be changed', needsContainers, async t => {
  const builder = () => bareRoot(new Container()).mount(mounts.directory('/d'))
  for (const change of [
    remount('/d', { readonly: true }),
    mounts.propagate('/d', 'shared'),
    mounts.unmount('/d'),
    mounts.move('/d', '/e'),
  ])
    await t.rejects(builder().mount(change).create(), { code: 'EINVAL' }, change.type)
})

t.test('what an outer user namespace has set is locked', needsRoot, async t => {
  const said = await asUser(
    t,
    `import { mounts } from 'cofferdam'
     const source = process.env.OWN + '/source'
     for (const noexec of ['keep', false])
       try {
         const builder = overHost().mount(mounts.bind(source, '/m', { noexec, nosuid: 'keep', nodev: 'keep' }))
         say(await sh(builder, 'grep " /m " /proc/self/mountinfo | cut -d" " -f6'))
       } catch (error) { say(told(error)) }`,
    {
      before:
        'mkdir -p $OWN/source; mount -t tmpfs -o noexec,nodev,nosuid,mode=777 none $OWN/source',
    },
  )
  t.equal(said[0], 'rw,nosuid,nodev,noexec,relatime')
  t.match(said[1], { code: 'EPERM', syscall: 'mount_setattr', step: 'bind /m', hint: /locked/ })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
