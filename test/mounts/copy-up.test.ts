// A tmpfs that begins as a copy of what it covers: compared with it by the tools of
// the host, which see the one from inside and the other from outside.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { type CofferdamError, Container, type Lifetime, mounts } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  runIn,
  scratch,
} from '../support/index.js'
import { look } from '../support/mounted.js'
import { asUser } from '../support/unprivileged.js'

const { bind, tmpfs } = mounts
const nothingLeft = await rememberTraces()

/** All that is to be known of what is below the working directory. */
const walk = `
  find . -printf '%p %y %m %U %G %T@ %l\\n' | sort
  find . -type f -exec sha256sum {} + | sort
  find . \\( -type b -o -type c \\) -exec stat -c '%n %t %T' {} + | sort
  getcap -r . | sort
  find . | sort | xargs -d '\\n' getfattr -h -d -m 'user|acl'`

const outside = (folder: string, script = walk) =>
  execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' }).trim()

/** A root whose /data is to be filled. */
function scene(t: Test) {
  const root = makeRoot(t)
  const data = join(root, 'data')
  mkdirSync(data)
  const builder = () => new Container().rootfs(root).mount(hostPrograms)
  return { root, data, builder }
}

const inside = (builder: Container, script = walk) => look(builder, `cd /data && ${script}`)

async function refused(builder: Container): Promise<CofferdamError> {
  try {
    await (await builder.create()).delete()
  } catch (error) {
    return error as CofferdamError
  }
  throw new Error('it was made')
}

/** Everything that a directory can hold. */
function everything(data: string) {
  mkdirSync(join(data, 'a/b/empty'), { recursive: true })
  for (const [name, size] of Object.entries({ empty: 0, little: 5, large: 200_001 }))
    writeFileSync(join(data, 'a', name), Buffer.alloc(size, 'content'))
  writeFileSync(join(data, 'set-id'), '#!/bin/sh\n')
  writeFileSync(join(data, 'capable'), '')
  symlinkSync('a/little', join(data, 'link'))
  symlinkSync('/etc/passwd', join(data, 'a/absolute'))
  symlinkSync('x'.repeat(4000), join(data, 'a/b/dangling'))
  const script = `
    mkfifo -m 640 fifo; mknod null c 1 3; mknod large b 300 70000; mknod zero c 0 0
    chown -h 7:8 link a/little fifo null a; chown 1234567:7654321 set-id a/b capable
    chmod 6755 set-id; chmod 0 a/empty; chmod 3711 a; chmod 666 null
    setcap cap_net_raw,cap_chown=ep capable
    perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
    setfattr -n user.mine -v value a/little; setfattr -n user.dir -v other a/b
    setfacl -m u:9:rw a/large; setfacl -d -m g:11:rx a/b
    touch -h -d '1999-12-31 23:59:58.123456789' link a/little set-id fifo null a/b; touch -d '2001-02-03' a`
  outside(data, `set -e; ${script}`)
  chmodSync(data, 0o2751)
  chownSync(data, 5, 6)
  utimesSync(data, 1_000_000, 2_000_000)
}

for (const lifetime of ['attached', 'detached', 'released'] satisfies Lifetime[])
  t.test(`all that a directory can hold, ${lifetime}`, needsRoot, async t => {
    const { data, builder } = scene(t)
    everything(data)
    const before = outside(data)
    t.match(before, /\.\/set-id f 6755 1234567 7654321/)
    t.match(before, /capable cap_chown,cap_net_raw[=+]ep/)
    t.match(before, /user\.mine="value"/)
    t.match(before, /system\.posix_acl_default=/)
    await using box = await builder()
      .mount(tmpfs('/data', { copyUp: true, readonly: true }))
      .create({ lifetime, stateFolder: scratch(t) })
    const { stdout } = await runIn(box, ['sh', '-c', `cd /data && ${walk}`])
    t.equal(stdout.trim(), before)
    t.equal(outside(data), before, 'the original is as it was')
  })

t.test('what is changed inside does not reach the original', needsRoot, async t => {
  const { data, builder } = scene(t)
  everything(data)
  const before = outside(data)
  const { said, mounts: table } = await inside(
    builder().mount(tmpfs('/data', { copyUp: true })),
    'echo x >> a/little && rm set-id && touch new && chmod 700 . && cat new a/little',
  )
  t.equal(said, 'contex', 'it can be written to')
  t.equal(table.get('/data')?.fsType, 'tmpfs')
  t.equal(outside(data), before)
})

t.test(
  'mode and owner that are given, readonly, and a target that was not there',
  needsRoot,
  async t => {
    const { root, data, builder } = scene(t)
    writeFileSync(join(data, 'file'), 'x')
    chownSync(data, 5, 6)
    chmodSync(data, 0o750)
    const stat = 'stat -c "%a %u %g" .; cat file; touch file'
    const said = async (options: mounts.TmpfsOptions) =>
      (await inside(builder().mount(tmpfs('/data', { ...options, copyUp: true })), stat)).said
    t.equal(await said({}), '750 5 6\nx')
    t.equal(await said({ mode: 0o3700 }), '3700 5 6\nx')
    t.equal(await said({ uid: 9 }), '750 9 6\nx')
    t.equal(await said({ gid: 9, mode: 0o777 }), '777 5 9\nx')
    t.match(await said({ readonly: true }), /^750 5 6\nx.*Read-only file system/s)
    const { said: made } = await look(
      builder().mount(tmpfs('/made/here', { copyUp: true })),
      'stat -c %a /made/here; ls -A /made/here',
    )
    t.equal(made, '755')
    t.notOk(existsSync(join(root, 'made')), 'what was made for it is gone')
  },
)

t.test('links are copied, not followed', needsRoot, async t => {
  const { data, builder } = scene(t)
  const secret = join(scratch(t), 'secret')
  writeFileSync(secret, 'secret')
  for (const [name, to] of Object.entries({
    absolute: secret,
    up: `../../../..${secret}`,
    magic: '/proc/self/root/etc',
    loop: 'loop',
  }))
    symlinkSync(to, join(data, name))
  const { said } = await inside(
    builder().mount(tmpfs('/data', { copyUp: true })),
    'find . -mindepth 1 -printf "%f %y %l\\n" | sort; cat absolute up',
  )
  t.match(said, /^absolute l \/.*\nloop l loop\nmagic l \/proc\/self\/root\/etc\nup l /)
  t.notMatch(said, /^secret/m)
})

t.test('what is mounted below is not looked into', needsRoot, async t => {
  const { root, data, builder } = scene(t)
  mkdirSync(join(data, 'over'))
  writeFileSync(join(data, 'over/covered'), '')
  writeFileSync(join(data, 'file'), 'covered')
  const other = scratch(t)
  writeFileSync(join(other, 'seen'), '')
  writeFileSync(join(other, 'set-id'), 'mounted')
  const { said } = await inside(
    builder().mount(
      bind(other, '/data/over'),
      bind(join(other, 'set-id'), '/data/file'),
      // Of the same file system, but another mount.
      bind(join(root, 'tmp'), '/data/tmp'),
      tmpfs('/data', { copyUp: true }),
    ),
    'find . -printf "%p %y %s\\n" | grep -v "^\\. " | sed "s/ d .*/ d/" | sort',
  )
  t.equal(said, './file f 0\n./over d\n./tmp d')
  const mounted = await inside(
    builder().mount(bind(other, '/data'), tmpfs('/data', { copyUp: true })),
    'ls; cat set-id',
  )
  t.equal(
    mounted.said,
    'seen\nset-id\nmounted',
    'but what is mounted at the target itself is copied',
  )
})

t.test('what does not fit fails as a whole', needsRoot, async t => {
  const { data, builder } = scene(t)
  writeFileSync(join(data, 'file'), Buffer.alloc(100_000, 1))
  for (const name of 'abcdefgh') writeFileSync(join(data, name), '')
  const small = await refused(builder().mount(tmpfs('/data', { copyUp: true, size: '64KiB' })))
  t.match(small, { code: 'ENOSPC', syscall: 'write', step: 'tmpfs /data' })
  const few = await refused(builder().mount(tmpfs('/data', { copyUp: true, inodes: 4 })))
  t.match(few, { code: 'ENOSPC', step: 'tmpfs /data' })
})

t.test('a file that is all hole', needsRoot, async t => {
  const { data, builder } = scene(t)
  writeFileSync(join(data, 'hole'), '')
  truncateSync(join(data, 'hole'), 2 ** 42)
  const error = await refused(builder().mount(tmpfs('/data', { copyUp: true, size: '1MiB' })))
  t.match(error, { code: 'ENOSPC', step: 'tmpfs /data' }, 'ends when there is no room')
})

t.test('hundreds of files, and as many levels as there may be', needsRoot, async t => {
  const { data, builder } = scene(t)
  for (let i = 0; i < 700; i++) writeFileSync(join(data, `${'long'.repeat(i % 50)}-${i}`), `${i}`)
  const deep = (levels: number) => join(data, ...Array.from({ length: levels }, () => 'd'))
  mkdirSync(deep(63), { recursive: true })
  writeFileSync(join(deep(63), 'file'), 'deep')
  const builderOf = () => builder().mount(tmpfs('/data', { copyUp: true }))
  const { said } = await inside(builderOf())
  t.equal(said, outside(data))
  mkdirSync(deep(64))
  t.match(await refused(builderOf()), { code: 'ENAMETOOLONG', step: 'tmpfs /data' })
})

t.test('user namespaces: owners as the container has them', needsRoot, async t => {
  const { root, data, builder } = scene(t)
  const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
  writeFileSync(join(data, 'file'), 'x')
  writeFileSync(join(data, 'set-id'), '')
  chmodSync(dirname(root), 0o755)
  outside(data, 'chown -R 100000:100000 .; chown 100007:100008 set-id; chmod 6711 set-id')
  const mapped = () => builder().idMappings({ uid: ids, gid: ids })
  const { said } = await inside(
    mapped().mount(tmpfs('/data', { copyUp: true })),
    'stat -c "%n %a %u %g" . file set-id',
  )
  t.equal(said, '. 755 0 0\nfile 644 0 0\nset-id 6711 7 8')
  outside(data, 'chown 0:0 file')
  const { said: nobody } = await inside(
    mapped().mount(tmpfs('/data', { copyUp: true })),
    'stat -c "%u %g" file',
  )
  t.equal(nobody, '65534 65534', 'an owner without an id there is nobody')
  const few = ids.map(range => ({ ...range, size: 100 }))
  const foreign = await refused(
    builder()
      .idMappings({ uid: few, gid: few })
      .mount(tmpfs('/data', { copyUp: true })),
  )
  t.match(foreign, { code: 'EINVAL', syscall: 'fchownat', step: 'tmpfs /data' }, 'if there is one')
  outside(data, 'chown 100000:100000 file; mknod null c 1 3; chown 100000:100000 null')
  const device = await refused(mapped().mount(tmpfs('/data', { copyUp: true })))
  t.match(device, { code: 'EPERM', syscall: 'mknodat', step: 'tmpfs /data' })
})

t.test('an ordinary user', needsRoot, async t => {
  const said = await asUser(
    t,
    `
    const root = process.env.OWN + '/root/'
    for (const name of ['usr', 'data/sub', 'proc', 'sys', 'dev']) mkdirSync(root + name, { recursive: true })
    for (const name of ['bin', 'lib', 'lib64']) symlinkSync('usr/' + name, root + name)
    writeFileSync(root + 'data/sub/file', 'mine', { mode: 0o640 })
    const builder = new Container().rootfs(root).mount(bind('/usr', '/usr', { readonly: true }), tmpfs('/data', { copyUp: true }))
    say(await sh(builder, 'cd /data; echo more >> sub/file; stat -c "%a %u %s" sub/file').catch(told))
    say(readFileSync(root + 'data/sub/file', 'utf8'))`,
  )
  t.same(said, ['640 0 9', 'mine'])
})

t.test('said with anything but a boolean, or of a root', async t => {
  t.throws(() => tmpfs('/m', { copyUp: 'yes' as never }), { code: 'ERR_INVALID_OPTION' })
  t.throws(() => mounts.emptyRoot({ copyUp: true } as never), { code: 'ERR_INVALID_OPTION' })
  t.same(tmpfs('/m', { copyUp: false }), tmpfs('/m'))
  t.ok(mounts.parseMountOptions(['tmpcopyup']).copyUp)
})

t.test('nothing is left behind', needsRoot, nothingLeft)
