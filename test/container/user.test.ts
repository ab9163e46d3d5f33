import { chmodSync, chownSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bind, Container, overlay, tmpfs } from 'cofferdam'
import t, { type Test } from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  runIn,
  scratch,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const HOST = 100_000
const ids = [{ containerId: 0, hostId: HOST, size: 65_536 }]
const mappings = { uid: ids, gid: ids }

/** A root that belongs to the container's root. */
function ownRoot(t: Test): string {
  const root = makeRoot(t)
  // Those above are the host's, and open to nobody else.
  chmodSync(join(root, '..'), 0o755)
  for (const name of ['', 'etc', 'tmp', 'usr', 'proc', 'sys', 'dev'])
    chownSync(join(root, name), HOST, HOST)
  return root
}

const inOwn = (t: Test) =>
  new Container().rootfs(ownRoot(t)).mount(hostPrograms).idMappings(mappings)

t.test('root inside is nobody in particular outside', needsRoot, async t => {
  const root = ownRoot(t)
  const box = await new Container().rootfs(root).mount(hostPrograms).idMappings(mappings).create()
  t.match(readFileSync(`/proc/${box.pid}/uid_map`, 'utf8'), /^\s*0\s+100000\s+65536\n$/)
  t.match(readFileSync(`/proc/${box.pid}/gid_map`, 'utf8'), /^\s*0\s+100000\s+65536\n$/)
  t.match(
    readFileSync(`/proc/${box.pid}/status`, 'utf8'),
    /^Uid:\t100000\t100000\t100000\t100000$/m,
  )
  const { stdout } = await runIn(box, [
    'sh',
    '-c',
    'id -u; id -G; echo $$; touch /made; stat -c %u /made',
  ])
  t.equal(stdout, '0\n0\n1\n0\n')
  t.equal(statSync(join(root, 'made')).uid, HOST)
  await box.delete()
})

t.test('its namespaces are its own, and so is what may be done in them', needsRoot, async t => {
  const box = await inOwn(t).capabilities(['SYS_ADMIN', 'NET_ADMIN', 'DAC_OVERRIDE']).create()
  for (const kind of ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup'])
    t.not(readlinkSync(`/proc/${box.pid}/ns/${kind}`), readlinkSync(`/proc/self/ns/${kind}`), kind)
  const script = `
    mount -t tmpfs none /tmp && stat -f -c %T /tmp
    hostname changed && hostname
    ip link set lo down && echo down
    umount /usr 2>&1 | grep -c -e denied -e permitted -e busy -e "not mounted"`
  const { stdout, stderr } = await runIn(box, ['sh', '-c', script])
  t.match(stdout, /^tmpfs\nchanged\n(down\n)?/, stderr)
  await box.delete()
})

t.test('powers end at the host’s files', needsRoot, async t => {
  const folder = scratch(t)
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'secret'), 'secret', { mode: 0o600 })
  writeFileSync(join(folder, 'public'), 'public', { mode: 0o644 })
  const builder = inOwn(t).mount(bind(folder, '/data'))
  const { stdout } = await run(builder, [
    'sh',
    '-c',
    'cat /data/public; cat /data/secret; chown 0 /data/public; echo x > /data/public',
  ])
  t.equal(stdout, 'public')
  t.equal(readFileSync(join(folder, 'public'), 'utf8'), 'public')
})

t.test('devices, proc, and what is hidden', needsRoot, async t => {
  const script = `
    echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 | tr -d ' '
    head -c 1 /dev/urandom | wc -c; ls /dev/pts; stat -c %g /dev/pts/ptmx
    touch /proc/sys/kernel/x /sys/x 2>/dev/null || echo read-only
    wc -c < /proc/keys; ls /sys/firmware | wc -l`
  const { stdout, stderr } = await run(inOwn(t), ['sh', '-c', script])
  t.equal(stdout, '000000\n1\nptmx\n0\nread-only\n0\n0\n', stderr)
})

t.test('exec, a terminal, another user', needsRoot, async t => {
  const box = await inOwn(t).create()
  const main = await box.start(['cat'])
  const other = await box.exec(
    ['sh', '-c', 'id -u; id -G; grep CapEff /proc/self/status | cut -f2'],
    {
      user: { uid: 33, gid: 34, groups: [35] },
    },
  )
  t.equal(await other.stdout.text(), '33\n34 35\n0000000000000000\n')
  const status = readFileSync(`/proc/${main.pid}/status`, 'utf8')
  t.match(status, /^Uid:\t100000/m)
  const shell = await box.exec(['sh', '-c', 'tty; id -u'], { terminal: true })
  t.equal(await shell.terminal?.text(), '/dev/pts/0\r\n0\r\n')
  await box.kill('SIGKILL', { all: true })
  await main.exited
  await box.delete()
})

t.test('an overlay, and a single id', needsRoot, async t => {
  const root = ownRoot(t)
  const single = [{ containerId: 0, hostId: HOST }]
  const builder = () =>
    new Container()
      .rootfs(overlay({ lower: [root] }))
      .mount(hostPrograms, tmpfs('/tmp'))
      .idMappings({ uid: single, gid: single })
  t.equal((await run(builder(), ['sh', '-c', 'touch /x /tmp/x && id -u'])).stdout, '0\n')
  await t.rejects(run(builder(), ['true'], { user: 5 }), {
    name: 'CofferdamError',
    code: 'ERR_INVALID_OPTION',
    option: 'user',
  })
})

t.test('standard streams can be opened by their paths', needsRoot, async t => {
  const script = ['sh', '-c', 'echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin']
  const ended = { exitCode: 0, signal: null }
  for (const user of [0, '33:34'])
    t.same(await run(inOwn(t), script, { user }), { stdout: 'out\n', stderr: 'err\n', ...ended })
  const box = await inOwn(t).create()
  await box.start(['sleep', '60'], { stdio: 'ignore' })
  const other = await box.exec(script)
  other.stdin.end()
  t.equal((await other.stdout.text()) + (await other.stderr.text()), 'out\nerr\n')
  await box.delete()
})

t.test('the host’s root, composed', needsRoot, async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'precious'), 'still here')
  // An overlay can copy nothing up whose owner there is not.
  for (const path of [folder, join(folder, 'precious')]) chownSync(path, HOST, HOST)
  const script = `rm ${folder}/precious && ls ${folder} | wc -l; touch /usr/x && stat -c %u /usr/x`
  const builder = overHost().idMappings(mappings)
  const { stdout, stderr } = await run(builder, ['sh', '-c', script])
  t.equal(stdout, '0\n0\n', stderr)
  t.equal(readFileSync(join(folder, 'precious'), 'utf8'), 'still here')
})

t.test('one that is there is joined, and others with it', needsRoot, async t => {
  const first = await overHost().idMappings(mappings).create()
  await first.start(['sleep', '60'], { stdio: 'ignore' })
  const of = (file: string) => `/proc/${first.pid}/ns/${file}`
  const second = await overHost('joins')
    .isolate({ user: of('user'), uts: of('uts') }, 'mount', 'pid', 'ipc', 'network', 'cgroup')
    .create()
  for (const file of ['user', 'uts'])
    t.equal(readlinkSync(`/proc/${second.pid}/ns/${file}`), readlinkSync(of(file)))
  t.not(readlinkSync(`/proc/${second.pid}/ns/net`), readlinkSync(of('net')))
  const script = 'id -u; id -G; echo $$; hostname; echo path > /dev/stdout; stat -c %u /usr /dev'
  const { stdout, stderr } = await runIn(second, ['sh', '-c', script], { user: '7:8' })
  t.same(stdout.split('\n'), ['7', '8', '1', first.id, 'path', '0', '0', ''], stderr)
  await second.delete()
  await first.delete()
})

t.test('parked, its init is open to nobody', needsRoot, async t => {
  const box = await inOwn(t).create()
  t.equal(statSync(`/proc/${box.pid}/uid_map`).uid, 0)
  await box.delete()
})

t.test('without a PID namespace, or much else', needsRoot, async t => {
  const builder = new Container().isolate('user', 'uts').idMappings(mappings)
  t.equal((await run(builder, ['id', '-u'])).stdout, '0\n')
})

t.test('mappings that can not be', needsRoot, async t => {
  const wrong: [unknown, string][] = [
    [{ uid: ids }, 'idMappings.gid'],
    [{ uid: [], gid: ids }, 'idMappings.uid'],
    [{ uid: ids, gid: [{ containerId: 1, hostId: 1 }] }, 'idMappings.gid'],
    [{ uid: [{ containerId: -1, hostId: 0 }], gid: ids }, 'idMappings.uid[0].containerId'],
    [{ uid: [{ containerId: 0, hostId: 2 ** 32 - 1 }], gid: ids }, 'idMappings.uid[0].hostId'],
    [{ uid: [{ containerId: 0, hostId: 1, size: 0 }], gid: ids }, 'idMappings.uid[0].size'],
    [{ uid: [{ containerId: 0, hostID: 1 }], gid: ids }, 'idMappings.uid[0].hostID'],
    [{ uid: [...ids, { containerId: 5, hostId: 1 }], gid: ids }, 'idMappings.uid'],
    [{ uid: [...ids, { containerId: 70_000, hostId: HOST + 5 }], gid: ids }, 'idMappings.uid'],
    [null, 'idMappings'],
  ]
  for (const [value, option] of wrong)
    t.throws(() => new Container().idMappings(value as never), {
      name: 'CofferdamError',
      code: 'ERR_INVALID_OPTION',
      option,
    })
  await t.rejects(
    new Container()
      .rootfs(overlay({ lower: ['/', '/etc'] }))
      .idMappings(mappings)
      .create(),
    { code: 'ERR_CONFLICT', option: 'rootfs' },
  )
  await t.rejects(overHost().isolate({ user: '/proc/1/ns/user' }).idMappings(mappings).create(), {
    code: 'ERR_CONFLICT',
    option: 'idMappings',
  })
})

t.test('nothing is left behind', needsRoot, nothingLeft)
