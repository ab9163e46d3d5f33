import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { needsRoot, overHost, rememberTraces, run, traces } from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('200 at once, each with its own exit code', needsRoot, async t => {
  const codes = await Promise.all(
    Array.from(
      { length: 200 },
      async (_, i) => (await run(overHost(), ['sh', '-c', `exit ${i}`])).exitCode,
    ),
  )
  t.same(
    codes,
    Array.from({ length: 200 }, (_, i) => i),
  )
})

t.test('300 in a row leave no descriptor, thread or mount', needsRoot, async t => {
  for (let i = 0; i < 20; i++) await run(overHost(), ['true'])
  const before = traces()
  for (let i = 0; i < 300; i++) await run(overHost(), ['true'], { stdio: 'ignore' })
  t.same(traces(), before)
})

t.test('beside child_process: neither takes the other’s exit statuses', needsRoot, async t => {
  const child = async (code: number) => {
    const [exit] = await once(spawn('sh', ['-c', `exit ${code}`], { stdio: 'ignore' }), 'exit')
    return exit as number
  }
  const both = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => [
      await child(i),
      (await run(overHost(), ['sh', '-c', `exit ${i}`], { stdio: 'ignore' })).exitCode,
    ]),
  )
  t.same(
    both,
    Array.from({ length: 100 }, (_, i) => [i, i]),
  )
})

t.test('under ignored SIGCHLD the exit status is still known', needsRoot, async t => {
  // sh ignores SIGCHLD for the node it becomes.
  const script = `
    const { Container, overlay } = await import('cofferdam')
    const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
    const main = await box.start(['sh', '-c', 'exit 42'], { stdio: 'ignore' })
    console.log(JSON.stringify(await main.exited))
    await box.delete()`
  const child = spawn(
    'python3',
    [
      '-c',
      'import signal,os,sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  await once(child, 'close')
  t.equal(output, '{"exitCode":42,"signal":null}\n')
})

t.test('nothing is left behind', needsRoot, nothingLeft)
