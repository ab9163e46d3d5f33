import { closeSync, openSync, readlinkSync } from 'node:fs'
import { type Box, Container, type CreateOptions, namespaces, plan } from 'cofferdam'
import t from 'tap'
import { native } from '#lib/base/index.js'
import { needsContainers, needsRoot, overHost, rememberTraces, scratch } from '../support/index.js'

const nothingLeft = await rememberTraces()

/** The namespace of a process as `/proc` names it, `pid:[4026531836]`. */
const namespaceOf = (kind: string, pid: number | undefined) =>
  readlinkSync(`/proc/${pid}/ns/${kind}`)

/** A container that runs until it is deleted. */
async function running(builder: Container, options?: CreateOptions): Promise<Box> {
  const box = await builder.create(options)
  await box.start(['sleep', '1000'], { stdio: 'ignore' })
  return box
}

for (const lifetime of ['attached', 'detached', 'released'] as const)
  t.test(`a PID namespace is joined, ${lifetime}`, needsRoot, async t => {
    await using first = await running(overHost())
    const joining = overHost().isolate('mount', 'uts', { pid: `/proc/${first.pid}/ns/pid` })
    await using second = await joining.create({ lifetime, stateFolder: scratch(t) })
    const main = await second.start([
      'sh',
      '-c',
      'echo $$; cat /proc/1/cmdline; echo; read x; exit 5',
    ])
    t.equal(namespaceOf('pid', second.pid), namespaceOf('pid', first.pid))
    t.not(namespaceOf('mnt', second.pid), namespaceOf('mnt', first.pid))
    const lines = main.stdout.lines()
    t.not((await lines.next()).value, '1', 'it is not the first process there')
    t.match((await lines.next()).value, /^sleep\0/, 'its /proc is that of the namespace')
    const other = await second.exec(['sh', '-c', 'test -e /proc/1/exe && echo $$'])
    t.ok(Number(await other.stdout.text()) > 1, 'exec() joins it too')
    t.same(await other.exited, { exitCode: 0, signal: null })
    main.stdin.end('\n')
    t.same(await main.exited, { exitCode: 5, signal: null })
  })

t.test('the death of process 1 ends who has joined', needsRoot, async t => {
  const first = await running(overHost())
  await using second = await running(
    overHost().isolate('mount', { pid: `/proc/${first.pid}/ns/pid` }),
  )
  await first.delete()
  t.same(await second.main?.exited, { exitCode: null, signal: 'SIGKILL' })
})

t.test('the container that is deleted leaves the one that it joined alone', needsRoot, async t => {
  await using first = await running(overHost())
  const second = await running(overHost().isolate('mount', { pid: `/proc/${first.pid}/ns/pid` }))
  t.equal((await first.processes()).length, 2)
  await second.delete()
  t.equal((await first.processes()).length, 1)
  t.equal(first.status, 'running')
})

/** A pidfd, the caller's to be closed. */
function pidfdOf(pid: number): number {
  const result = plan.slot('pidfd')
  const open = plan.hostStep('pidfd', plan.call('pidfd_open', [pid, 0], { result }))
  return native().run(plan.encode([open], { hold: true }).bytes)[0] as number
}

t.test('namespaces are named by path, pid, pidfd and descriptor', needsRoot, async t => {
  await using first = await running(overHost())
  const { pid } = first as { pid: number }
  using network = namespaces.open('network', { pid })
  const cgroup = openSync(`/proc/${pid}/ns/cgroup`, 'r')
  const pidfd = pidfdOf(pid)
  const builder = overHost().isolate('mount', {
    network,
    uts: { pid },
    ipc: `/proc/${pid}/ns/ipc`,
    cgroup: { fd: cgroup },
    pid: { pidfd },
  })
  for (const lifetime of ['attached', 'detached'] as const) {
    await using second = await builder.create({ lifetime, stateFolder: scratch(t) })
    await second.start(['sleep', '100'], { stdio: 'ignore' })
    for (const kind of ['net', 'uts', 'ipc', 'cgroup', 'pid'])
      t.equal(namespaceOf(kind, second.pid), namespaceOf(kind, pid), kind)
    const other = await second.exec(['readlink', '/proc/self/ns/net'])
    t.equal((await other.stdout.text()).trim(), namespaceOf('net', pid))
  }
  closeSync(cgroup)
  closeSync(pidfd)
  t.match(overHost().isolate('mount', { network }).explain(), /fcntl\(\d+, F_DUPFD_CLOEXEC/)
})

t.test('several namespaces of a process at once', needsRoot, async t => {
  await using first = await running(overHost())
  const all = namespaces.namespacesOf({ pid: first.pid as number }, ['network', 'uts', 'pid'])
  await using second = await running(overHost().isolate('mount', all))
  for (const kind of ['net', 'uts', 'pid'])
    t.equal(namespaceOf(kind, second.pid), namespaceOf(kind, first.pid), kind)
})

t.test('what is no namespace of this kind is refused', needsContainers, async t => {
  const option = 'isolate.network'
  const refused = (
    network: namespaces.NamespaceReference,
    error: { code: string; option: string },
  ) => t.rejects(overHost().isolate('mount', { network }).create(), error)
  await refused('/proc/self/ns/uts', { code: 'ERR_INVALID_OPTION', option })
  await refused('/etc/hostname', { code: 'ERR_INVALID_OPTION', option })
  await refused('/proc/self/ns/none', { code: 'ENOENT', option })
  await refused({ pid: 0x7ffffffe }, { code: 'ESRCH', option })
  await refused({ pidfd: 0 }, { code: 'ERR_INVALID_OPTION', option: `${option}.pidfd` })
  for (const wrong of [{}, 'relative', { pid: 0 }, 7])
    t.throws(() => overHost().isolate({ network: wrong as string }), {
      code: 'ERR_INVALID_OPTION',
      option: /^isolate\.network/,
    })
})

t.test('init needs a PID namespace of its own', needsRoot, async t => {
  await using first = await running(overHost())
  await using box = await overHost()
    .isolate('mount', { pid: { pid: first.pid as number } })
    .create()
  await t.rejects(box.start(['true'], { init: true }), {
    code: 'ERR_CONFLICT',
    option: 'init',
  })
})

t.test('what this program is in already is joined by whoever stays there', needsRoot, async t => {
  const all = namespaces.namespacesOf({ pid: process.pid })
  await using box = await running(new Container().isolate(all))
  for (const kind of ['user', 'mnt', 'pid', 'net'])
    t.equal(namespaceOf(kind, box.pid), namespaceOf(kind, process.pid), kind)
  const other = await box.exec(['true'])
  t.same(await other.exited, { exitCode: 0, signal: null })
  await t.rejects(
    new Container()
      .isolate({ user: '/proc/self/ns/user' })
      .idMappings({ uid: [{ containerId: 0, hostId: 0 }], gid: [{ containerId: 0, hostId: 0 }] })
      .create(),
    { code: 'ERR_CONFLICT', option: 'idMappings' },
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
