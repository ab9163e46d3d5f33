// What the design prints as the public interface, line by line and in its order.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  bind,
  type CofferdamError,
  Container,
  type ContainerEvent,
  capabilities,
  cgroups,
  mounts,
  namespaces,
  netlink,
  overlay,
  tmpfs,
} from 'cofferdam'
import t from 'tap'
import { foldersAt, needsController } from '../support/cgroups.js'
import { needsRoot, program, rememberTraces, scratch } from '../support/index.js'

const nothingLeft = await rememberTraces()
const needs = needsController('memory', 'cpu', 'pids')

/** The description; `data` stands for `/srv/data`, which not every machine has. */
function described(id: string, data: string): Container {
  return new Container(id)
    .rootfs(overlay({ lower: ['/'] }))
    .isolate('mount', 'pid', 'uts', 'ipc', 'network', 'cgroup')
    .hostname('demo')
    .mount(bind(data, '/data', { readonly: true }), tmpfs('/tmp', { size: '64MiB' }))
    .limits({ memory: '256MiB', cpus: 0.5, pids: 64 })
    .capabilities(['NET_BIND_SERVICE'])
}

const hello = 'echo hello from $(hostname), pid $$'

t.test('all names are there', async t => {
  for (const each of [namespaces, cgroups, mounts, netlink, capabilities]) t.type(each, 'object')
})

t.test('the example, with a program that waits for a word', needs, async t => {
  const data = scratch(t)
  writeFileSync(join(data, 'x'), 'of the host')
  await using box = await described('demo', data).create()
  const main = await box.start(['sh', '-c', `${hello}; read x; exit 3`])
  for await (const line of main.stdout.lines()) {
    t.equal(line, 'hello from demo, pid 1')
    break
  }
  const signal = AbortSignal.timeout(60_000)
  const told: ContainerEvent[] = []
  const telling = (async () => {
    for await (const event of box.events({ signal })) told.push(event)
  })()

  const shell = await box.exec(['sh'], { terminal: true })
  shell.terminal?.write('cat /data/x; echo x > /data/y; exit 4\n')
  let screen = ''
  for await (const chunk of shell.terminal ?? []) screen += chunk
  t.match(screen, 'of the host')
  t.match(screen, 'Read-only file system')
  t.same(await shell.exited, { exitCode: 4, signal: null })

  await box.pause()
  t.equal(box.status, 'paused')
  await box.resume()
  await box.update({ memory: '512MiB' })
  const { memory, pids, cpu } = await box.stats()
  t.match(memory, { limit: 512 * 2 ** 20 })
  t.match(pids, { current: 1, limit: 64 })
  t.ok(cpu)
  t.match(await box.cgroup?.limits(), { cpu: { quota: 50_000, period: 100_000 } })
  t.ok(existsSync(`/proc/${box.pid}`))
  t.match(box.explain(), /│ .*pivot_root/)

  main.stdin.end('go on\n')
  const { exitCode, signal: ended } = await main.exited
  t.same([exitCode, ended], [3, null])
  await box.delete()
  await telling
  const types = told.map(({ type }) => type)
  for (const type of ['paused', 'resumed', 'exit', 'deleted'] as const)
    t.ok(types.includes(type), type)
  t.same(foldersAt('/cofferdam/demo'), [])
})

t.test('to the letter: after the program has ended, what can’t be says so', needs, async t => {
  const box = await described('demo', scratch(t)).create()
  const main = await box.start(['sh', '-c', hello])
  const lines: string[] = []
  for await (const line of main.stdout.lines()) lines.push(line)
  t.same(lines, ['hello from demo, pid 1'])
  t.same(await main.exited, { exitCode: 0, signal: null })
  // A PID namespace ends with its first process, pid_namespaces(7): nothing can be made in it.
  const refused: [string, () => Promise<unknown>][] = [
    ['exec', () => box.exec(['sh'], { terminal: true })],
    ['pause', () => box.pause()],
    ['resume', () => box.resume()],
  ]
  for (const [what, run] of refused) {
    const error = (await run().catch(error => error)) as CofferdamError
    t.equal(error.code, 'ERR_STATE', what)
    t.match(error.message, `${what}: container demo is stopped`)
    t.match(error.hint, /first process has ended/, what)
  }
  // Its group stays until it is deleted.
  await box.update({ memory: '512MiB' })
  t.match(await box.stats(), { memory: { limit: 512 * 2 ** 20 }, pids: { current: 0 } })
  t.match(box.explain(), /pivot_root/)
  const told: string[] = []
  for await (const { type } of box.events()) {
    told.push(type)
    if (type === 'exit') break
  }
  t.same(told.slice(-1), ['exit'])
  await t.rejects(box.kill('SIGTERM'), { code: 'ESRCH', message: 'kill: container demo has ended' })
  await box.delete()
  t.same(foldersAt('/cofferdam/demo'), [])
})

t.test('again, in a later program', needsRoot, async t => {
  const data = scratch(t)
  const stateFolder = join(scratch(t), 'state')
  const box = await described('demo', data).create({ lifetime: 'detached', stateFolder })
  const wait = 'until [ -e /data/go ]; do sleep 0.05; done; exit 7'
  await box.start(['sh', '-c', wait], { stdio: 'ignore' })
  const later = await program(
    stateFolder,
    `import { writeFileSync } from 'node:fs'
     const again = await Container.load('demo', state)
     const all = (await Container.list(state)).map(({ id, status }) => [id, status])
     writeFileSync('${data}/go', '')
     console.log(JSON.stringify([all, await again.main?.exited, again.status]))`,
  )
  const said = [[['demo', 'running']], { exitCode: 7, signal: null }, 'stopped']
  t.same(JSON.parse(later), said)
  await box.delete()
})

t.test('nothing is left', nothingLeft)
