import { plan } from 'cofferdam'
import fc from 'fast-check'
import t from 'tap'
import { native } from '#lib/base/index.js'

const { call, encode, named, Placeholder, PlaceholderLength, slot, step } = plan

const OP = (i: number) => 24 + 80 * i

t.test('a plan is what wire.h says it is', async t => {
  const at = slot('at')
  const { bytes, source } = encode([
    step('one', call('openat', [named('AT_FDCWD', -100), '/x', 3], { result: at })),
    step('two', call('fchdir', [at], { tolerate: ['ENOENT', 'EACCES'] })),
  ])
  const view = Buffer.from(bytes)
  t.equal(view.toString('latin1', 0, 4), 'OFFD')
  t.equal(view.readUInt32LE(8), bytes.length)
  t.equal(view.readUInt32LE(12), 2)
  t.equal(view.readUInt16LE(OP(0) + 2), 0, 'step')
  t.equal(view.readUInt16LE(OP(1) + 2), 1, 'step')
  t.equal(view[OP(0) + 8], 0, 'result goes to slot 0')
  t.equal(view[OP(1) + 8], 255, 'no result')
  t.equal(view.readBigInt64LE(OP(0) + 32), -100n)
  const text = Number(view.readBigUInt64LE(OP(0) + 40))
  t.equal(view.toString('latin1', text, text + 3), '/x\0')
  t.same([...view.subarray(OP(1) + 18, OP(1) + 24)], [2, 0, 13, 0, 0, 0], 'tolerated errors')
  t.equal(source(1)?.step.name, 'two')
  t.ok(native().check(bytes, false))
})

t.test('slots are given again after their last use', async t => {
  const steps = Array.from({ length: 500 }, (_, i) => {
    const a = slot(`a${i}`)
    const b = slot(`b${i}`)
    return step(
      'x',
      call('openat', [0, '/', 0], { result: a }),
      call('openat', [a, '/', 0], { result: b }),
      call('close', [b]),
    )
  })
  const { bytes } = encode(steps)
  const used = new Set(Array.from({ length: 1500 }, (_, i) => bytes[OP(i) + 8]))
  t.equal(used.size, 65, 'all 64, and none')
  t.ok(native().check(bytes, false))
})

t.test('what does not fit is refused', async t => {
  const many = Array.from({ length: 65 }, (_, i) => slot(`${i}`))
  const opens = many.map(result => call('openat', [0, '/', 0], { result }))
  const closes = many.map(one => call('close', [one]))
  t.throws(() => encode([step('x', ...opens, ...closes)]), { code: 'ERR_INVALID_OPTION' })
  t.throws(() => encode([step('x', call('close', [slot('never filled')]))]), {
    message: /never filled/,
  })
  t.throws(() => encode([step('x', call('nonsense' as 'close', []))]), {
    message: /no system call nonsense/,
  })
  t.throws(() => encode([step('x', call('close', [0], { tolerate: ['EWHAT'] }))]), {
    message: /EWHAT/,
  })
  t.throws(() => encode([step('x', call('chdir', ['a\0b']))]), { message: /NUL/ })
  t.throws(() => encode([step('x', call('close', [1, 2, 3, 4, 5, 6, 7]))]), {
    message: /7 arguments/,
  })
  t.throws(() => encode([step('x', ...Array(8193).fill(call('getpid', [])))]), { message: /8193/ })
})

t.test('placeholders: where their texts and lengths go', async t => {
  const name = new Placeholder('name', 8)
  const { bytes, placeholders, patches } = encode([
    step('x', call('sethostname', [name, new PlaceholderLength(name)])),
    step('y', plan.exec(['/x'], ['x'], ['A=b', new Placeholder('name', 8, 'N=')])),
  ])
  t.same(placeholders, ['name'])
  const rows = [0, 4, 8].map(i => [...patches.subarray(i, i + 4)])
  t.same(
    rows.map(([which, what, , capacity]) => [which, what, capacity]),
    [
      [0, 0, 8],
      [0, 1, 8],
      [0, 0, 8],
    ],
  )
  t.equal(rows[1]?.[2], OP(0) + 40, 'the second argument')
  const text = rows[2]?.[2] as number
  t.equal(Buffer.from(bytes).toString('latin1', text - 2, text + 9), 'N=\0\0\0\0\0\0\0\0\0')
  t.ok(native().check(bytes, false))
})

t.test('the host’s side may make few calls', async t => {
  const encoded = (name: 'openat' | 'chdir' | 'setns' | 'prctl' | 'umask') =>
    encode([plan.hostStep('x', call(name, ['/', 0, 0]))]).bytes
  t.ok(native().check(encoded('openat'), true))
  for (const name of ['chdir', 'setns', 'prctl', 'umask'] as const)
    t.notOk(native().check(encoded(name), true), name)
})

t.test('a corrupt plan is refused or harmless, never a crash', async t => {
  const at = slot('at')
  const { bytes } = encode([
    step(
      'a',
      call('openat', [0, '/x', 0], { result: at, tolerate: ['ENOENT'], skip: 1 }),
      call('close', [at]),
    ),
    step('b', plan.target(at, '/y', slot('z')), plan.dropBounding(named('x', 1)), plan.wait(0)),
    step('c', plan.exec(['/x'], ['x'], ['A=b'])),
  ])
  t.ok(native().check(bytes, false))
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (where, value) => {
      const corrupt = Buffer.from(bytes)
      corrupt[where] = value
      native().check(corrupt, false)
      native().check(corrupt, true)
    }),
    { numRuns: 5000 },
  )
  for (let length = 0; length < bytes.length; length++)
    if (native().check(bytes.subarray(0, length), false)) t.fail(`cut off at ${length}`)
  const edits: [what: string, offset: number, value: number][] = [
    ['magic', 0, 0],
    ['version', 4, 9],
    ['size', 8, 1],
    ['too many operations', 14, 1],
    ['a fault in a build that has none', 16, 1],
    ['unknown operation', OP(0), 99],
    ['unknown kind of argument', OP(0) + 12, 9],
    ['a slot beyond the last', OP(0) + 8, 64],
    ['unknown flag', OP(0) + 9, 4],
    ['skip beyond the end', OP(0) + 10, 200],
    ['too many arguments', OP(0) + 11, 7],
    ['something reserved', OP(0) + 24, 1],
    ['string beyond the end', OP(0) + 43, 1],
  ]
  for (const [what, offset, value] of edits) {
    const corrupt = Buffer.from(bytes)
    corrupt[offset] = value
    t.notOk(native().check(corrupt, false), what)
  }
})
