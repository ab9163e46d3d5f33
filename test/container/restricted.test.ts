import { execFile } from 'node:child_process'
import t from 'tap'
import { needsRoot } from '../support/index.js'

// What a machine forbids, each in a process of its own that has given it up.

const script = (body: string) => `
  const { Container, overlay, CofferdamError } = await import('cofferdam')
  const { nativeFacts } = await import('#lib/base/index.js')
  const builder = () => new Container().rootfs(overlay({ lower: ['/'] }))
  try { ${body} } catch (error) {
    console.log(error instanceof CofferdamError, error.code, error.syscall, error.step, '|', error.hint)
  }`

function node(body: string, command: string[] = []): Promise<string> {
  const [file, ...args] = [...command, process.execPath, '--input-type=module', '-e', script(body)]
  return new Promise((resolve, reject) =>
    execFile(file as string, args, (error, stdout, stderr) =>
      error ? reject(new Error(stderr)) : resolve(stdout),
    ),
  )
}

const runEcho = `
  const box = await builder().create()
  const main = await box.start(['echo', 'works'])
  process.stdout.write(await main.stdout.text())
  await box.delete()`

t.test('memfds that may not be executed: an unlinked file serves', needsRoot, async t => {
  // vm.memfd_noexec belongs to the PID namespace (Linux 6.6).
  const forbid = [
    'unshare',
    '--pid',
    '--fork',
    '--mount-proc',
    'sh',
    '-c',
    'echo 2 > /proc/sys/vm/memfd_noexec; exec "$@"',
    'sh',
  ]
  t.equal(await node(`${runEcho}; console.log(nativeFacts().initSealed)`, forbid), 'works\nfalse\n')
  t.equal(await node(`${runEcho}; console.log(nativeFacts().initSealed)`), 'works\ntrue\n')
})

t.test('user namespaces that are forbidden: whoever needs one is told', needsRoot, async t => {
  const limit = (command: string) => [
    'unshare',
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    `echo 0 > /proc/sys/user/max_user_namespaces; exec ${command} "$@"`,
    'sh',
  ]
  // Capabilities in the outer one are given up, so that another is needed.
  const dropped = limit('setpriv --inh-caps=-all --bounding-set=-sys_admin')
  t.match(
    await node('await builder().create()', dropped),
    /^true ENOSPC unshare user namespace \| .*user\.max_user_namespaces/,
  )
})

t.test('a limit of namespaces', needsRoot, async t => {
  const limit = [
    'unshare',
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    'echo 0 > /proc/sys/user/max_uts_namespaces; exec "$@"',
    'sh',
  ]
  t.match(
    await node('await builder().create()', limit),
    /^true ENOSPC unshare namespaces \| .*\/proc\/sys\/user/,
  )
})

t.test('no descriptors left', needsRoot, async t => {
  const body = `
    await (await builder().create()).delete()
    const { openSync, closeSync } = await import('node:fs')
    const open = []
    try { for (;;) open.push(openSync('/dev/null')) } catch {}
    await builder().create().catch(error => console.log(error.code, error.syscall))
    for (const fd of open) closeSync(fd)
    ${runEcho}`
  t.match(
    await node(body, ['prlimit', '--nofile=256']),
    /^EMFILE (socketpair|clone3|dup3)\nworks\n$/,
  )
})

t.test('no processes left', needsRoot, async t => {
  const user = [
    'unshare',
    '--user',
    '--map-root-user',
    '--pid',
    '--fork',
    'sh',
    '-c',
    'echo 0 > /proc/sys/user/max_pid_namespaces; exec "$@"',
    'sh',
  ]
  t.match(await node('await builder().create()', user), /^true ENOSPC clone3 start init \| /)
})
