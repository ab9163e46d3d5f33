// Each kind of file system: what is in it, seen inside, and the table of mounts,
// seen outside.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, type CofferdamError, Container, mounts, plan } from 'cofferdam'
import t from 'tap'
import { needsContainers, needsRoot, overHost, rememberTraces, scratch } from '../support/index.js'
import { bareRoot, look } from '../support/mounted.js'

const { devpts, fileSystem, mqueue, overlay, proc, sysfs, tmpfs } = mounts
const nothingLeft = await rememberTraces()
const bare = () => bareRoot(new Container())

t.test('tmpfs: all that it can be told', needsContainers, async t => {
  const { mounts: table, said } = await look(
    bare().mount(
      tmpfs('/m', { size: '1MiB', mode: 0o2750, uid: 0, gid: 0, inodes: 7, huge: 'never' }),
    ),
    'stat -c "%a %u %g" /m; df -k --output=size,itotal /m | tail -1; for i in 1 2 3 4 5 6 7; do touch /m/$i; done',
  )
  t.equal(table.get('/m')?.options, 'rw,nosuid,nodev,noexec,relatime')
  t.match(said, /^2750 0 0\n +1024 +7\n.*No space left/)
})

/** Whether the kernel's tmpfs has an option without a value; since when, for those that do not. */
async function needsTmpfs(option: string, since: string): Promise<{ skip?: string }> {
  if (needsRoot.skip) return needsRoot
  const fs = plan.slot('fs')
  const [open, set] = [plan.named('FSOPEN_CLOEXEC', 1), plan.named('FSCONFIG_SET_FLAG', 0)]
  try {
    await attempt([
      plan.step(
        'option',
        plan.call('fsopen', ['tmpfs', open], { result: fs }),
        plan.call('fsconfig', [fs, set, option, 0, 0]),
      ),
    ])
    return {}
  } catch (error) {
    if ((error as CofferdamError).code !== 'EINVAL') throw error
    return { skip: `tmpfs has no ${option} here; it has since Linux ${since}` }
  }
}

t.test('tmpfs: no swap', await needsTmpfs('noswap', '6.4'), async t => {
  const { mounts: table } = await look(bare().mount(tmpfs('/m', { noswap: true })))
  t.match(table.get('/m')?.superOptions, /noswap/)
})

t.test('tmpfs: an owner, and huge pages', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bare().mount(tmpfs('/m', { uid: 3, gid: 4, mode: 0o700 })),
    'stat -c "%a %u %g" /m',
  )
  t.equal(said, '700 3 4')
  t.match(table.get('/m')?.superOptions, /uid=3,gid=4/)
  const huge = await look(bare().mount(tmpfs('/m', { huge: 'within_size' }))).catch(error => error)
  if (huge instanceof Error)
    t.match(huge, { code: 'EINVAL', syscall: 'fsconfig' }, 'no huge pages here')
  else t.match(huge.mounts.get('/m').superOptions, /huge=within_size/)
})

t.test('proc: what other users see of processes', needsRoot, async t => {
  const seen = async (options: mounts.ProcOptions) => {
    await using box = await bare().mount(proc('/proc', options)).create()
    await box.start(['sleep', '60'])
    const script =
      '[ -d /proc/1 ] && echo exists; [ -n "$(cat /proc/1/cmdline 2>/dev/null | tr -d "\\0")" ] && echo read'
    const other = await box.exec(['sh', '-c', script], { user: '1000:1000' })
    return (await other.stdout.text()).trim().split('\n').join(' ')
  }
  t.equal(await seen({}), 'exists read')
  t.equal(await seen({ hidepid: 'off' }), 'exists read')
  t.equal(await seen({ hidepid: 'noaccess' }), 'exists')
  t.equal(await seen({ hidepid: 1 }), 'exists')
  t.equal(await seen({ hidepid: 'invisible' }), '')
  t.equal(await seen({ hidepid: 'ptraceable' }), '')
  t.equal(await seen({ hidepid: 'invisible', gid: 1000 }), 'exists read')
  t.equal(await seen({ hidepid: 'invisible', gid: 1001 }), '')
})

t.test('proc: nothing but processes', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bare().mount(proc('/proc', { subset: 'pid', gid: 8, hidepid: 4 })),
    'ls /proc | grep -v "^[0-9]" | sort | tr "\\n" " "',
  )
  t.equal(said, 'self thread-self')
  t.match(table.get('/proc')?.superOptions, /gid=8,hidepid=ptraceable,subset=pid/)
})

t.test('proc: what stands in for the standard one is masked like it', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bare().mount(proc('/proc', { hidepid: 'invisible' })),
    'cat /proc/keys /proc/interrupts; grep -c " / /proc " /proc/self/mountinfo; echo x > /proc/sys/kernel/hostname',
  )
  t.match(said, /^1\n.*Read-only file system/)
  t.ok(table.has('/proc/keys'))
  const elsewhere = await look(bare().mount(proc('/p')), 'ls -d /p/self /proc/self')
  t.equal(elsewhere.said, '/p/self\n/proc/self', 'at another place it is one more')
})

t.test('sysfs: that of the network namespace, read-only', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bare().mount(sysfs('/sys', { nosymfollow: false }), sysfs('/s2', { readonly: false })),
    'ls /sys/class/net /s2/class/net; grep -c " / /sys " /proc/self/mountinfo',
  )
  t.equal(said, '/s2/class/net:\nlo\n\n/sys/class/net:\nlo\n1')
  t.equal(table.get('/sys')?.options, 'ro,nosuid,nodev,noexec,relatime')
  t.equal(table.get('/s2')?.options, 'rw,nosuid,nodev,noexec,relatime')
})

t.test('devpts: an instance of its own, with a limit', needsRoot, async t => {
  const { mounts: table, said } = await look(
    bare().mount(devpts('/pts', { ptmxMode: 0o600, mode: 0o640, gid: 9, max: 2 })),
    'stat -c "%a" /pts/ptmx; exec 5<>/pts/ptmx 6<>/pts/ptmx; stat -c "%a %g" /pts/0; ls /pts; exec 7<>/pts/ptmx',
  )
  t.equal(table.get('/pts')?.options, 'rw,nosuid,noexec,relatime')
  t.match(said, /^600\n640 9\n0\n1\nptmx\n.*No space left/s)
})

t.test('mqueue: the queues of the IPC namespace', needsRoot, async t => {
  const script = 'touch /mq/here; ls /mq /dev/mqueue'
  const { said } = await look(bare().mount(mqueue('/mq')), script)
  t.equal(said, '/dev/mqueue:\nhere\n\n/mq:\nhere')
})

t.test(
  'cgroup: the hierarchies of the host, as the cgroup namespace has them',
  needsRoot,
  async t => {
    const { mounts: table, said } = await look(
      bare().mount(mounts.cgroup('/sys/fs/cgroup')),
      'cat /proc/self/cgroup; cd /sys/fs/cgroup; ls -d */cgroup.procs cgroup.procs 2>/dev/null; for d in . [a-z]*/; do mkdir $d/x; done',
    )
    const lines = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
    const places = [...table.keys()].filter(place => place.startsWith('/sys/fs/cgroup'))
    if (lines.length === 1) t.equal(table.get('/sys/fs/cgroup')?.fsType, 'cgroup2')
    else {
      t.equal(places.length, lines.length + 1, 'one for each, and what they are in')
      for (const [, controllers = ''] of lines.map(line => line.split(':'))) {
        const name = controllers.replace('name=', '') || 'unified'
        const found = table.get(`/sys/fs/cgroup/${name}`)
        t.equal(found?.fsType, controllers === '' ? 'cgroup2' : 'cgroup', name)
        t.ok(controllers === '' || found?.superOptions.includes(controllers), controllers)
      }
    }
    for (const place of places) t.match(table.get(place)?.options, /^ro,nosuid,nodev,noexec/, place)
    t.match(said, /^0::\/$/m, 'its own group is the root')
    t.match(said, /cgroup.procs/)
    t.ok(
      (said.match(/Read-only file system/g)?.length ?? 0) >= places.length,
      'none can be written to',
    )
    const writable = await look(bare().mount(mounts.cgroup('/c', { readonly: false })), 'true')
    t.match(writable.mounts.get('/c')?.options, /^rw/)
  },
)

t.test('any other: ramfs', needsContainers, async t => {
  const { mounts: table, said } = await look(
    bare().mount(fileSystem('ramfs', '/m', { options: { mode: '0711', nothing: false } })),
    'stat -f -c %T /m; stat -c %a /m',
  )
  t.equal(said, 'ramfs\n711')
  t.equal(table.get('/m')?.fsType, 'ramfs')
})

t.test('any other: ext4 on a loop device, read-only to the very device', needsRoot, async t => {
  const folder = scratch(t)
  const image = join(folder, 'image')
  writeFileSync(image, '')
  truncateSync(image, 8 << 20)
  mkdirSync(join(folder, 'content'))
  writeFileSync(join(folder, 'content/file'), 'from the disk')
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', join(folder, 'content'), image])
  const setup = spawnSync('losetup', ['--find', '--show', image], { encoding: 'utf8' })
  if (setup.status !== 0)
    return void t.pass('loop device', { skip: `there is none: ${setup.stderr || setup.error}` })
  const loop = setup.stdout.trim()
  t.teardown(() => execFileSync('losetup', ['--detach', loop]))
  const disk = (options: mounts.FileSystemMountOptions) =>
    bare().mount(fileSystem('ext4', '/m', { source: loop, ...options }))
  const written = await look(disk({ options: { commit: 7 } }), 'cat /m/file; echo more > /m/more')
  t.equal(written.said, 'from the disk')
  t.match(written.mounts.get('/m')?.superOptions, /^rw,.*commit=7/)
  const again = await look(disk({ readonly: true }), 'cat /m/more; touch /m/x')
  t.match(again.said, /^more\n.*Read-only/)
  t.match(again.mounts.get('/m')?.superOptions, /^ro/)
})

t.test('what the kernel does not know is an error that says so', needsRoot, async t => {
  await t.rejects(bare().mount(fileSystem('nosuchfs', '/m')).create(), {
    code: 'ENODEV',
    syscall: 'fsopen',
    step: 'nosuchfs /m',
    hint: /filesystems/,
  })
  await t.rejects(
    bare()
      .mount(fileSystem('tmpfs', '/m', { options: { nosuch: true } }))
      .create(),
    {
      code: 'EINVAL',
      syscall: 'fsconfig',
      hint: /option/,
    },
  )
  await t.rejects(
    bare()
      .mount(fileSystem('ext4', '/m', { source: '/no/such' }))
      .create(),
    {
      code: 'ENOENT',
      option: 'mount',
    },
  )
})

t.test('overlay below the root: in memory, of its own size', needsContainers, async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'a'), 'lower')
  const { mounts: table, said } = await look(
    bare().mount(overlay('/m', { lower: [folder], size: '64KiB' })),
    'cat /m/a; echo changed > /m/a; cat /m/a; head -c 100000 /dev/zero > /m/b',
  )
  t.match(said, /^lowerchanged\n.*No space left/s)
  t.equal(table.get('/m')?.fsType, 'overlay')
  t.equal(table.get('/m')?.options, 'rw,nosuid,nodev,relatime')
  t.equal(readFileSync(join(folder, 'a'), 'utf8'), 'lower')
  t.same(readdirSync(folder), ['a'])
})

t.test(
  'overlay below the root: a directory of the caller’s keeps what is written',
  needsRoot,
  async t => {
    const folder = scratch(t)
    const [lower, upper, work] = ['low:er', 'up,per', 'work'].map(name => join(folder, name))
    for (const path of [lower, upper, work]) mkdirSync(path as string)
    const layers = { lower: [lower as string], upper: upper as string, work: work as string }
    await look(bare().mount(overlay('/m', layers), tmpfs('/m/made')), 'echo x > /m/kept')
    t.same(readdirSync(upper as string), ['kept'], 'and the mount target made in it is gone')
    t.same(readdirSync(lower as string), [])
  },
)

t.test('overlay below the root: read-only needs no upper directory', needsRoot, async t => {
  const [a, b] = [scratch(t), scratch(t)]
  writeFileSync(join(a, 'a'), '')
  writeFileSync(join(b, 'b'), '')
  const { mounts: table, said } = await look(
    bare().mount(
      overlay('/two', { lower: [a, b], readonly: true, atime: 'noatime' }),
      overlay('/one', { lower: [a], readonly: true }),
    ),
    'ls /two /one; touch /two/x; touch /one/x',
  )
  t.match(said, /\/one:\na\n\n\/two:\na\nb\n.*Read-only.*Read-only/s)
  t.equal(table.get('/two')?.options, 'ro,nosuid,nodev,noatime')
  t.notMatch(table.get('/two')?.superOptions, /upperdir/)
})

t.test('overlay: each of its features is told to the kernel', needsRoot, async t => {
  const features: [mounts.OverlayFeatures, RegExp][] = [
    [{ redirectDir: 'on' }, /redirect_dir=on/],
    [{ redirectDir: 'nofollow' }, /redirect_dir=nofollow/],
    [{ index: 'on' }, /index=on/],
    [{ nfsExport: 'on', index: 'on' }, /nfs_export=on/],
    [{ xino: 'on' }, /xino=on/],
    [{ metacopy: 'on' }, /metacopy=on/],
    [{ uuid: 'null' }, /uuid=null/],
    [{ verity: 'on', metacopy: 'on' }, /verity=on/],
    [{ volatile: true }, /volatile/],
    [{ userxattr: true }, /userxattr/],
  ]
  for (const [feature, printed] of features) {
    const folder = scratch(t)
    const [lower, upper, work] = ['l', 'u', 'w'].map(name => join(folder, name)) as [
      string,
      string,
      string,
    ]
    for (const path of [lower, upper, work]) mkdirSync(path)
    // Two file systems, since with one there is nothing to be done for unique numbers.
    const layers = { lower: [lower, '/dev/shm'], upper, work }
    const { mounts: table } = await look(bare().mount(overlay('/m', { ...layers, ...feature })))
    t.match(table.get('/m')?.superOptions, printed, JSON.stringify(feature))
    // And of a root.
    for (const name of ['proc', 'sys', 'dev', 'usr']) mkdirSync(join(lower, name))
    for (const path of [upper, work]) execFileSync('rm', ['-rf', path])
    for (const path of [upper, work]) mkdirSync(path)
    await using box = await new Container().rootfs(overlay({ ...layers, ...feature })).create()
    t.match(readFileSync(`/proc/${box.pid}/mountinfo`, 'utf8'), printed, 'as a root')
  }
})

t.test('overlay: a layer of data only', needsRoot, async t => {
  const [a, b, c] = [scratch(t), scratch(t), scratch(t)]
  writeFileSync(join(c, 'hidden'), '')
  const layers = { lower: [a, b], dataOnly: [c], metacopy: 'on', readonly: true } as const
  const { said, mounts: table } = await look(bare().mount(overlay('/m', layers)), 'ls /m')
  t.equal(said, '')
  t.match(table.get('/m')?.superOptions, new RegExp(`(::|datadir\\+=)${c}`))
})

t.test('in a user namespace: what may be mounted there', needsContainers, async t => {
  const ids = (hostId: number) => [{ containerId: 0, hostId, size: 1000 }]
  const builder = bare().mount(
    proc('/proc', { hidepid: 'invisible' }),
    devpts('/pts'),
    mqueue('/mq'),
    sysfs('/s'),
    overlay('/m', { lower: ['/usr/share'] }),
    fileSystem('ramfs', '/r'),
  )
  if (process.getuid?.() === 0) builder.idMappings({ uid: ids(100_000), gid: ids(100_000) })
  const { mounts: table, said } = await look(builder, 'echo x > /m/written && cat /m/written')
  t.equal(said, 'x')
  t.match(table.get('/m')?.superOptions, /userxattr/)
  for (const place of ['/proc', '/pts', '/mq', '/s', '/r']) t.ok(table.has(place), place)
  await t.rejects(
    look(
      (process.getuid?.() === 0
        ? overHost().idMappings({ uid: ids(100_000), gid: ids(100_000) })
        : overHost()
      ).mount(fileSystem('ext4', '/m', { source: '/dev/null' })),
    ),
    { code: 'EPERM', syscall: /fsopen|fsconfig/ },
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
