// Ways of changing the root, and what gets out of each.
import { mkdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Container, mounts, overlay } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  rememberTraces,
  run,
  scratch,
} from '../support/index.js'
import { bareRoot } from '../support/mounted.js'

const nothingLeft = await rememberTraces()

/** chroot(2) once more, below the present root, and up from where that leaves one. */
const jailbreak = `
  mkdir "/tmp/jail"; chdir "/"; chroot "/tmp/jail" or die "chroot: $!";
  chdir ".." for 1 .. 100; chroot "."; chdir "/";
  print -e "$ENV{SECRET}" ? "escaped" : "confined", "\\n"`

const ways: [name: string, make: (root: string) => Container][] = (
  ['pivot', 'move', 'chroot'] as const
).flatMap(change => {
  const all: [string, (root: string) => Container][] = [
    [change, root => new Container().rootfs(root, { change }).mount(hostPrograms)],
  ]
  if (change === 'chroot') return all
  return [
    ...all,
    [`${change}, overlay`, () => new Container().rootfs(overlay({ lower: ['/'] }), { change })],
    [
      `${change}, empty`,
      () =>
        bareRoot(new Container().rootfs(mounts.emptyRoot()))
          .rootfs(mounts.emptyRoot(), { change })
          .mount(mounts.directory('/tmp')),
    ],
  ] as typeof all
})

for (const [name, make] of ways)
  t.test(`${name}: works, and what can be reached from it`, needsRoot, async t => {
    const secret = join('/var/tmp', `cofferdam-${process.pid}-${name.replace(/\W/g, '')}`)
    mkdirSync(secret)
    t.teardown(() => rmdirSync(secret))
    const builder = make(makeRoot(t)).capabilities(['SYS_CHROOT', 'DAC_OVERRIDE', 'SYS_ADMIN'])
    const chroot = name === 'chroot'
    const one = await run(builder, [
      'sh',
      '-c',
      'pwd; ls -d /usr; cat /proc/self/comm; cd ../..; pwd',
    ])
    t.equal(one.stdout, '/\n/usr\ncat\n/\n', one.stderr)
    if (name.includes('overlay')) return
    const out = await run(builder, ['perl', '-e', jailbreak], { env: { SECRET: secret } })
    t.equal(out.stdout, chroot ? 'escaped\n' : 'confined\n', out.stderr)
    const proc = await run(builder, [
      'sh',
      '-c',
      `ls -d /proc/1/root${secret} /proc/self/root${secret}`,
    ])
    t.equal(proc.stdout, '')
    const table = await run(builder, ['sh', '-c', 'cut -d" " -f5 /proc/self/mountinfo'])
    const host = table.stdout
      .split('\n')
      .filter(point => point !== '' && !/^\/$|^\/(usr|proc|sys|dev)(\/|$)/.test(point))
    t.same(host, [], 'no mount of the host is to be seen')
  })

t.test('those who join are in the same root, whichever way it is', needsRoot, async t => {
  for (const change of ['pivot', 'move', 'chroot'] as const) {
    const root = makeRoot(t)
    writeFileSync(join(root, 'etc/passwd'), 'me:x:77:78::/home/me:/bin/sh\n')
    writeFileSync(join(root, 'etc/group'), '')
    writeFileSync(join(root, 'etc/mine'), 'mine')
    await using box = await new Container().rootfs(root, { change }).mount(hostPrograms).create()
    const main = await box.start(['sleep', '60'], { user: 'me' })
    const other = await box.exec(['sh', '-c', 'cat /etc/mine; id -u; pwd'], { user: 'me' })
    t.equal(await other.stdout.text(), 'mine77\n/\n', change)
    const chunks: Buffer[] = []
    for await (const chunk of box.archive('/etc/mine')) chunks.push(chunk as Buffer)
    t.match(Buffer.concat(chunks).toString(), 'mine')
    await main.kill('SIGKILL')
  }
})

t.test('chroot without a mount namespace: the directory and nothing more', needsRoot, async t => {
  const root = scratch(t)
  mkdirSync(join(root, 'etc'))
  writeFileSync(join(root, 'etc/mine'), 'mine')
  await using box = await new Container()
    .isolate('pid', 'uts')
    .rootfs(root, { change: 'chroot' })
    .create()
  t.equal(readlinkSync(`/proc/${box.pid}/root`), root)
  t.equal(readlinkSync(`/proc/${box.pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'))
})

t.test('what does not go together is refused', needsRoot, async t => {
  const root = makeRoot(t)
  for (const [builder, option] of [
    [new Container().rootfs(overlay({ lower: ['/'] }), { change: 'chroot' }), 'rootfs.change'],
    [new Container().isolate('pid').rootfs(root), 'rootfs'],
    [new Container().isolate('pid').rootfs(root, { change: 'move' }), 'rootfs'],
    [new Container().isolate('pid').rootfs(root, { change: 'chroot', readonly: true }), 'rootfs'],
  ] as const)
    await t.rejects(builder.create(), { code: 'ERR_CONFLICT', option })
  t.throws(() => new Container().rootfs(root, { change: 'switch' as never }), {
    option: 'rootfs.change',
  } as never)
})

t.test('nothing is left behind', needsRoot, nothingLeft)
