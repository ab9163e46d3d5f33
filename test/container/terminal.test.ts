import { existsSync } from 'node:fs'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  type TerminalShell,
  terminalShell,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

/** A shell on a terminal, in a container that just waits. */
async function shell(): Promise<TerminalShell & { close(): Promise<void> }> {
  const box = await overHost().create()
  await box.start(['sleep', '1000'], { stdio: 'ignore' })
  const process = await box.exec(['sh'], { terminal: true, env: { PS1: 'prompt> ' } })
  const shell = terminalShell(process)
  await shell.press('\n', /prompt> (\r\n)?prompt> $/)
  return { ...shell, close: () => box.delete() }
}

t.test('it is the controlling terminal, of the container’s own', needsContainers, async t => {
  const { type, close } = await shell()
  t.match(await type('tty; echo $TERM', /xterm/), /^\/dev\/pts\/0$/m)
  t.match(await type('stty size', /\d+ \d+/), /^24 80$/m)
  t.match(await type('ps -o tty= -p $$', /pts/), /pts\/0/)
  t.match(await type('ls -l /proc/self/fd | grep -c pts/0', /^\d\r/m), /^2\r/m)
  await close()
})

t.test('a change of size is seen inside', needsContainers, async t => {
  const { type, process, close } = await shell()
  await type('trap "echo resized; stty size" WINCH; echo ready', /^ready/m)
  process.terminal?.resize({ rows: 50, columns: 132 })
  t.match(await type('sleep 0.1; true', /\d+ 132/), /resized\r\n50 132/)
  for (const size of [{ rows: 0, columns: 1 }, { rows: 1, columns: 65536 }, { lines: 3 }])
    t.throws(() => process.terminal?.resize(size as never), { code: 'ERR_INVALID_OPTION' })
  await close()
})

t.test('job control: interrupt, stop, go on', needsContainers, async t => {
  const { type, press, process, close } = await shell()
  await type('sleep 1000', /sleep/)
  t.match(await press('\x03', /prompt> $/), /\^C/)
  t.match(await type('echo status $?', /status \d/), /status 130/)
  await type('cat', /cat/)
  t.match(await press('\x1a', /Stopped/), /\^Z/)
  t.match(await type('jobs', /Stopped.*cat/), /\[1\]/)
  await type('fg', /cat/)
  t.match(await type('typed into cat', /cat\r\ntyped/), /typed into cat\r\ntyped into cat/)
  await press('\x04', /prompt> $/)
  await type('exit 9', /exit/)
  t.same(await process.exited, { exitCode: 9, signal: null })
  await close()
})

const editor = existsSync('/usr/bin/vi')
  ? needsRoot
  : { skip: 'needs vi: apt-get install vim-tiny' }

t.test('a full-screen editor', editor, async t => {
  const { type, press, close } = await shell()
  await type('vi /tmp/edited', /~/)
  await press('ihello from vi\x1b', /hello from vi/)
  await press(':wq\r', /prompt> $/)
  t.match(await type('cat /tmp/edited', /hello/), /^hello from vi/m)
  await close()
})

t.test('closing it hangs up', needsContainers, async t => {
  const { process, close } = await shell()
  process.terminal?.destroy()
  const { exitCode, signal } = await process.exited
  t.ok(signal === 'SIGHUP' || exitCode === 129 || exitCode === 0, `${exitCode} ${signal}`)
  await close()
})

t.test('much output, and none of it lost', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['seq', '1', '100000'], { terminal: true })
  let last = ''
  let count = 0
  const reading = (async () => {
    for await (const line of main.terminal?.lines() ?? []) {
      last = line
      count++
    }
  })()
  t.same(await main.exited, { exitCode: 0, signal: null })
  t.equal(last, '100000', 'all is read before exited resolves')
  t.equal(count, 100000)
  await reading
})

t.test('output without end leaves everybody their turn', needsContainers, async t => {
  const box = await overHost().create()
  const main = await box.start(['yes'], { terminal: true })
  let bytes = 0
  main.terminal?.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  let turns = 0
  for (; turns < 20; turns++) await new Promise(resolve => setTimeout(resolve, 5))
  t.equal(turns, 20)
  t.ok(bytes > 100_000)
  await box.delete()
})

t.test('as an ordinary user, who owns it', needsRoot, async t => {
  await using box = await overHost().create()
  const main = await box.start(['sh', '-c', 'stat -c %u $(tty); echo x > /dev/tty'], {
    terminal: true,
    user: 1000,
  })
  t.equal(await main.terminal?.text(), '1000\r\nx\r\n')
  await main.exited
})

t.test('something else in its place', needsContainers, async t => {
  await using box = await overHost().capabilities(['SYS_ADMIN', 'DAC_OVERRIDE']).create()
  await box.start(['sh', '-c', 'umount -l /dev/pts; touch /dev/pts/ptmx; sleep 1000'], {
    stdio: 'ignore',
  })
  let code: unknown
  for (let i = 0; i < 100 && code !== 'ENOTTY'; i++)
    code = await box.exec(['true'], { terminal: true }).then(
      process => process.exited,
      error => error.code,
    )
  t.equal(code, 'ENOTTY')
})

t.test('conflicts', needsContainers, async t => {
  await using box = await overHost().create()
  await t.rejects(box.start(['true'], { terminal: true, stdio: 'ignore' }), {
    code: 'ERR_CONFLICT',
    option: 'stdio',
  })
  for (const terminal of ['yes', 5, { rows: 'x' }, []])
    await t.rejects(box.start(['true'], { terminal: terminal as never }), {
      name: 'CofferdamError',
      code: 'ERR_INVALID_OPTION',
    })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
