import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  scratch,
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
  await t.rejects(box.start(['true'], { stdio: [0, 1, 2, 3] }), { code: 'ERR_INVALID_OPTION' })
  t.equal(box.status, 'created')
  t.same(await (await box.start(['true'])).exited, { exitCode: 0, signal: null })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
