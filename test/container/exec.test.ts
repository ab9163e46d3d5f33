import { readlinkSync } from 'node:fs'
import { Container } from 'cofferdam'
import t from 'tap'
import {
  hostPrograms,
  makeRoot,
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  traces,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

const kinds = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'] as const
const namespaces = (pid: number | string) =>
  kinds.map(kind => readlinkSync(`/proc/${pid}/ns/${kind}`))

/** A container whose first process waits until its input ends. */
async function running(builder = overHost()) {
  const box = await builder.create()
  const main = await box.start(['cat'])
  return { box, main }
}

/** Runs a program in it; gives what it printed. */
async function output(
  box: Awaited<ReturnType<typeof running>>['box'],
  argv: string[],
  options = {},
) {
  const process = await box.exec(argv, options)
  process.stdin?.end()
  const [stdout, stderr, exit] = await Promise.all([
    process.stdout?.text() ?? '',
    process.stderr?.text() ?? '',
    process.exited,
  ])
  return { stdout, stderr, ...exit }
}

t.test('in all namespaces of the first process, seen from both sides', needsContainers, async t => {
  const { box } = await running(overHost('execs'))
  const other = await box.exec(['cat'])
  t.same(namespaces(other.pid), namespaces(box.pid as number))
  t.strictNotSame(namespaces(other.pid), namespaces('self'))
  t.match((await output(box, ['sh', '-c', 'hostname; echo $$'])).stdout, /^execs\n\d+\n$/)
  t.match((await output(box, ['readlink', '/proc/1/exe'])).stdout, /cat/)
  other.stdin.end()
  t.same(await other.exited, { exitCode: 0, signal: null })
  await box.delete()
})

t.test('as another user, in another directory, with other variables', needsRoot, async t => {
  const { box } = await running(
    overHost().process({ argv: ['cat'], env: { A: 'builder', B: 'builder' }, cwd: '/usr' }),
  )
  const options = { user: '1000:1001', env: { A: 'exec' }, umask: 0o077 }
  const { stdout } = await output(
    box,
    ['sh', '-c', 'id -u; id -g; pwd; umask; echo $A $B'],
    options,
  )
  t.equal(stdout, '1000\n1001\n/usr\n0077\nexec builder\n')
  t.equal((await output(box, ['pwd'], { cwd: '/tmp' })).stdout, '/tmp\n')
  await box.delete()
})

t.test('hardened as the first one', needsContainers, async t => {
  const { box } = await running(overHost().capabilities(['KILL', 'CHOWN']))
  const script = 'grep -E "^(Cap|NoNewPrivs|SigIgn|SigBlk)" /proc/$0/status'
  const first = await output(box, ['sh', '-c', script, '1'])
  const own = await output(box, ['sh', '-c', script, 'self'])
  t.equal(own.stdout, first.stdout)
  t.match(own.stdout, /CapBnd:\s+0000000000000021/)
  t.match(own.stdout, /NoNewPrivs:\s+1/)
  t.equal((await output(box, ['sh', '-c', 'ls /proc/self/fd | wc -l'])).stdout, '4\n', 'ls has one')
  const tty = await output(box, ['sh', '-c', 'ps -o tty= -p $$; ps -o sid= -p $$; echo $$'])
  const [terminal, session, pid] = tty.stdout.split('\n').map(line => line.trim())
  t.equal(terminal, '?')
  t.equal(session, pid)
  await box.delete()
})

t.test('200 at once, each with its own exit code', needsContainers, async t => {
  const { box } = await running()
  const codes = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const process = await box.exec(['sh', '-c', `exit ${i}`], { stdio: 'ignore' })
      return (await process.exited).exitCode
    }),
  )
  t.same(
    codes,
    Array.from({ length: 200 }, (_, i) => i),
  )
  await box.delete()
})

t.test(
  'what it wrote can be read when it has ended, and holds nothing',
  needsContainers,
  async t => {
    const { box } = await running()
    const before = traces().descriptors
    const processes = []
    const script = 'head -c 50000 /dev/zero | tr "\\0" x; echo $0 >&2'
    for (let i = 0; i < 50; i++) {
      const process = await box.exec(['sh', '-c', script, `${i}`])
      await process.exited
      processes.push(process)
    }
    t.ok(await until(() => traces().descriptors <= before), 'no descriptor is kept')
    t.equal((await processes[7]?.stdout.text())?.length, 50_000)
    t.equal(await processes[7]?.stderr.text(), '7\n')
    await box.delete()
  },
)

t.test('many at once have their own pids', needsContainers, async t => {
  const { box } = await running()
  const processes = await Promise.all(Array.from({ length: 40 }, () => box.exec(['cat'])))
  const known = new Map((await box.processes()).map(({ pid, name }) => [pid, name]))
  for (const { pid } of processes) t.equal(known.get(pid), 'cat')
  await box.delete()
})

t.test('a start that fails on this side leaves no process', needsContainers, async t => {
  const { box } = await running()
  const stdio = [{ file: '/no/such/file' }, 'ignore', 'ignore'] as const
  await t.rejects(box.exec(['true'], { stdio }), { code: 'ENOENT', option: 'stdio[0]' })
  t.equal((await box.processes()).length, 1)
  await box.delete()
})

t.test('a process that another one traces keeps nobody waiting', needsContainers, async t => {
  const script = `
    import ctypes, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) != 0: sys.exit(1)
    print("traced", flush=True)
    time.sleep(0.6)`
  const { box } = await running(overHost().capabilities(['SYS_PTRACE', 'KILL']))
  const traced = await box.exec(['sh', '-c', 'echo $$; sleep 0.2; exit 3'])
  const inner = (await traced.stdout.lines().next()).value as string
  const source = script.replace(/^ {4}/gm, '').trim()
  const tracer = await box.exec(['/usr/bin/python3', '-c', source, inner])
  const said = (await tracer.stdout.lines().next()).value
  if (said !== 'traced') return void t.fail(`could not be traced: ${await tracer.stderr.text()}`)
  let worst = 0
  let last = performance.now()
  const watching = setInterval(() => {
    worst = Math.max(worst, performance.now() - last)
    last = performance.now()
  }, 5)
  t.equal((await traced.exited).exitCode, 3)
  clearInterval(watching)
  t.ok(worst < 380, `the event loop waited ${worst} ms`)
  await box.delete()
})

t.test('signals go to it alone', needsContainers, async t => {
  const { box, main } = await running()
  const process = await box.exec(['sleep', '1000'], { stdio: 'ignore' })
  await process.kill('SIGTERM')
  t.same(await process.exited, { exitCode: null, signal: 'SIGTERM' })
  await t.rejects(process.kill(), { code: 'ESRCH', syscall: 'pidfd_send_signal' })
  t.equal(box.status, 'running')
  main.stdin.end()
  t.equal((await main.exited).exitCode, 0)
  await box.delete()
})

t.test('it ends with the container', needsContainers, async t => {
  const { box, main } = await running()
  const process = await box.exec(['sleep', '1000'], { stdio: 'ignore' })
  main.stdin.end()
  t.same(await process.exited, { exitCode: null, signal: 'SIGKILL' })
  await box.delete()
})

t.test('without a PID namespace delete() ends it', needsRoot, async t => {
  const { box, main } = await running(overHost().isolate('mount', 'uts'))
  const process = await box.exec(['sleep', '1000'], { stdio: 'ignore' })
  main.stdin.end()
  await main.exited
  t.ok(await until(() => box.status === 'stopped'))
  await box.delete()
  t.same(await process.exited, { exitCode: null, signal: 'SIGKILL' })
})

t.test('programs that are not there, and containers that do not run', needsContainers, async t => {
  const { box } = await running(new Container().rootfs(makeRoot(t)).mount(hostPrograms))
  await t.rejects(box.exec(['no-such-program']), { code: 'ENOENT', step: 'exec' })
  await t.rejects(box.exec(['/etc']), { code: 'EACCES' })
  await t.rejects(box.exec([]), { name: 'CofferdamError', option: 'argv' })
  await t.rejects(box.exec(['x'], { tty: true } as object), {
    option: 'exec.tty',
    name: 'CofferdamError',
  })
  t.equal(box.status, 'running', 'none of which harms it')
  await box.delete()
  await t.rejects(box.exec(['true']), { code: 'ERR_STATE' })
  await using parked = await overHost().create()
  await t.rejects(parked.exec(['true']), { code: 'ERR_STATE' })
})

t.test('a container that ends while processes join it', needsContainers, async t => {
  for (let i = 0; i < 20; i++) {
    const { box } = await running()
    const attempts = Array.from({ length: 4 }, () => box.exec(['true'], { stdio: 'ignore' }))
    const deleting = box.delete()
    for (const { status, ...rest } of await Promise.allSettled(attempts))
      if (status === 'rejected')
        t.match((rest as { reason: Error }).reason, { name: 'CofferdamError' })
    await deleting
  }
})

t.test('nothing is left behind', needsContainers, nothingLeft)
