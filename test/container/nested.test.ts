import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bind, type Container } from 'cofferdam'
import t from 'tap'
import { needsRoot, overHost, rememberTraces, run } from '../support/index.js'
import { asUser } from '../support/unprivileged.js'

// Containers made by a program that runs in one. The outer one has what Docker
// gives by default: 14 capabilities, masked and read-only paths, no_new_privs.

const nothingLeft = await rememberTraces()
const project = fileURLToPath(new URL('../../..', import.meta.url))

/** Runs a program that makes a container, in another; gives what it said. */
async function nested(outer: Container, how: string): Promise<string> {
  const body = `
    import { Container, overlay } from 'cofferdam'
    const builder = id => new Container(id).rootfs(overlay({ lower: ['/'] }))${how}
    try {
      const box = await builder('inner').create()
      const main = await box.start(['sh', '-c', 'hostname; id -u; echo $$; echo x > /dev/stdout; exec cat'])
      const lines = main.stdout.lines()
      for (let i = 0; i < 4; i++) console.log((await lines.next()).value)
      const other = await box.exec(['sh', '-c', 'touch /usr/made && ls /usr/made; grep CapEff /proc/self/status; ls /sys/class/net'])
      process.stdout.write(await other.stdout.text())
      main.stdin.end()
      console.log(JSON.stringify(await main.exited))
      await box.delete()
    } catch (error) {
      console.log(error.code, error.step, '|', error.hint ?? error.message)
    }`
  const builder = outer.mount(bind(project, project, { readonly: true }))
  const argv = [process.execPath, '--input-type=module', '-e', body]
  const { stdout, stderr } = await run(builder, argv, { cwd: project })
  return (stdout + stderr).trim()
}

const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }]
const outers: [string, () => Container][] = [
  ['in a container of root’s', () => overHost()],
  ['in one that has a user namespace', () => overHost().idMappings({ uid: ids, gid: ids })],
]
const works = [
  'inner',
  '0',
  '1',
  'x',
  '/usr/made',
  'CapEff:\t00000000a80425fb',
  'lo',
  '{"exitCode":0,"signal":null}',
]

for (const [where, outer] of outers) {
  t.test(where, needsRoot, async t => {
    t.match(await nested(outer(), ''), /^EPERM proc \| .*masks parts of \/proc.*proc\('bind'\)/)
    t.match(await nested(outer(), ".proc('bind')"), /^EPERM sysfs \| .*sysfs\('bind'\)/)
    const bound = await nested(outer(), ".proc('bind').sysfs('bind')")
    t.same(bound.split('\n'), works, 'with what the outer one shows')
    const open = await nested(outer().maskedPaths([]).readonlyPaths([]), '')
    t.same(open.split('\n'), works, 'with all its own, where nothing is hidden')
  })
}

t.test('in one of an ordinary user', needsRoot, async t => {
  const inner = `
    import { Container, overlay } from 'cofferdam'
    const box = await new Container('inner').rootfs(overlay({ lower: ['/'] })).proc('bind').sysfs('bind').create()
    const main = await box.start(['sh', '-c', 'hostname; id -u; touch /usr/made && echo made'])
    console.log(await main.stdout.text(), await main.stderr.text())
    await box.delete()`
  const [said] = await asUser(
    t,
    `say(await run(overHost(), [process.execPath, '--input-type=module', '-e', ${JSON.stringify(inner)}], { cwd: ${JSON.stringify(project)} }))`,
  )
  t.match(said, { stdout: /^inner\n0\nmade\n/, stderr: '', exitCode: 0 })
})

t.test('in a user namespace with all capabilities it needs no other', needsRoot, async t => {
  const body = `
    import { Container, overlay } from 'cofferdam'
    import { readlinkSync } from 'node:fs'
    const box = await new Container('inner').rootfs(overlay({ lower: ['/'] })).create()
    console.log(readlinkSync('/proc/self/ns/user') === readlinkSync('/proc/' + box.pid + '/ns/user'))
    const main = await box.start(['sh', '-c', 'hostname; id -u; echo $$; echo x > /dev/null; touch /usr/made && echo made'])
    console.log(await main.stdout.text(), await main.stderr.text())
    await box.delete()`
  const argv = [
    '--user',
    '--map-root-user',
    '--mount',
    process.execPath,
    '--input-type=module',
    '-e',
    body,
  ]
  const stdout = await new Promise((resolve, reject) =>
    execFile('unshare', argv, { cwd: project }, (error, out) =>
      error ? reject(error) : resolve(out),
    ),
  )
  t.match(stdout, /^true\ninner\n0\n1\nmade\n/)
})

t.test('where no user namespace may be made', needsRoot, async t => {
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
  const { stdout } = await run(
    overHost()
      .isolate('mount', 'pid', 'uts', 'ipc', 'network', 'cgroup', 'user')
      .idMappings({ uid: ids, gid: ids })
      .capabilities(['SYS_ADMIN', 'SYS_RESOURCE'])
      .readonlyPaths([])
      .mount(bind(project, project, { readonly: true })),
    [
      ...['sh', '-c', script, 'sh', process.execPath, '--input-type=module', '-e'],
      `import { Container } from 'cofferdam'
      await new Container().isolate('user', 'uts').idMappings({ uid: [{ containerId: 0, hostId: 0 }], gid: [{ containerId: 0, hostId: 0 }] })
        .create().catch(error => console.log(error.code, error.step, '|', error.hint))`,
    ],
    { cwd: project },
  )
  t.match(stdout, /^ENOSPC user namespace \| .*user\.max_user_namespaces/)
})

t.test('nothing is left behind', needsRoot, nothingLeft)
