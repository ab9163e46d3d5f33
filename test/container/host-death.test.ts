import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { needsContainers, needsRoot, until } from '../support/index.js'

const preamble = `
  const { Container, overlay } = await import('cofferdam')
  const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
`

/** Runs a program that makes containers, kills it when it says `pid`, and waits for their end. */
async function killHost(script: string, signal: NodeJS.Signals): Promise<boolean> {
  const host = spawn(process.execPath, ['--input-type=module', '-e', preamble + script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [chunk] = (await once(host.stdout, 'data')) as [Buffer]
  const pids = chunk.toString().trim().split(' ').map(Number)
  const starts = pids.map(startTime)
  host.kill(signal)
  await once(host, 'exit')
  return await until(() => pids.every((pid, i) => startTime(pid) !== starts[i]))
}

/** When a process started, which tells it from a later one of the same pid; proc_pid_stat(5). */
function startTime(pid: number): string | undefined {
  if (!existsSync(`/proc/${pid}/stat`)) return undefined
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')
    return fields?.[0] === 'Z' ? undefined : fields?.[19]
  } catch {
    return undefined
  }
}

const forEver = 'setInterval(() => undefined, 1000)'

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const) {
  t.test(`${signal} of the host ends a parked container`, needsContainers, async t => {
    t.ok(await killHost(`console.log(box.pid); ${forEver}`, signal))
  })

  t.test(`${signal} of the host ends a running container`, needsContainers, async t => {
    const script = `await box.start(['sleep', '1000'], { stdio: 'ignore' }); console.log(box.pid); ${forEver}`
    t.ok(await killHost(script, signal))
  })
}

t.test('also one that runs as another user, and its children', needsRoot, async t => {
  const script = `
    const main = await box.start(['sh', '-c', 'sleep 1000 & echo x; wait'], { user: 1000 })
    await main.stdout.lines().next()
    const { readFileSync } = await import('node:fs')
    console.log(box.pid, readFileSync('/proc/' + box.pid + '/task/' + box.pid + '/children', 'utf8').trim())
    ${forEver}`
  t.ok(await killHost(script, 'SIGKILL'))
})

t.test('process.exit() ends it too', needsContainers, async t => {
  const host = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `${preamble} await box.start(['sleep', '1000'], { stdio: 'ignore' }); console.log(box.pid); process.exit(0)`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [chunk] = (await once(host.stdout, 'data')) as [Buffer]
  const pid = Number(chunk.toString())
  await once(host, 'exit')
  t.ok(await until(() => startTime(pid) === undefined))
})

t.test(
  'a container keeps the program alive until it ends, as a child process does',
  needsContainers,
  async t => {
    const host = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `${preamble} await box.start(['sh', '-c', 'sleep 0.2; echo done'], { stdio: 'inherit' })`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let output = ''
    host.stdout.on('data', chunk => {
      output += chunk
    })
    const [code] = await once(host, 'close')
    t.equal(output, 'done\n')
    t.equal(code, 0)
  },
)
