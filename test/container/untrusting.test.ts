// What a careless caller does: changes what it has handed over, asks for what
// can't be, does things at once.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Box, bind, Container, overlay, tmpfs } from 'cofferdam'
import t from 'tap'
import {
  needsContainers,
  needsRoot,
  overHost,
  rememberTraces,
  run,
  runIn,
  scratch,
} from '../support/index.js'

const nothingLeft = await rememberTraces()
const wrong = <T>(value: unknown) => value as T

t.test('lists that the caller changes later change nothing', needsContainers, async t => {
  const caps: ['KILL'] = ['KILL']
  const box = await overHost().capabilities(caps).create()
  wrong<string[]>(caps).push('SYS_ADMIN')
  t.match((await runIn(box, ['grep', 'CapEff', '/proc/self/status'])).stdout, /0000000000000020/)
  await box.delete()

  const process = { argv: ['echo', 'one'], env: { A: '1' } }
  const builder = overHost().process(process)
  process.argv.push('two')
  await using second = await builder.create()
  const main = await second.start()
  t.equal(await main.stdout.text(), 'one\n')

  const root = overlay({ lower: ['/'] })
  const other = new Container().rootfs(root)
  wrong<string[]>(root.lower)[0] = '/nonsense'
  t.equal((await run(other, ['echo', 'x'])).stdout, 'x\n')
})

t.test('equal-looking requests are told apart', needsContainers, async t => {
  t.match((await run(overHost(), ['env'], { env: {} })).stdout, /^HOME=/m)
  t.notMatch((await run(overHost(), ['env'], { env: { HOME: undefined } })).stdout, /^HOME=/m)
  t.match((await run(overHost(), ['env'], { env: {} })).stdout, /^HOME=/m)
  const count = async (argv: string[]) =>
    (await run(overHost(), ['sh', '-c', 'echo $#', ...argv])).stdout
  t.equal(await count(['x']), '0\n')
  t.equal(await count(['x', '']), '1\n')
  await run(overHost(), ['true'], { user: 0 })
  for (const user of [null, Number.NaN, 10n, Symbol('x'), {}, true])
    await t.rejects(run(overHost(), ['true'], { user: wrong(user) }), {
      code: 'ERR_INVALID_OPTION',
    })
})

t.test('an ordinary user has root’s powers at no moment', needsRoot, async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'program'), '#!/bin/sh\necho ran\n', { mode: 0o700 })
  const builder = () => overHost().mount(bind(folder, '/p'))
  t.equal((await run(builder(), ['/p/program'])).stdout, 'ran\n')
  await t.rejects(run(builder(), ['/p/program'], { user: 1000 }), { code: 'EACCES' })
})

t.test('plans that outgrow a buffer are sound', needsRoot, async t => {
  const long = 'a'.repeat(100_000)
  for (const argv of [[long], Array.from({ length: 5000 }, (_, i) => `${i}`)])
    t.equal((await run(overHost(), ['true', ...argv])).exitCode, 0)
  const groups = Array.from({ length: 30_000 }, (_, i) => i)
  t.equal((await run(overHost(), ['true'], { user: { uid: 1, groups } })).exitCode, 0)
  const many = Array.from({ length: 150 }, (_, i) => bind('/etc', `/mnt/${'d'.repeat(100)}${i}`))
  t.equal((await run(overHost().mount(...many), ['true'])).exitCode, 0)
})

t.test('what has no name in the C library has one here', needsRoot, async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'text'), 'not a program\n', { mode: 0o755 })
  await t.rejects(run(overHost().mount(bind(folder, '/p')), ['/p/text']), {
    code: 'ENOEXEC',
    syscall: 'execve',
    step: 'exec',
  })
  const ended = async (signal: string) =>
    (await run(overHost().isolate('mount'), ['sh', '-c', `kill -${signal} $$`])).signal
  t.equal(await ended('ABRT'), 'SIGABRT')
  t.equal(await ended('IO'), 'SIGIO')
  t.equal(await ended('34'), 'SIG34')
})

t.test('a host function that is under way is undone when it is over', needsContainers, async t => {
  const log: string[] = []
  const controller = new AbortController()
  const builder = overHost().step({
    side: 'waiting',
    name: 'slow',
    run: async () => {
      log.push('begin')
      controller.abort()
      await sleep(50)
      log.push('end')
    },
    undo: () => void log.push('undo'),
  })
  await t.rejects(builder.create({ signal: controller.signal }), { name: 'AbortError' })
  t.same(log, ['begin', 'end', 'undo'])
})

t.test('start() twice at once: one of them', needsContainers, async t => {
  await using box = await overHost().create()
  const attempts = await Promise.allSettled([box.start(['cat']), box.start(['cat'])])
  t.equal(attempts[0].status, 'fulfilled')
  t.match(attempts[1], { status: 'rejected', reason: { code: 'ERR_STATE' } })
})

t.test('delete() at once and again undoes once, last things first', needsContainers, async t => {
  const log: string[] = []
  const waiting = (name: string) => ({
    side: 'waiting' as const,
    name,
    run: () => undefined,
    undo: async () => {
      await sleep(5)
      log.push(name)
    },
  })
  const box = await overHost().step(waiting('1')).step(waiting('2')).step(waiting('3')).create()
  await Promise.all([box.delete(), box.delete(), box[Symbol.asyncDispose]()])
  t.same(log, ['3', '2', '1'])
})

t.test(
  'a failed undo of a failed create is told, and the name is free',
  needsContainers,
  async t => {
    const builder = overHost('undoable').step({
      side: 'waiting',
      name: 'both fail',
      run: () => {
        throw new Error('run')
      },
      undo: () => {
        throw new Error('undo')
      },
    })
    await t.rejects(builder.create(), {
      name: 'CofferdamError',
      step: 'both fail',
      message: /undo/,
    })
    await (await overHost('undoable').create()).delete()
  },
)

t.test('abort() with any reason', needsContainers, async t => {
  const build = () => {
    const controller = new AbortController()
    const creating = overHost().create({ signal: controller.signal })
    controller.abort(null)
    return creating
  }
  await t.rejects(build(), { name: 'CofferdamError', code: 'ABORT_ERR' })
})

t.test('options are refused before a file is touched', needsContainers, async t => {
  const file = join(scratch(t), 'precious')
  writeFileSync(file, 'content')
  await using box = await overHost().create()
  const attempt = (argv: unknown, options: unknown) =>
    (box as Box).start(wrong<string[]>(argv), wrong(options))
  await t.rejects(attempt([], { stdio: { file } }), { name: 'CofferdamError', option: 'argv' })
  await t.rejects(attempt(['true'], { stdio: ['ignore', { file }, 'bad'] }), {
    name: 'CofferdamError',
    option: 'stdio[2]',
  })
  t.equal(readFileSync(file, 'utf8'), 'content')
  for (const [stdio, option] of [
    [{ file: '/no/such/file' }, 'stdio[0]'],
    [{ file: 5 }, 'stdio[0].file'],
    [2 ** 32, 'stdio[0]'],
    [null, 'stdio[0]'],
    [['pipe', 9999], 'stdio[1]'],
  ] as const)
    await t.rejects(attempt(['true'], { stdio }), { name: 'CofferdamError', option })
  t.equal((await runIn(box, ['echo', 'x'])).stdout, 'x\n', 'and it is none the worse')
})

t.test('the streams of what has ended', needsContainers, async t => {
  const box = await overHost().create()
  const main = await box.start(['true'])
  await main.exited
  main.stdin.end()
  t.equal(await main.stdout.text(), '')
  await box.delete()
  t.equal(await main.stderr.text(), '', 'and there is one')
  t.equal(box.pid, undefined)
})

t.test('a source that has become a file', needsRoot, async t => {
  const folder = scratch(t)
  const source = join(folder, 'source')
  writeFileSync(source, 'a file')
  const builder = () => overHost().mount(bind(source, '/mnt/it'))
  t.equal((await run(builder(), ['cat', '/mnt/it'])).stdout, 'a file')
  const { mkdirSync, rmSync } = await import('node:fs')
  rmSync(source)
  mkdirSync(source)
  await t.rejects(
    builder().create(),
    { name: 'CofferdamError', step: 'bind /mnt/it' },
    'what was known is wrong once',
  )
  t.equal((await run(builder(), ['stat', '-c', '%F', '/mnt/it'])).stdout, 'directory\n')
})

const refused: [what: string, build: () => unknown, error: object][] = [
  ...[undefined, null, 5, {}, [], true, Symbol('x')].map(
    value =>
      [
        `isolate(${String(value)})`,
        () => new Container().isolate(wrong(value)),
        { option: 'isolate' },
      ] as [string, () => unknown, object],
  ),
  ...[undefined, null, 0, '', 'no'].map(
    value =>
      [
        `noNewPrivileges(${String(value)})`,
        () => new Container().noNewPrivileges(wrong(value)),
        { option: 'noNewPrivileges' },
      ] as [string, () => unknown, object],
  ),
  ['an id that is a number', () => new Container(wrong(5)), { option: 'id' }],
  ['the root as a read-only path', () => new Container().readonlyPaths(['/']), {}],
  ['the root as a masked path', () => new Container().maskedPaths(['/./']), {}],
  ['the root as a mount target', () => tmpfs('//'), {}],
  ['masked paths that are text', () => new Container().maskedPaths(wrong('x')), {}],
  ['a size of nothing', () => tmpfs('/t', { size: 0 }), { option: 'tmpfs.size' }],
  ['a size that rounds to nothing', () => tmpfs('/t', { size: '0.5B' }), { option: 'tmpfs.size' }],
  ['an overlay of no size', () => overlay({ lower: ['/'], size: 0 }), { option: 'overlay.size' }],
  ['an overlay of the empty path', () => overlay({ lower: [''] }), { option: 'overlay.lower' }],
  ['a NUL in a source', () => bind('/a\0b', '/x'), { option: 'bind' }],
  ['a NUL in a target', () => tmpfs('/a\0b'), { option: 'tmpfs' }],
  ['a NUL in the rootfs', () => new Container().rootfs('/a\0b'), { option: 'rootfs' }],
  [
    'a flag that is text',
    () => bind('/a', '/b', { readonly: wrong('no') }),
    { option: 'bind.readonly' },
  ],
  ['no options at all', () => bind('/a', '/b', wrong(null)), { option: 'bind' }],
  [
    'a host name that is a number',
    () => new Container().hostname(wrong(5)),
    { option: 'hostname' },
  ],
  [
    'capabilities that are a set',
    () => new Container().capabilities(wrong(new Set(['KILL']))),
    { option: undefined },
  ],
  [
    'capabilities that are a number',
    () => new Container().capabilities(wrong(5)),
    { option: 'capabilities' },
  ],
  ['a step that is none', () => new Container().step(wrong(5)), { option: 'step' }],
  [
    'a step in no half',
    () =>
      new Container().step({ side: 'init', name: 'x', operations: [] }, { half: wrong('bogus') }),
    { option: 'step.half' },
  ],
  [
    'variables as a list',
    () => new Container().process({ argv: ['x'], env: wrong(['A=1']) }),
    { option: 'env' },
  ],
  [
    'a variable that is null',
    () => new Container().process({ argv: ['x'], env: wrong({ A: null }) }),
    { option: 'env' },
  ],
]

for (const [what, build, { option, ...error }] of refused as [
  string,
  () => unknown,
  { option?: string },
][])
  t.test(`refused: ${what}`, async t => {
    t.throws(build, {
      name: 'CofferdamError',
      code: 'ERR_INVALID_OPTION',
      ...(option === undefined ? {} : { option }),
      ...error,
    })
  })

t.test('sets of capabilities that the kernel would refuse', needsContainers, async t => {
  for (const [sets, option] of [
    [{ effective: ['KILL'] }, 'capabilities.effective'],
    [{ permitted: ['KILL'], ambient: ['KILL'] }, 'capabilities.ambient'],
    [{ inheritable: ['KILL'] }, 'capabilities.inheritable'],
  ] as const)
    await t.rejects(overHost().capabilities(wrong(sets)).create(), { code: 'ERR_CONFLICT', option })
})

t.test('nothing is left behind', needsContainers, nothingLeft)
