import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { type CofferdamError, Container } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  runIn,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('a container is made, started, waited for and deleted', needsContainers, async t => {
  const box = await overHost('lifecycle').create()
  t.equal(box.id, 'lifecycle')
  t.equal(box.status, 'created')
  t.equal(box.main, undefined)
  t.equal(readlinkSync(`/proc/${box.pid}/cwd`), '/', 'init is parked in the new root')

  const main = await box.start(['sh', '-c', 'echo out; echo err >&2; exit 7'])
  t.equal(box.status, 'running')
  t.equal(box.main, main)
  t.equal(main.pid, box.pid, 'the program is what init has become')
  t.equal(await main.stdout.text(), 'out\n')
  t.equal(await main.stderr.text(), 'err\n')
  t.same(await main.exited, { exitCode: 7, signal: null })
  t.equal(box.status, 'stopped')

  await box.delete()
  t.equal(box.status, 'deleted')
  await box.delete()
})

t.test('the process half named in the builder is what start() runs', needsContainers, async t => {
  const builder = overHost().process({
    argv: ['sh', '-c', 'echo $WHO in $PWD'],
    env: { WHO: 'me' },
    cwd: '/usr',
  })
  await using box = await builder.create()
  const main = await box.start()
  t.equal(await main.stdout.text(), 'me in /usr\n')
  await using other = await builder.create()
  t.equal((await runIn(other, ['sh', '-c', 'echo $WHO'], {})).stdout, 'me\n')
})

t.test('parked, init can not be looked into and holds nothing of the host', needsRoot, async t => {
  await using box = await overHost().create()
  const status = readFileSync(`/proc/${box.pid}/status`, 'utf8')
  t.match(status, /^Name:\tmemfd:cofferdam|^Name:\t/m)
  t.match(readFileSync(`/proc/${box.pid}/cmdline`, 'utf8'), 'cofferdam-init')
  const mounts = readFileSync(`/proc/${box.pid}/mountinfo`, 'utf8')
  t.notMatch(mounts, / - (ext4|xfs|btrfs) /, 'nothing of the old root is mounted')
})

t.test('kill ends it, and exited says with which signal', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['sleep', '100'], { stdio: 'ignore' })
  await box.kill('SIGKILL')
  t.same(await main.exited, { exitCode: null, signal: 'SIGKILL' })
  await t.rejects(box.kill('SIGTERM'), { code: 'ESRCH' })
})

t.test('a signal with a handler reaches the first process', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start([
    'sh',
    '-c',
    'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.05; done',
  ])
  const lines = main.stdout.lines()
  t.equal((await lines?.next())?.value, 'ready')
  await box.kill('SIGTERM')
  t.equal((await lines?.next())?.value, 'caught')
  t.same(await main.exited, { exitCode: 5, signal: null })
})

t.test('delete ends whatever still runs, parked or running', needsContainers, async t => {
  const parked = await overHost().create()
  const { pid } = parked
  await parked.delete()
  t.notOk(existsSync(`/proc/${pid}`))

  const running = await overHost().create()
  const main = await running.start(['sleep', '100'], { stdio: 'ignore' })
  await running.delete()
  t.same(await main.exited, { exitCode: null, signal: 'SIGKILL' })
})

t.test('await using deletes', needsContainers, async t => {
  let pid: number | undefined
  {
    await using box = await overHost().create()
    pid = box.pid
    t.ok(existsSync(`/proc/${pid}`))
  }
  t.notOk(existsSync(`/proc/${pid}`))
})

t.test('the death of PID 1 ends the rest', needsContainers, async t => {
  const marker = `99${process.pid}`
  await run(overHost(), ['sh', '-c', `sleep ${marker} & exit 0`])
  const { readdirSync } = await import('node:fs')
  const left = readdirSync('/proc').filter(entry => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(marker)
    } catch {
      return false
    }
  })
  t.same(left, [])
})

t.test('what can not be done in this state is refused', needsContainers, async t => {
  const box = await overHost('state').create()
  await t.rejects(overHost('state').create(), { code: 'EEXIST', option: 'id' })
  const main = await box.start(['true'], { stdio: 'ignore' })
  await t.rejects(box.start(['true']), { code: 'ERR_STATE' })
  await main.exited
  await t.rejects(box.start(['true']), { code: 'ERR_STATE' })
  await box.delete()
  await t.rejects(box.start(['true']), { code: 'ERR_STATE' })
  await (await overHost('state').create()).delete()
})

t.test('create can be given up', needsContainers, async t => {
  const controller = new AbortController()
  const creating = overHost('aborted').create({ signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.rejects(creating, { message: 'enough' })
  await t.rejects(overHost().create({ signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  })
  await (await overHost('aborted').create()).delete()
})

t.test('one description makes any number of containers', needsContainers, async t => {
  const builder = overHost()
  const boxes = await Promise.all(Array.from({ length: 20 }, () => builder.create()))
  t.equal(new Set(boxes.map(box => box.id)).size, 20)
  const names = await Promise.all(boxes.map(box => runIn(box, ['hostname'])))
  t.same(
    names.map(name => name.stdout.trim()),
    boxes.map(box => box.id),
    'each has its id as host name',
  )
  await Promise.all(boxes.map(box => box.delete()))
})

t.test('the design brief’s example', needsContainers, async t => {
  const { overlay, tmpfs } = await import('cofferdam')
  await using box = await new Container('demo')
    .rootfs(overlay({ lower: ['/'] }))
    .isolate('mount', 'pid', 'uts', 'ipc', 'network', 'cgroup')
    .hostname('demo')
    .mount(tmpfs('/tmp', { size: '64MiB' }))
    .capabilities(['NET_BIND_SERVICE'])
    .create()
  const main = await box.start(['sh', '-c', 'echo hello from $(hostname), pid $$'])
  const lines: string[] = []
  for await (const line of main.stdout.lines()) lines.push(line)
  t.same(lines, ['hello from demo, pid 1'])
  t.same(await main.exited, { exitCode: 0, signal: null })
})

t.test('programs that can not be executed are told apart', needsContainers, async t => {
  const missing = async (argv: string[]) => {
    await using box = await overHost().create()
    return await box.start(argv).then(
      () => undefined,
      (error: CofferdamError) => error,
    )
  }
  t.match(await missing(['no-such-program']), {
    code: 'ENOENT',
    syscall: 'execve',
    step: 'exec',
    path: 'no-such-program',
  })
  t.match(await missing(['/no/such/program']), { code: 'ENOENT' })
  t.match(await missing(['/etc/passwd']), { code: 'EACCES', syscall: 'execve' })
  t.match(await missing(['/usr']), { code: 'EACCES' })
  t.match(await missing(['/etc/passwd/x']), { code: 'ENOENT' })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
