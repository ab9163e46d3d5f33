import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  terminalShell,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('the program is its child, and it ends as the program does', needsContainers, async t => {
  const outcome = (script: string) => run(overHost(), ['sh', '-c', script], { init: true })
  t.equal((await outcome('echo $$ $PPID $(cat /proc/1/comm)')).stdout, '2 1 init\n')
  t.equal((await outcome('exit 7')).exitCode, 7)
  const killed = await outcome('kill -KILL $$')
  t.same([killed.exitCode, killed.signal], [137, null])
})

t.test('orphans are waited for', needsContainers, async t => {
  const script = `
    for i in 1 2 3 4 5; do (sh -c "sleep 0.0$i & exit 0"); done
    sleep 0.3; ps ax -o stat= | grep -c Z; true`
  t.equal((await run(overHost(), ['sh', '-c', script], { init: true })).stdout, '0\n')
  t.equal((await run(overHost(), ['sh', '-c', `exec 3>&1; ${script}`])).exitCode, 0)
})

t.test('signals are handed on, also those without a handler', needsRoot, async t => {
  const box = await overHost().create()
  const main = await box.start(['sleep', '1000'], { init: true, user: 1000 })
  await box.kill('SIGTERM')
  t.same(await main.exited, { exitCode: 143, signal: null })
  await box.delete()

  await using bare = await overHost().create()
  await bare.start(['sleep', '1000'])
  await bare.kill('SIGTERM')
  t.notOk(await until(() => bare.status === 'stopped', 20), 'process 1 itself would not have heard')
})

t.test('on a terminal, and told once', needsContainers, async t => {
  const box = await overHost().create()
  const script = 'trap "echo once" INT; echo ready; while :; do sleep 0.05; done'
  const main = await box.start(['sh', '-c', script], { init: true, terminal: true })
  const { press } = terminalShell(main)
  await press('', /ready/)
  t.match(await press('\x03', /once/), /^\^Conce\r\n$/)
  await box.stop({ signal: 'SIGKILL' })
  await box.delete()
})

t.test('that a terminal hangs up', needsContainers, async t => {
  const box = await overHost().create()
  const script = 'trap "exit 9" HUP; echo ready; while :; do sleep 0.05; done'
  const main = await box.start(['sh', '-c', script], { init: true, terminal: true })
  await terminalShell(main).press('', /ready/)
  main.terminal?.destroy()
  t.equal((await main.exited).exitCode, 9)
  await box.delete()
})

t.test('it holds nothing and can not be looked into', needsRoot, async t => {
  const box = await overHost().create()
  const main = await box.start(['cat'], { init: true })
  const status = readFileSync(`/proc/${main.pid}/status`, 'utf8')
  t.match(status, /^NoNewPrivs:\t1$/m)
  t.match(status, /^CapBnd:\t00000000a80425fb$/m)
  const other = await box.exec(['sh', '-c', 'ls /proc/1/fd | wc -l; cat /proc/1/environ | wc -c'], {
    user: 1000,
  })
  t.match(await other.stderr.text(), /Permission denied/)
  const fds = await box.exec(['sh', '-c', 'ls /proc/1/fd | wc -l'])
  t.match(await fds.stdout.text(), /^0\n$/)
  main.stdin.end()
  t.equal((await main.exited).exitCode, 0)
  await box.delete()
})

t.test('a program that lets go of the host does not outlive it', needsContainers, async t => {
  const script = `
    const { Container, overlay } = await import('cofferdam')
    const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
    await box.start(['setpriv', '--pdeathsig', 'clear', 'sleep', '1000'], { init: true, stdio: 'ignore' })
    const [, { pid }] = await box.processes()
    console.log(pid)
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 200)`
  const pid = await new Promise<number>(resolve =>
    execFile(process.execPath, ['--input-type=module', '-e', script], (_, stdout) =>
      resolve(Number(stdout)),
    ),
  )
  t.ok(pid > 0)
  t.ok(await until(() => !existsSync(`/proc/${pid}`)))
})

t.test('what can not be', needsRoot, async t => {
  const attempt = (options: object, builder = overHost()) => run(builder, ['true'], options)
  await t.rejects(attempt({ init: true }, overHost().isolate('mount')), { code: 'ERR_CONFLICT' })
  await t.rejects(attempt({ init: 'yes' }), { code: 'ERR_INVALID_OPTION' })
  await t.rejects(run(overHost(), ['no-such-program'], { init: true }), {
    code: 'ENOENT',
    step: 'exec',
  })
  await using box = await overHost()
    .process({ argv: ['cat'], init: true })
    .create()
  await box.start()
  await t.rejects(box.exec(['true'], { init: true } as object), { code: 'ERR_INVALID_OPTION' })
  const other = await box.exec(['sh', '-c', 'echo $PPID'])
  t.equal(await other.stdout.text(), '0\n', 'only the first has one')
})

t.test('nothing is left behind', needsContainers, nothingLeft)
