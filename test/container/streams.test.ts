import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stdio } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  scratch,
  until,
} from '../support/index.js'

const nothingLeft = await rememberTraces()

t.test('what is written to stdin is read inside', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['cat'])
  main.stdin.write('one\n')
  main.stdin.end('two')
  t.equal(await main.stdout.text(), 'one\ntwo')
  t.same(await main.exited, { exitCode: 0, signal: null })
})

t.test('ten megabytes arrive whole, also when read late', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['head', '-c', '10000000', '/dev/zero'])
  const { stdout } = main
  await new Promise(resolve => setTimeout(resolve, 50))
  let size = 0
  for await (const chunk of stdout ?? []) size += (chunk as Buffer).length
  t.equal(size, 10_000_000)
})

t.test('what a program wrote can be read after it has ended', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['echo', 'still here'])
  await main.exited
  t.equal(await main.stdout.text(), 'still here\n')
})

t.test('lines: whatever the chunks are, and without a last line end', needsContainers, async t => {
  await using box = await overHost().create()
  const script = 'printf "a\\n\\nb"; sleep 0.05; printf "c\\n\\303"; sleep 0.05; printf "\\274 end"'
  const main = await box.start(['sh', '-c', script])
  const lines: string[] = []
  for await (const line of main.stdout.lines()) lines.push(line)
  t.same(lines, ['a', '', 'bc', 'ü end'])
})

t.test('lines: one may stop early', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['yes'])
  for await (const line of main.stdout.lines()) {
    t.equal(line, 'y')
    break
  }
  t.same(await main.exited, { exitCode: 1, signal: null }, 'EPIPE: PID 1 gets no SIGPIPE')
})

t.test('the end of stdin is not the end of stdout', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['sh', '-c', 'wc -c; sleep 0.1; seq 100000; echo last'])
  main.stdin.end('to be counted')
  const printed = (await main.stdout.text()).split('\n')
  t.equal(Number(printed[0]), 13, 'the program has seen the end')
  t.equal(printed.at(-2), 'last', 'and could still write')
  t.equal(printed.length, 100_003)
  t.same(await main.exited, { exitCode: 0, signal: null })
})

t.test('a program that does not read holds up who writes to it', needsContainers, async t => {
  await using box = await overHost().create()
  const script = 'trap go=1 USR1; echo ready >&2; while [ -z "$go" ]; do sleep 0.02; done; wc -c'
  const main = await box.start(['sh', '-c', script])
  const errors = main.stderr.lines()
  t.equal((await errors.next()).value, 'ready')
  const piece = Buffer.alloc(16384)
  let written = 0
  let drained = false
  main.stdin.on('drain', () => {
    drained = true
  })
  let more = true
  while (more && written < 2 ** 24) {
    more = main.stdin.write(piece)
    written += piece.length
    await new Promise(resolve => setImmediate(resolve))
  }
  t.equal(more, false, 'write() says so')
  t.ok(written < 2 ** 20, `after ${written} bytes, as much as a pipe and a stream hold`)
  await sleep(100)
  t.equal(drained, false, 'and nothing is taken meanwhile')
  await main.kill('SIGUSR1')
  t.ok(await until(() => drained), 'when it reads, there is room')
  main.stdin.end()
  t.equal(Number(await main.stdout.text()), written)
})

t.test('nobody who reads holds up the program', needsContainers, async t => {
  await using box = await overHost().create()
  // It says on stderr how far it has come.
  const script =
    'i=0; while [ $i -lt 64 ]; do head -c 16384 /dev/zero; i=$((i+1)); echo $i >&2; done'
  const main = await box.start(['sh', '-c', script])
  let progress = ''
  main.stderr.on('data', chunk => {
    progress += chunk
  })
  const written = () => progress.trim().split('\n').length
  t.ok(await until(() => written() >= 4), 'a pipe holds 64 KiB')
  await sleep(200)
  t.ok(written() <= 5, `and no more: ${written()} pieces of 16 KiB`)
  let size = 0
  for await (const chunk of main.stdout) size += (chunk as Buffer).length
  t.equal(size, 64 * 16384, 'read late, it comes whole')
  t.same(await main.exited, { exitCode: 0, signal: null })
})

t.test('what was written right before the end is never lost', needsContainers, async t => {
  await using box = await overHost().create()
  await box.start(['sleep', 'infinity'], { stdio: 'ignore' })
  const sizes = new Set<number>()
  for (let i = 0; i < 100; i++) {
    // Read from the start, a little later, or not before it has ended.
    const program = await box.exec(['head', '-c', '1000000', '/dev/zero'])
    const { stdout } = program
    if (i % 3 === 1) await sleep(1)
    let size = 0
    for await (const chunk of stdout) size += (chunk as Buffer).length
    sizes.add(size)
    t.same(await program.exited, { exitCode: 0, signal: null })
  }
  t.same([...sizes], [1_000_000])
})

t.test('a process that keeps the pipe open holds up nobody for ever', needsContainers, async t => {
  await using box = await overHost().create()
  await box.start(['sleep', 'infinity'], { stdio: 'ignore' })
  const program = await box.exec(['sh', '-c', 'sleep 100 & echo done'])
  let printed = ''
  program.stdout.on('data', chunk => {
    printed += chunk
  })
  const begin = performance.now()
  t.same(await program.exited, { exitCode: 0, signal: null })
  const waited = performance.now() - begin // for a second, on a machine that has the time
  t.equal(printed, 'done\n')
  t.equal(program.stdout.readableEnded, false, 'it is open still')
  t.ok(waited < 10_000, `not as long as the other sleeps: ${waited}`)
  program.stdout.destroy()
})

t.test('ignored streams are /dev/null', needsContainers, async t => {
  await using box = await overHost().create()
  const main = await box.start(['sh', '-c', 'readlink /proc/self/fd/0 >&2; cat'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.equal(main.stdin, null)
  t.equal(main.stdout, null)
  t.equal(await main.stderr?.text(), '/dev/null\n')
  t.same(await main.exited, { exitCode: 0, signal: null })
})

t.test('inherited streams are this program’s', needsContainers, async t => {
  const script = `
    const { Container, overlay } = await import('cofferdam')
    const box = await new Container().rootfs(overlay({ lower: ['/'] })).create()
    const main = await box.start(['sh', '-c', 'cat; echo to stderr >&2'], { stdio: 'inherit' })
    await main.exited
    await box.delete()`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    input: 'from stdin',
    encoding: 'utf8',
  })
  t.equal(stdout, 'from stdin')
  t.equal(stderr, 'to stderr\n')
})

t.test('files by path, by descriptor and by handle', needsContainers, async t => {
  const folder = scratch(t)
  const at = (name: string) => join(folder, name)
  writeFileSync(at('in'), 'input')
  writeFileSync(at('out'), 'before ')
  const fd = openSync(at('err'), 'w')
  await using box = await overHost().create()
  const main = await box.start(['sh', '-c', 'cat; echo error >&2'], {
    stdio: [{ file: at('in') }, { file: at('out'), append: true }, fd],
  })
  closeSync(fd)
  await main.exited
  t.equal(readFileSync(at('out'), 'utf8'), 'before input')
  t.equal(readFileSync(at('err'), 'utf8'), 'error\n')

  const handle = await open(at('handle'), 'w')
  await using other = await overHost().create()
  await (await other.start(['echo', 'x'], { stdio: ['ignore', handle, 'ignore'] })).exited
  await handle.close()
  t.equal(readFileSync(at('handle'), 'utf8'), 'x\n')
})

t.test('pipes can be opened again by the user they are for', needsRoot, async t => {
  const script = 'echo through > /dev/stdout && cat /dev/stdin'
  t.match(await run(overHost(), ['sh', '-c', script], { user: 1000 }), {
    stdout: 'through\n',
    exitCode: 0,
  })
})

t.test('streams that can not be opened leave the container as it was', needsContainers, async t => {
  await using box = await overHost().create()
  await t.rejects(box.start(['true'], { stdio: { file: '/no/such/folder/x' } }), { code: 'ENOENT' })
  await t.rejects(box.start(['true'], { stdio: 999 }), { code: 'EBADF' })
  await t.rejects(box.start(['true'], { stdio: 'tube' as 'pipe' }), { code: 'ERR_INVALID_OPTION' })
  t.equal(box.status, 'created')
  t.same(await (await box.start(['true'])).exited, { exitCode: 0, signal: null })
})

t.test(
  'further descriptors are 3, 4 and so on, and nothing else is open',
  needsContainers,
  async t => {
    const folder = scratch(t)
    const path = join(folder, 'three')
    writeFileSync(join(folder, 'in'), 'given')
    for (const init of [false, true]) {
      const input = openSync(join(folder, 'in'), 'r')
      await using box = await overHost().create()
      const script = 'echo out >&3; cat <&4; readlink /proc/self/fd/5; ls /proc/self/fd | wc -l'
      const main = await box.start(['sh', '-c', script], {
        stdio: ['pipe', 'pipe', 'pipe', { file: path }, input, 'ignore'],
        init,
      })
      main.stdin?.destroy()
      // ls has one of its own.
      t.equal(await main.stdout?.text(), 'given/dev/null\n7\n')
      t.equal(readFileSync(path, 'utf8'), 'out\n')
      t.same(await main.exited, { exitCode: 0, signal: null })
      closeSync(input)
    }
    await using box = await overHost().create()
    const missing = box.start(['nonesuch'], { stdio: ['ignore', 'ignore', 'ignore', 0] })
    await t.rejects(missing, { code: 'ENOENT' }, 'the channel is out of the way')
  },
)

t.test('a further descriptor that can not be', needsContainers, async t => {
  await using box = await overHost().create()
  const refused = (stdio: Stdio, option: string) =>
    t.rejects(box.start(['true'], { stdio }), { code: 'ERR_INVALID_OPTION', option })
  await refused(['pipe', 'pipe', 'pipe', 'pipe'], 'stdio[3]')
  await refused(
    Array.from({ length: 17 }, () => 'ignore' as const),
    'stdio',
  )
})

t.test('nothing is left behind', needsContainers, nothingLeft)
